// Package ensemble forecasts one series by several simple methods and trusts each by its record.
//
// This first form blends exponential smoothing, damped trend and the same time a day ago by their recent errors, and
// sets quantiles by tracking the residuals per step. It works on sqrt(y + 3/8), which evens out the noise of counts.
package ensemble

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prescale/prescale/forecaster"
)

// WarmSamples is how many samples a model needs before its forecasts are to be believed.
const WarmSamples = 30

const checkpointVersion = 1

const experts = 3

// Model is a forecaster.Model. It is not safe for concurrent use.
type Model struct {
	config forecaster.Config
	s      state
	path   []float64
}

// state is all that a checkpoint holds.
type state struct {
	Version int
	Started bool
	At      time.Time
	Samples int
	Level   float64
	Holt    float64
	Trend   float64
	Season  []float64
	Steps   int
	Scale   float64
	Peak    float64
	Points  [][][experts]float64 // past forecasts: Points[n mod MaxSteps+1][k]
	Blend   [][]float64
	Window  []float64
	Error   [][experts]float64
	Offset  [][]float64
	MaxOff  []float64
	Cover   float64
}

// New makes a Model; config must be valid.
func New(config forecaster.Config) (*Model, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("forecaster: %w", err)
	}
	config.Quantiles = slices.Clone(config.Quantiles)
	day := 24 * time.Hour
	if len(config.Seasons) > 0 {
		day = config.Seasons[0]
	}
	h, m := config.MaxSteps, max(2, int(day/config.Step))
	s := state{Version: checkpointVersion, Season: make([]float64, m), Scale: 0.5, Cover: 0.9}
	for i := range s.Season {
		s.Season[i] = math.NaN()
	}
	s.Points = make([][][experts]float64, h+1)
	s.Blend = make([][]float64, h+1)
	for i := range s.Points {
		s.Points[i] = make([][experts]float64, h)
		s.Blend[i] = make([]float64, h)
		for k := range h {
			s.Blend[i][k] = math.NaN()
		}
	}
	s.Window = make([]float64, h)
	for i := range s.Window {
		s.Window[i] = math.NaN()
	}
	s.Error = make([][experts]float64, h)
	s.Offset = make([][]float64, h)
	for k := range h {
		s.Error[k] = [experts]float64{1, 1, 1}
		s.Offset[k] = gaussian(config.Quantiles, 1+0.1*float64(k))
	}
	s.MaxOff = gaussian(config.Quantiles, 1.5)
	return &Model{config: config, s: s, path: make([]float64, h)}, nil
}

func gaussian(levels []float64, width float64) []float64 {
	out := make([]float64, len(levels))
	for i, q := range levels {
		out[i] = width * math.Sqrt2 * math.Erfinv(2*q-1)
	}
	return out
}

// Observe implements forecaster.Model.
func (m *Model) Observe(at time.Time, value float64) {
	s := &m.s
	if s.Started {
		missed := int(math.Round(float64(at.Sub(s.At)) / float64(m.config.Step)))
		if missed < 1 {
			return
		}
		for range min(missed-1, 4*len(s.Season)) {
			m.step(math.NaN())
		}
	}
	s.Started, s.At = true, at
	m.step(value)
}

func (m *Model) step(value float64) {
	s, h := &m.s, m.config.MaxSteps
	z := math.NaN()
	if value >= 0 && !math.IsInf(value, 0) {
		z = math.Sqrt(value + 0.375)
		m.learn(z)
	}
	s.Window[s.Steps%h] = z
	s.Season[s.Steps%len(s.Season)] = z
	s.Steps++
	points := s.Points[s.Steps%(h+1)]
	for k := range h {
		points[k] = m.points(k)
		s.Blend[s.Steps%(h+1)][k] = m.blend(k, points[k])
	}
}

// learn takes a known outcome: first the forecasts that spoke of it are judged, then the levels move.
func (m *Model) learn(z float64) {
	s, h := &m.s, m.config.MaxSteps
	if s.Samples == 0 {
		s.Level, s.Holt = z, z
	}
	for k := range min(h, s.Steps) {
		past := (s.Steps - k) % (h + 1)
		blend := s.Blend[past][k]
		if math.IsNaN(blend) {
			continue
		}
		for e, p := range s.Points[past][k] {
			s.Error[k][e] += 0.02 * (math.Abs(z-p) - s.Error[k][e])
		}
		eta := max(0.02, 0.5/float64(s.Samples+5))
		track(s.Offset[k], m.config.Quantiles, (z-blend)/s.Scale, eta)
	}
	if s.Steps >= h {
		peak := z
		for _, w := range s.Window[:h] {
			peak = math.Max(peak, w)
		}
		base := math.Inf(-1)
		for _, b := range s.Blend[(s.Steps-h+1)%(h+1)] {
			base = math.Max(base, b)
		}
		if !math.IsNaN(peak) && !math.IsNaN(base) {
			track(s.MaxOff, m.config.Quantiles, (peak-base)/s.Scale, max(0.02, 0.5/float64(s.Samples+5)))
		}
	}
	s.Scale += 0.03 * (math.Max(0.02, math.Abs(z-s.Level)) - s.Scale)
	s.Level += 0.3 * (z - s.Level)
	before := s.Holt
	s.Holt += 0.9*s.Trend + 0.5*(z-s.Holt-0.9*s.Trend)
	s.Trend = 0.81*s.Trend + 0.1*(s.Holt-before)
	s.Peak = math.Max(z, s.Peak*0.9999)
	s.Samples++
}

