// Package forecastertest is the suite that every model passes: what a forecast promises, on short, constant, broken and
// absurd histories, and that a restored model answers bit for bit.
package forecastertest

import (
	"bytes"
	"math"
	"math/rand"
	"reflect"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
)

// Make makes a fresh model.
type Make func(forecaster.Config) (forecaster.Model, error)

// start is when every test's first sample ends.
var start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// Config is what the suite makes models with: a day is 96 steps, so that seasons are reached fast.
func Config() forecaster.Config {
	return forecaster.Config{
		Step: 15 * time.Minute, MaxSteps: 6, Quantiles: []float64{0.5, 0.9, 0.99},
		Seasons: []time.Duration{24 * time.Hour, 7 * 24 * time.Hour},
	}
}

// Run runs the whole suite on models that make gives.
func Run(t *testing.T, make Make) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, Make)
	}{
		{"histories", histories},
		{"irregular times", irregular},
		{"constant", constant},
		{"bounded after a spike", spike},
		{"checkpoint", checkpoint},
		{"bad checkpoints", badCheckpoints},
		{"no allocation", noAllocation},
		{"cut history", cut},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, make) })
	}
}

func must(t *testing.T, make Make) forecaster.Model {
	t.Helper()
	m, err := make(Config())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Check fails the test where f breaks what every forecast promises: finite, not negative, not falling over rising levels,
// and the maximum no lower than any step.
func Check(t testing.TB, f *forecaster.Forecast) {
	t.Helper()
	n := len(f.Levels)
	if len(f.PerStep) != f.Steps*n || len(f.Max) != n {
		t.Fatalf("%d and %d values for %d steps and %d levels", len(f.PerStep), len(f.Max), f.Steps, n)
	}
	row := func(name string, values []float64) {
		for i, v := range values {
			if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
				t.Fatalf("%s, level %v: %v", name, f.Levels[i], v)
			}
			if i > 0 && v < values[i-1] {
				t.Fatalf("%s: level %v is %v, under %v at level %v", name, f.Levels[i], v, values[i-1], f.Levels[i-1])
			}
		}
	}
	for k := range f.Steps {
		row("step", f.PerStep[k*n:(k+1)*n])
		for i := range n {
			if f.PerStep[k*n+i] > f.Max[i] {
				t.Fatalf("level %v of step %d is %v, over the maximum's %v", f.Levels[i], k+1, f.PerStep[k*n+i], f.Max[i])
			}
		}
	}
	row("maximum", f.Max)
}

// daily is a day's curve with Poisson-like noise.
func daily(rng *rand.Rand, i int) float64 {
	mean := 100 + 60*math.Sin(2*math.Pi*float64(i)/96)
	return max(0, mean+math.Sqrt(mean)*rng.NormFloat64())
}

func histories(t *testing.T, make Make) {
	for _, tt := range []struct {
		name  string
		value func(rng *rand.Rand, i int) float64
	}{
		{"daily", daily},
		{"zeros", func(*rand.Rand, int) float64 { return 0 }},
		{"gaps", func(rng *rand.Rand, i int) float64 {
			if rng.Intn(3) == 0 {
				return math.NaN()
			}
			return daily(rng, i)
		}},
		{"only gaps", func(*rand.Rand, int) float64 { return math.NaN() }},
		{"infinities", func(rng *rand.Rand, i int) float64 {
			if i%50 == 7 {
				return math.Inf(1)
			}
			return daily(rng, i)
		}},
		{"huge", func(rng *rand.Rand, i int) float64 { return 1e12 * daily(rng, i) }},
		{"beyond", func(*rand.Rand, int) float64 { return math.MaxFloat64 }},
		{"tiny", func(rng *rand.Rand, i int) float64 { return 1e-9 * daily(rng, i) }},
		{"rare", func(rng *rand.Rand, i int) float64 { return float64(1 / (1 + rng.Intn(20))) }},
		{"zeros for a day", func(rng *rand.Rand, i int) float64 {
			if i >= 300 && i < 396 {
				return 0
			}
			return daily(rng, i)
		}},
		{"step down by a million", func(rng *rand.Rand, i int) float64 {
			if i >= 300 {
				return daily(rng, i) / 1e6
			}
			return daily(rng, i)
		}},
		{"negative", func(rng *rand.Rand, i int) float64 { return -daily(rng, i) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, rng := must(t, make), rand.New(rand.NewSource(1))
			var f forecaster.Forecast
			m.Forecast(&f, 6)
			Check(t, &f)
			for i := range 700 {
				m.Observe(start.Add(time.Duration(i)*Config().Step), tt.value(rng, i))
				if i < 50 || i%17 == 0 {
					m.Forecast(&f, 1+i%6)
					Check(t, &f)
				}
			}
		})
	}
}

