package sim

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/prescale/prescale/forecaster"
)

// Forecasts are the forecasts that a model gave tick by tick over one trace. Arrivals do not depend on the policy, so they are
// made once and played back for every policy, lead time and seed.
type Forecasts struct {
	levels  []float64
	steps   int
	step    time.Duration
	start   time.Time
	values  []float32 // tick, step, level
	samples []int32
	flags   []uint8 // 1 warm, 2 trusted
}

// Record runs a model over a scenario's trace, `steps` steps ahead at each tick. progress, unless nil, is told the share that
// is done now and then.
func Record(s *Scenario, model forecaster.Model, steps int, progress func(share float64)) *Forecasts {
	start := s.Start
	if start.IsZero() {
		start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	}
	ticks := int(s.Trace.Duration() / s.Tick)
	f := &Forecasts{steps: steps, step: time.Duration(s.Tick * float64(time.Second)), start: start}
	var out forecaster.Forecast
	for i := 1; i <= ticks; i++ {
		to := float64(i) * s.Tick
		model.Observe(start.Add(time.Duration(to*float64(time.Second))), (s.Trace.Arrived(to)-s.Trace.Arrived(to-s.Tick))/s.Tick)
		model.Forecast(&out, steps)
		if f.values == nil {
			f.levels = append([]float64(nil), out.Levels...)
			f.values = make([]float32, 0, ticks*steps*len(f.levels))
		}
		for _, v := range out.PerStep {
			f.values = append(f.values, float32(v))
		}
		var flag uint8
		if out.Warm {
			flag |= 1
		}
		if out.Trusted {
			flag |= 2
		}
		f.flags = append(f.flags, flag)
		f.samples = append(f.samples, int32(out.Samples))
		if progress != nil && i%1000 == 0 {
			progress(float64(i) / float64(ticks))
		}
	}
	return f
}

// Playback returns a model that answers from f. It knows the time only by what it observes.
func (f *Forecasts) Playback() forecaster.Model { return &playback{f: f, at: -1} }

type playback struct {
	f  *Forecasts
	at int
}

func (p *playback) Observe(at time.Time, _ float64) {
	p.at = int(math.Round(float64(at.Sub(p.f.start))/float64(p.f.step))) - 1
}

func (p *playback) Forecast(dst *forecaster.Forecast, steps int) {
	f := p.f
	n := min(steps, f.steps)
	*dst = forecaster.Forecast{Step: f.step, Levels: f.levels, Steps: n, PerStep: dst.PerStep[:0], Max: dst.Max[:0]}
	if p.at < 0 || p.at >= len(f.flags) {
		dst.Reason = "nothing observed"
		dst.Steps = 0
		return
	}
	dst.At = f.start.Add(time.Duration(p.at+1) * f.step)
	width := len(f.levels)
	row := f.values[p.at*f.steps*width:][:n*width]
	for range f.levels {
		dst.Max = append(dst.Max, 0)
	}
	for i, v := range row {
		dst.PerStep = append(dst.PerStep, float64(v))
		dst.Max[i%width] = max(dst.Max[i%width], float64(v))
	}
	dst.Samples = int(f.samples[p.at])
	dst.Warm, dst.Trusted = f.flags[p.at]&1 != 0, f.flags[p.at]&2 != 0
}

var errPlayback = errors.New("a playback of forecasts has no state to keep")

func (p *playback) AppendCheckpoint(b []byte) []byte { return b }
func (p *playback) Restore([]byte) error             { return errPlayback }

// Perfect returns a model that knows the trace: every quantile is what will arrive.
func Perfect(s *Scenario) forecaster.Model {
	start := s.Start
	if start.IsZero() {
		start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	}
	return &perfect{trace: s.Trace, start: start, tick: s.Tick}
}

type perfect struct {
	trace *Trace
	start time.Time
	tick  float64
	now   float64
	n     int
}

func (p *perfect) Observe(at time.Time, _ float64) {
	p.now = at.Sub(p.start).Seconds()
	p.n++
}

func (p *perfect) Forecast(dst *forecaster.Forecast, steps int) {
	levels := forecaster.DefaultQuantiles()
	*dst = forecaster.Forecast{
		At: p.start.Add(time.Duration(p.now * float64(time.Second))), Step: time.Duration(p.tick * float64(time.Second)),
		Levels: levels, Steps: steps, PerStep: dst.PerStep[:0], Max: dst.Max[:0], Samples: p.n, Warm: true, Trusted: true,
	}
	highest := 0.0
	for k := range steps {
		from := p.now + float64(k)*p.tick
		v := (p.trace.Arrived(from+p.tick) - p.trace.Arrived(from)) / p.tick
		highest = max(highest, v)
		for range levels {
			dst.PerStep = append(dst.PerStep, v)
		}
	}
	for range levels {
		dst.Max = append(dst.Max, highest)
	}
}

func (p *perfect) AppendCheckpoint(b []byte) []byte { return b }
func (p *perfect) Restore([]byte) error             { return errPlayback }

// header is what precedes the numbers in a stored recording.
type header struct {
	Levels []float64
	Steps  int
	Step   time.Duration
	Start  time.Time
	Ticks  int
}

// Write stores f, so that long sweeps need not make the forecasts anew.
func (f *Forecasts) Write(w io.Writer) error {
	b := bufio.NewWriterSize(w, 1<<20)
	head, err := json.Marshal(header{f.levels, f.steps, f.step, f.start, len(f.flags)})
	if err != nil {
		return err
	}
	if _, err := b.Write(append(head, '\n')); err != nil {
		return err
	}
	for _, part := range []any{f.values, f.samples, f.flags} {
		if err := binary.Write(b, binary.LittleEndian, part); err != nil {
			return err
		}
	}
	return b.Flush()
}

// ReadForecasts reads what Write stored.
func ReadForecasts(r io.Reader) (*Forecasts, error) {
	b := bufio.NewReaderSize(r, 1<<20)
	line, err := b.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("read recorded forecasts: %w", err)
	}
	var h header
	if err := json.Unmarshal(line, &h); err != nil {
		return nil, fmt.Errorf("read recorded forecasts: %w", err)
	}
	if h.Ticks < 0 || h.Ticks > 1e8 || h.Steps < 0 || h.Steps > 1e4 || len(h.Levels) > 100 {
		return nil, errors.New("read recorded forecasts: the header makes no sense")
	}
	f := &Forecasts{
		levels: h.Levels, steps: h.Steps, step: h.Step, start: h.Start,
		values: make([]float32, h.Ticks*h.Steps*len(h.Levels)), samples: make([]int32, h.Ticks), flags: make([]uint8, h.Ticks),
	}
	for _, part := range []any{f.values, f.samples, f.flags} {
		if err := binary.Read(b, binary.LittleEndian, part); err != nil {
			return nil, fmt.Errorf("read recorded forecasts: %w", err)
		}
	}
	return f, nil
}

// Time returns when tick i was: what Playback's Observe must be told to answer for it.
func (f *Forecasts) Time(i int) time.Time { return f.start.Add(time.Duration(i+1) * f.step) }
