// Package ensemble forecasts one series online: ten simple experts give point forecasts, and the ensemble turns them into
// quantiles of each coming step and of the maximum over all of them. Its main type is Model. hack/designs/forecaster.md
// describes the whole algorithm with its formulas.
//
// There are three layers, each with its own state for every step ahead (or window) and every quantile level:
//
//  1. The quantiles of each expert's own errors are tracked, which makes its point a quantile (track.go; start.go for the first ones).
//  2. These quantiles are averaged with weights that are learned online from their pinball loss (aggregate.go). Where the experts
//     disagree, the weights also depend on who was right in such moments before (disagree.go, dispute.go).
//  3. A last tracker moves the average until as many outcomes are under it as its level says, at busy hours as at quiet ones
//     (conformal.go).
//
// bank.go holds the state of the layers and settles each forecast when its outcome is known. The maximum over a window is a target
// of its own in all layers: the maximum of per-step quantiles would cover it far too rarely. change.go lets go of what was learned
// when the series has become another, and watch.go judges what was forecast.
//
// The model survives bad input: samples that are no number, infinite or negative are gaps, and samples no later than the last one
// are dropped. Within forecastertest.RecoverySamples (60) of a spike of a million times, a day of zeros or gaps, or a lasting change
// of level by a factor of a hundred the median is within a quarter of the level, and after a fall by a factor of a million within a
// thousandth of the level before. What lasting changes cost is in hack/designs/forecast-changes.md.
package ensemble

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/checkpoint"
	"github.com/prescale/prescale/forecaster/signal"
)

// warmSamples is how many samples a model needs before its forecasts are to be believed.
const warmSamples = 30

// checkpointVersion changes whenever the visited fields, their order or their meaning do.
const checkpointVersion = 29

// Expert gives point forecasts on the square-root scale. Observe is called on all experts after the signal took a step,
// then Points on all of them, each once per step.
type Expert interface {
	Observe(s *signal.Signal)
	Points(s *signal.Signal, dst []float64)
	Visit(c *checkpoint.Codec)
}

// restarter is an Expert that lets go of most of what it learned when the series has changed.
type restarter interface{ Restart() }

// Model is a forecaster.Model. It is not safe for concurrent use.
type Model struct {
	config  forecaster.Config
	unit    float64 // what a value is multiplied by: seconds a step, and more where values are tiny
	sized   bool    // a value other than zero was seen
	signal  *signal.Signal
	experts []Expert
	started bool
	at      time.Time
	off     time.Duration // by how much at is later than the steps taken say
	bank    bank
	path    []float64
	deaf    bool // nothing is restarted, for tests
}

// New makes a Model of experts over s; config must be valid, and s must reach config.MaxSteps. Of the experts in quick, by index, the
// errors are judged in units of s.Quick as well as of s.Scale: what a storm has widened is narrow again soon after it. Those in doubted
// have little say in the middle until their record speaks for them.
func New(config forecaster.Config, s *signal.Signal, experts []Expert, quick, doubted []int) (*Model, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("forecaster: %w", err)
	}
	config.Quantiles = slices.Clone(config.Quantiles)
	m := &Model{config: config, unit: config.Step.Seconds(), signal: s, experts: experts}
	m.bank.init(config.Quantiles, config.MaxSteps, len(experts), quick, doubted)
	m.path = make([]float64, config.MaxSteps)
	return m, nil
}

const strayedReason = "recent maxima passed their quantiles too often: coverage has left its band"

// flushSteps is how many steps of a gap are taken one by one, after which nothing that was pending when it began still is; what
// a longer gap has before them is skipped at little cost. maxSteps bounds a gap so that steps can be counted: some million years.
const (
	flushSteps = 2 * forecaster.MaxHorizonSteps
	maxSteps   = 1 << 50
)

// Observe implements forecaster.Model. A sample stands for the whole number of steps since the last one, rounded, so jitter neither
// doubles a step nor loses one. What the rounding leaves over is summed: where samples come slower or faster than the step says, a
// step is taken twice or a sample dropped whenever the sum has become a step. So a season's phase is the clock's.
func (m *Model) Observe(at time.Time, value float64) {
	if value < 0 || math.IsInf(value, 0) {
		value = math.NaN()
	}
	m.size(value)
	if !m.started {
		m.started, m.at = true, at
		m.step(value * m.unit)
		return
	}
	since, step := at.Sub(m.at), m.config.Step
	steps := int64(min(math.Round(float64(since)/float64(step)), maxSteps))
	if steps < 1 {
		return
	}
	m.at = at
	if m.off += since - time.Duration(steps)*step; steps == maxSteps {
		m.off = 0
	}
	if m.off <= -step {
		m.off += step
		if steps--; steps < 1 {
			return
		}
	}
	m.gap(int(steps - 1))
	m.step(value * m.unit)
	if m.off >= step {
		m.off -= step
		m.step(value * m.unit)
	}
}

// The square root's offset and all spreads' lower bounds are made for counts. A series whose first value is far under a count, such
// as one in millions or a share, is taken in a power of two of its unit in which that value is as large as some counts.
const (
	tinyValue   = 1.0 / 4
	tinyRaised  = 5  // to 2^4 to 2^5, beside which the offset is little
	tinyHighest = 30 // a first value of less is a rounding error rather than a series' unit
)