func irregular(t *testing.T, make Make) {
	m, rng := must(t, make), rand.New(rand.NewSource(2))
	var f forecaster.Forecast
	at := start
	for i := range 400 {
		switch rng.Intn(12) {
		case 0: // duplicate
		case 1: // backwards
			m.Observe(at.Add(-time.Duration(rng.Intn(1e6))*time.Second), daily(rng, i))
		case 2: // a long silence
			at = at.Add(time.Duration(rng.Intn(400)) * Config().Step)
		case 3: // jitter
			at = at.Add(Config().Step + time.Duration(rng.Intn(500))*time.Second)
		default:
			at = at.Add(Config().Step)
		}
		m.Observe(at, daily(rng, i))
		m.Forecast(&f, 6)
		Check(t, &f)
	}
	before := f
	before.PerStep = append([]float64(nil), f.PerStep...)
	m.Observe(at, 1e9)
	m.Observe(at.Add(-time.Hour), 1e9)
	m.Forecast(&f, 6)
	if !reflect.DeepEqual(before.PerStep, f.PerStep) {
		t.Error("a sample that is not later than the last one changed the forecast")
	}
	m.Observe(at.Add(200*365*24*time.Hour), 50)
	m.Forecast(&f, 6)
	Check(t, &f)
}

// silence checks that a forecast after a gap depends on how long it was, not on how often that was said, up to gaps of centuries.
func silence(t *testing.T, make Make) {
	for _, steps := range []int{2, 30, 400, 500, 5000, 4_000_000} {
		var a, b forecaster.Forecast
		for round, f := range []*forecaster.Forecast{&a, &b} {
			m, rng := must(t, make), rand.New(rand.NewSource(10))
			at := start
			for i := range 250 {
				at = start.Add(time.Duration(i) * Config().Step)
				m.Observe(at, daily(rng, i))
			}
			if round == 1 {
				for i := 1; i < min(steps, 600); i++ { // 600 are more than any model has pending
					m.Observe(at.Add(time.Duration(steps-min(steps, 600)+i)*Config().Step), math.NaN())
				}
			}
			for i := range 20 {
				m.Observe(at.Add(time.Duration(steps+i)*Config().Step), daily(rng, 250+steps+i))
			}
			m.Forecast(f, 6)
			Check(t, f)
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("after %d steps of silence the forecast is %v, where the gaps were told one by one %v", steps, a.PerStep, b.PerStep)
		}
	}
}

func constant(t *testing.T, make Make) {
	m := must(t, make)
	for i := range 300 {
		m.Observe(start.Add(time.Duration(i)*Config().Step), 40)
	}
	var f forecaster.Forecast
	m.Forecast(&f, 6)
	for i, v := range f.PerStep {
		if math.Abs(v-40) > 2 {
			t.Errorf("value %d of a constant 40: %v", i, v)
		}
	}
	if !f.Warm {
		t.Errorf("not warm after 300 samples: %s", f.Reason)
	}
	// What is always the same is told the same: a quantile that is a hair under it would cover nothing.
	for i := 300; i < 2000; i++ {
		m.Observe(start.Add(time.Duration(i)*Config().Step), 40)
	}
	m.Forecast(&f, 6)
	for i, v := range append(f.PerStep, f.Max...) {
		if v < 40 || v > 40.04 {
			t.Errorf("value %d of a constant 40 after 2000 samples: %v", i, v)
		}
	}
}

// spikeBound is how far, as a multiple of what was ever seen, a quantile may go.
const spikeBound = 9.5

func spike(t *testing.T, make Make) {
	m, rng := must(t, make), rand.New(rand.NewSource(3))
	var f forecaster.Forecast
	seen := 0.0
	for i := range 900 {
		v := daily(rng, i)
		if i == 400 {
			v *= 1e6
		}
		seen = max(seen, v)
		m.Observe(start.Add(time.Duration(i)*Config().Step), v)
		m.Forecast(&f, 6)
		Check(t, &f)
		if top := f.Max[len(f.Max)-1]; top > spikeBound*seen+1e-3 {
			t.Fatalf("step %d: %v forecast where no more than %v was ever seen", i, top, seen)
		}
	}
}