func track(offset, levels []float64, r, eta float64) {
	for i, q := range levels {
		step := eta * math.Max(1, math.Abs(offset[i]))
		if r <= offset[i] {
			offset[i] += step * (q - 1)
		} else {
			offset[i] += step * q
		}
	}
}

func (m *Model) points(k int) [experts]float64 {
	s := &m.s
	trend, damp := 0.0, 1.0
	for range k + 1 {
		damp *= 0.9
		trend += damp * s.Trend
	}
	seasonal := s.Season[(s.Steps+k)%len(s.Season)]
	if math.IsNaN(seasonal) {
		seasonal = s.Level
	}
	return [experts]float64{s.Level, s.Holt + trend, seasonal}
}

func (m *Model) blend(k int, points [experts]float64) float64 {
	if m.s.Samples == 0 {
		return math.NaN()
	}
	sum, weight := 0.0, 0.0
	for e, p := range points {
		w := math.Pow(m.s.Error[k][e]+1e-3, -4)
		sum += w * p
		weight += w
	}
	return sum / weight
}

// Forecast implements forecaster.Model.
func (m *Model) Forecast(dst *forecaster.Forecast, steps int) {
	s, n := &m.s, len(m.config.Quantiles)
	steps = max(1, min(steps, m.config.MaxSteps))
	dst.At, dst.Step, dst.Steps, dst.Samples = s.At, m.config.Step, steps, s.Samples
	dst.Levels = append(dst.Levels[:0], m.config.Quantiles...)
	dst.PerStep = slices.Grow(dst.PerStep[:0], steps*n)[:steps*n]
	dst.Max = slices.Grow(dst.Max[:0], n)[:n]
	base := 0.0
	for k := range steps {
		b := s.Blend[s.Steps%(m.config.MaxSteps+1)][k]
		if math.IsNaN(b) {
			b = 0
		}
		base = max(base, b)
		m.fill(dst.PerStep[k*n:(k+1)*n], b, s.Offset[k])
	}
	m.fill(dst.Max, base, s.MaxOff)
	for k := range steps {
		for i := range n {
			dst.Max[i] = max(dst.Max[i], dst.PerStep[k*n+i])
		}
	}
	dst.Warm, dst.Trusted, dst.Reason = s.Samples >= WarmSamples, true, ""
	if !dst.Warm {
		dst.Reason = fmt.Sprintf("warming up: %d of %d samples", s.Samples, WarmSamples)
	}
}

func (m *Model) fill(dst []float64, base float64, offset []float64) {
	limit := 3 * m.s.Peak * m.s.Peak
	for i := range dst {
		z := max(0, base+offset[i]*m.s.Scale)
		dst[i] = min(limit, max(0, z*z-0.375))
	}
	slices.Sort(dst)
}

// AppendCheckpoint implements forecaster.Model.
func (m *Model) AppendCheckpoint(b []byte) []byte {
	var out bytes.Buffer
	if err := gob.NewEncoder(&out).Encode(&m.s); err != nil {
		panic("ensemble: a state that cannot be encoded: " + err.Error())
	}
	return append(b, out.Bytes()...)
}

// Restore implements forecaster.Model.
func (m *Model) Restore(checkpoint []byte) error {
	var s state
	if err := gob.NewDecoder(bytes.NewReader(checkpoint)).Decode(&s); err != nil {
		return fmt.Errorf("read forecaster checkpoint: %w", err)
	}
	if s.Version != checkpointVersion {
		return fmt.Errorf("forecaster checkpoint of version %d, want %d", s.Version, checkpointVersion)
	}
	if len(s.Window) != m.config.MaxSteps || len(s.MaxOff) != len(m.config.Quantiles) || len(s.Season) != len(m.s.Season) {
		return fmt.Errorf("forecaster checkpoint of another configuration (%d steps, %d quantiles)", len(s.Window), len(s.MaxOff))
	}
	m.s = s
	return nil
}