// size chooses the unit by the first value that is not zero; zeros are the same in any.
func (m *Model) size(value float64) {
	if m.sized || !(value > 0) {
		return
	}
	m.sized = true
	if y := value * m.unit; y < tinyValue {
		_, exponent := math.Frexp(y)
		m.unit = math.Ldexp(m.unit, min(tinyRaised-exponent, tinyHighest))
	}
}

// gap takes n steps without a value.
func (m *Model) gap(n int) {
	if n > flushSteps {
		m.signal.Skip(n - flushSteps)
		n = flushSteps
	}
	for range n {
		m.step(math.NaN())
	}
}

// maxValue bounds what is taken for a sample, in units per step: beyond it sums of squares would leave what a float32 holds.
const maxValue = 1e20

func (m *Model) step(y float64) {
	s := m.signal
	if math.IsNaN(y) {
		s.Push(y)
	} else {
		y = min(y, maxValue)
		s.Push(signal.Forward(y))
	}
	m.bank.learn(s, y)
	if m.bank.changed && !m.deaf {
		m.bank.restart()
		for _, e := range m.experts {
			if e, ok := e.(restarter); ok {
				e.Restart()
			}
		}
	} else if m.bank.behind && !m.deaf {
		m.bank.reweigh()
	}
	for _, e := range m.experts {
		e.Observe(s)
	}
	if s.Known() == 0 {
		return
	}
	for k, e := range m.experts {
		e.Points(s, m.path)
		m.bank.take(s, k, m.path)
	}
	m.bank.finish(s)
}

// Forecast implements forecaster.Model.
func (m *Model) Forecast(dst *forecaster.Forecast, steps int) {
	n := len(m.config.Quantiles)
	steps = max(1, min(steps, m.config.MaxSteps))
	dst.At, dst.Step, dst.Steps, dst.Samples = m.at, m.config.Step, steps, m.signal.Known()
	dst.Levels = append(dst.Levels[:0], m.config.Quantiles...)
	dst.PerStep = slices.Grow(dst.PerStep[:0], steps*n)[:steps*n]
	dst.Max = slices.Grow(dst.Max[:0], n)[:n]
	// No step's quantile is above that of the maximum over the longest window, which is tracked on its own: of many steps'
	// quantiles the largest is the one whose error is largest.
	m.bank.quantiles(dst.Max, m.signal, m.bank.targets-1)
	for k := range steps {
		row := dst.PerStep[k*n : (k+1)*n]
		m.bank.quantiles(row, m.signal, k)
		for i := range row {
			row[i] = min(row[i], dst.Max[i])
		}
	}
	if steps < m.config.MaxSteps {
		m.bank.window(dst.Max, m.signal, steps)
		for i := range n {
			for k := range steps {
				dst.Max[i] = max(dst.Max[i], dst.PerStep[k*n+i])
			}
		}
	}
	m.answer(dst.PerStep)
	m.answer(dst.Max)
	m.bank.watch.report(&dst.Accuracy, m.unit)
	dst.Warm, dst.Trusted, dst.Reason = dst.Samples >= warmSamples, true, ""
	if i := m.bank.watch.strayed(); i >= 0 {
		dst.Trusted, dst.Reason = false, strayedReason
	}
	if !dst.Warm {
		dst.Reason = fmt.Sprintf("warming up: %d of %d samples", dst.Samples, warmSamples)
	}
}

// same is how far from the latest value, as a share of it, a quantile may be and still be told as that value: of arrivals that are always
// the same the trackers' last steps, which end a hair above or below, would otherwise decide what is covered. It is half of the least unit
// that trackers move in (signal.Signal's scale), and the noise of a hundred million arrivals a step.
const same = 1e-4

// answer takes quantiles from what the bank holds to the caller's unit.
func (m *Model) answer(quantiles []float64) {
	last := m.bank.outcome[m.signal.Steps()%len(m.bank.outcome)]
	for i, q := range quantiles {
		if math.Abs(q-last) <= same*last {
			q = last
		}
		quantiles[i] = q / m.unit
	}
}

func (m *Model) visit(c *checkpoint.Codec) {
	c.Same("version", checkpointVersion)
	c.Same("steps", m.config.MaxSteps)
	c.Same("experts", len(m.experts))
	c.Same("experts' quantiles", m.bank.k)
	c.Bool(&m.started)
	nanos := m.at.UnixNano()
	c.Int64(&nanos)
	m.at = time.Unix(0, nanos).UTC()
	off := int64(m.off)
	c.Int64(&off)
	m.off = time.Duration(off)
	c.Bool(&m.sized)
	c.Float64(&m.unit)
	m.signal.Visit(c)
	for _, e := range m.experts {
		e.Visit(c)
	}
	m.bank.visit(c)
}

// AppendCheckpoint implements forecaster.Model.
func (m *Model) AppendCheckpoint(b []byte) []byte {
	c := checkpoint.Writer(slices.Grow(b, 68<<10))
	m.visit(c)
	return c.Bytes()
}

// Restore implements forecaster.Model.
func (m *Model) Restore(b []byte) error {
	c := checkpoint.Checker(b)
	at, off := m.at, m.off
	m.visit(c)
	m.at, m.off = at, off
	if c.Err() == nil && len(c.Bytes()) > 0 {
		c.Fail(fmt.Errorf("%d bytes too many", len(c.Bytes())))
	}
	if err := c.Err(); err != nil {
		return fmt.Errorf("restore forecaster: %w", err)
	}
	m.visit(checkpoint.Reader(b))
	return nil
}