// RunRecovery adds what the standard model promises and a season's naive forecast alone cannot: it finds the new level
// after a lasting change, and knows the time of day after any gap and on any clock.
func RunRecovery(t *testing.T, make Make) {
	t.Run("a long silence", func(t *testing.T) { silence(t, make) })
	t.Run("knows the time of day", func(t *testing.T) { phase(t, make) })
	t.Run("recovers after a step", func(t *testing.T) { recovers(t, make) })
	t.Run("recovers after a disturbance", func(t *testing.T) { settles(t, make) })
}

// recoverySamples is within how many samples after a lasting change of level by a factor of a hundred the median is within a quarter
// of it, and after a disturbance back at the level before. After one by a million down it is under a thousandth of the level before:
// the share of experts that have no record any more.
const recoverySamples = 60

func recovers(t *testing.T, make Make) {
	for _, tt := range []struct {
		factor, within float64
	}{
		{100, 25}, {0.01, 0.0025}, {1e-6, 1e-3},
	} {
		factor := tt.factor
		m, rng := must(t, make), rand.New(rand.NewSource(4))
		var f forecaster.Forecast
		for i := range 300 + recoverySamples {
			v := 1000 + 20*rng.NormFloat64()
			if i >= 300 {
				v *= factor
			}
			m.Observe(start.Add(time.Duration(i)*Config().Step), v)
		}
		m.Forecast(&f, 6)
		Check(t, &f)
		if q := f.Quantile(1, 0); math.Abs(q-1000*factor) > 1000*tt.within {
			t.Errorf("%d samples after a change from 1000 to %v the median is %v", recoverySamples, 1000*factor, q)
		}
	}
}

// phase checks that the day's curve is forecast within a tenth after silences of odd lengths, and where samples come a twentieth
// too slow, too fast or as they like.
func phase(t *testing.T, make Make) {
	step := Config().Step
	for _, tt := range []struct {
		name string
		next func(rng *rand.Rand, i int) time.Duration // from sample i to the next
	}{
		{"a silence of 50 days and a quarter", func(_ *rand.Rand, i int) time.Duration {
			if i == 799 {
				return (50*96 + 24) * step
			}
			return step
		}},
		{"a clock that is slow", func(*rand.Rand, int) time.Duration { return step * 21 / 20 }},
		{"a clock that is fast", func(*rand.Rand, int) time.Duration { return step * 19 / 20 }},
		{"jitter", func(rng *rand.Rand, i int) time.Duration {
			return step + time.Duration((rng.Float64()-0.5)*0.9*float64(step))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, rng := must(t, make), rand.New(rand.NewSource(11))
			curve := func(at time.Time) float64 { return 100 + 60*math.Sin(2*math.Pi*at.Sub(start).Hours()/24) }
			var f forecaster.Forecast
			at, off, n := start, 0.0, 0
			for i := range 1000 {
				m.Observe(at, curve(at)+rng.NormFloat64())
				m.Forecast(&f, 6)
				Check(t, &f)
				if i >= 805 {
					off += math.Abs(f.Quantile(6, 0) - curve(at.Add(6*step)))
					n++
				}
				at = at.Add(tt.next(rng, i))
			}
			if off /= float64(n); off > 6 {
				t.Errorf("six steps ahead the median is off by %.1f on average, where the curve moves by up to 23", off)
			}
		})
	}
}

// settles checks that within recoverySamples of a disturbance's end the median is within a quarter of the level again.
func settles(t *testing.T, make Make) {
	t.Run("clock", func(t *testing.T) {
		m, rng := must(t, make), rand.New(rand.NewSource(12))
		var f forecaster.Forecast
		at := start
		for i := range 360 {
			v := 1000 + 20*rng.NormFloat64()
			if i >= 300-2*recoverySamples && i < 300 { // a duplicate, one far too late, one from the day before, and a leap of a year
				m.Observe(at, 3*v)
				m.Observe(at.Add(-Config().Step/2), 0)
				m.Observe(at.Add(-24*time.Hour), 50*v)
				if i == 299 {
					at = at.Add(365 * 24 * time.Hour)
				}
			}
			at = at.Add(Config().Step)
			m.Observe(at, v)
			m.Forecast(&f, 6)
			Check(t, &f)
		}
		if q := f.Quantile(1, 0); math.Abs(q-1000) > 250 {
			t.Errorf("after a clock that went back and forth the median is %v, want 1000", q)
		}
	})
	const from = 300
	for _, tt := range []struct {
		name  string
		steps int
		value func(usual float64, i int) float64
	}{
		{"spike of a million times", 1, func(usual float64, _ int) float64 { return 1e6 * usual }},
		{"zeros for a day", 96, func(float64, int) float64 { return 0 }},
		{"no number for a day", 96, func(float64, int) float64 { return math.NaN() }},
		{"infinities and negatives", 20, func(usual float64, i int) float64 { return []float64{math.Inf(1), math.Inf(-1), -usual}[i%3] }},
		{"a millionth for a day", 96, func(usual float64, _ int) float64 { return usual / 1e6 }},
	} {
		m, rng := must(t, make), rand.New(rand.NewSource(9))
		var f forecaster.Forecast
		for i := range from + tt.steps + recoverySamples {
			v := 1000 + 20*rng.NormFloat64()
			if i >= from && i < from+tt.steps {
				v = tt.value(v, i)
			}
			m.Observe(start.Add(time.Duration(i)*Config().Step), v)
			m.Forecast(&f, 6)
			Check(t, &f)
		}
		if q := f.Quantile(1, 0); math.Abs(q-1000) > 250 {
			t.Errorf("%s: %d samples after it the median is %v, want 1000", tt.name, recoverySamples, q)
		}
	}
}

func checkpoint(t *testing.T, make Make) {
	for _, samples := range []int{0, 1, 5, 150, 800} {
		one, two := must(t, make), must(t, make)
		rng := rand.New(rand.NewSource(5))
		for i := range samples {
			one.Observe(start.Add(time.Duration(i)*Config().Step), daily(rng, i))
		}
		if err := two.Restore(one.AppendCheckpoint(nil)); err != nil {
			t.Fatalf("%d samples: %v", samples, err)
		}
		for i := range 60 {
			at, v := start.Add(time.Duration(samples+i)*Config().Step), daily(rng, i)
			one.Observe(at, v)
			two.Observe(at, v)
		}
		var a, b forecaster.Forecast
		one.Forecast(&a, 6)
		two.Forecast(&b, 6)
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%d samples: a restored model forecasts %v, the first %v", samples, b.PerStep, a.PerStep)
		}
		if !bytes.Equal(one.AppendCheckpoint(nil), two.AppendCheckpoint(nil)) {
			t.Errorf("%d samples: checkpoints differ", samples)
		}
	}
}

func badCheckpoints(t *testing.T, make Make) {
	m, rng := must(t, make), rand.New(rand.NewSource(6))
	for i := range 200 {
		m.Observe(start.Add(time.Duration(i)*Config().Step), daily(rng, i))
	}
	good := m.AppendCheckpoint(nil)
	for _, cut := range []int{0, 1, 7, 100, len(good) / 2, len(good) - 1} {
		if err := m.Restore(good[:cut]); err == nil {
			t.Errorf("a checkpoint cut to %d of %d bytes was restored", cut, len(good))
		}
	}
	if err := m.Restore(append(bytes.Clone(good), 1)); err == nil {
		t.Error("a checkpoint with a byte too many was restored")
	}
	if !bytes.Equal(good, m.AppendCheckpoint(nil)) {
		t.Error("a refused checkpoint changed the model")
	}
}

func noAllocation(t *testing.T, make Make) {
	m, rng := must(t, make), rand.New(rand.NewSource(7))
	i := 0
	var f forecaster.Forecast
	step := func() {
		m.Observe(start.Add(time.Duration(i)*Config().Step), daily(rng, i))
		m.Forecast(&f, 6)
		i++
	}
	for range 300 {
		step()
	}
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations per sample", n)
	}
}

// cut checks that a forecast depends on nothing after it and on nothing but the samples.
func cut(t *testing.T, make Make) {
	var a, b forecaster.Forecast
	for round, f := range []*forecaster.Forecast{&a, &b} {
		m, rng := must(t, make), rand.New(rand.NewSource(8))
		for i := range 250 {
			m.Observe(start.Add(time.Duration(i)*Config().Step), daily(rng, i))
			if round == 1 && i%3 == 0 {
				var other forecaster.Forecast
				m.Forecast(&other, 1+i%6)
			}
		}
		m.Forecast(f, 6)
	}
	if !reflect.DeepEqual(a, b) {
		t.Error("asking for forecasts on the way changed the last one")
	}
}
