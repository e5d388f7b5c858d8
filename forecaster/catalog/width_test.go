package catalog_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/forecaster/score"
)

// TestNarrowAgainSoonAfterAStorm: how far the 0.99 quantile is above the median two hours after one of two hours, in deviations of the
// noise that is back. A unit of error with a memory of a thousand steps alone left it at 20.
func TestNarrowAgainSoonAfterAStorm(t *testing.T) {
	const noise, seeds = 5.0, 20
	var f forecaster.Forecast
	width, n := 0.0, 0.0
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed+1, 3))
		m, err := catalog.New(forecaster.Config{Step: time.Minute, MaxSteps: 4, Quantiles: []float64{0.5, 0.99}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 1360 {
			sd := noise
			if i >= 1000 && i < 1120 {
				sd = 30 * noise
			}
			m.Observe(time.Unix(0, 0).Add(time.Duration(i)*time.Minute), max(0, 1000+sd*random.NormFloat64()))
			if i >= 1240 {
				m.Forecast(&f, 1)
				width += (f.Quantile(1, 1) - f.Quantile(1, 0)) / noise
				n++
			}
		}
	}
	if got := width / n; got < 1.5 || got > 5.5 {
		t.Errorf("the 0.99 quantile is %.2f deviations above the median, want 1.5 to 5.5", got)
	}
}

// TestFirstQuantilesOfAHeavyTail: what share of outcomes the 0.99 quantile covers after 30 samples of noise with a heavy tail.
// Normal quantiles to begin with covered 0.972.
func TestFirstQuantilesOfAHeavyTail(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 4))
	draw := func() float64 {
		x := random.ExpFloat64()
		if random.IntN(2) == 0 {
			x = -x
		}
		return math.Max(0, 1000+50*x)
	}
	const starts = 1000
	covered := 0
	var f forecaster.Forecast
	for range starts {
		m, err := catalog.New(forecaster.Config{Step: time.Minute, MaxSteps: 4, Quantiles: []float64{0.5, 0.99}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 30 {
			m.Observe(time.Unix(0, 0).Add(time.Duration(i)*time.Minute), draw())
		}
		m.Forecast(&f, 1)
		if draw() <= f.Quantile(1, 1) {
			covered++
		}
	}
	if got := float64(covered) / starts; got < 0.977 || got > 0.995 {
		t.Errorf("the 0.99 quantile covers %.3f, want 0.977 to 0.995", got)
	}
}

// TestMaximaOfAYoungSeries: of independent noise, how often the maximum of the next steps is at or under its 0.9 quantile, and by how much
// its quantiles lose more than exact ones. 87 % were covered over ten steps while few outcomes were tracked as many are, and over thirty
// the loss was 1.31 of the least while windows that share steps were judged as if they did not.
func TestMaximaOfAYoungSeries(t *testing.T) {
	const level, noise, seeds = 1000.0, 30.0, 60
	for _, tt := range []struct {
		steps, from, to int
		covered, loss   float64 // at least, at most
	}{
		{10, 100, 200, 0.88, 1.19},
		{30, 200, 300, 0.87, 1.27},
	} {
		config := forecaster.Config{Step: time.Minute, MaxSteps: tt.steps, Quantiles: []float64{0.5, 0.9}}
		var f forecaster.Forecast
		covered, n, loss, least := 0.0, 0.0, 0.0, 0.0
		for seed := range uint64(seeds) {
			random := rand.New(rand.NewPCG(seed, 3))
			m, err := catalog.New(config)
			if err != nil {
				t.Fatal(err)
			}
			values := make([]float64, tt.to+tt.steps)
			for i := range values {
				values[i] = level + noise*random.NormFloat64()
			}
			for i := range tt.to {
				m.Observe(time.Unix(0, 0).Add(time.Duration(i)*config.Step), values[i])
				if i < tt.from {
					continue
				}
				m.Forecast(&f, tt.steps)
				peak := slices.Max(values[i+1:][:tt.steps])
				if n++; peak <= f.Max[1] {
					covered++
				}
				for l, tau := range config.Quantiles {
					exact := level + noise*math.Sqrt2*math.Erfinv(2*math.Pow(tau, 1/float64(tt.steps))-1)
					loss += score.Pinball(f.Max[l], peak, tau)
					least += score.Pinball(exact, peak, tau)
				}
			}
		}
		if got := covered / n; got < tt.covered || got > 0.92 {
			t.Errorf("%d steps: the 0.9 quantile covers %.3f, want %g to 0.92", tt.steps, got, tt.covered)
		}
		if got := loss / least; got > tt.loss {
			t.Errorf("%d steps: the quantiles lose %.3f of what exact ones do, want %g at most", tt.steps, got, tt.loss)
		}
	}
}

// TestNarrowWhereDaysAreAlike: a day at steps of an hour moves by a fifth of its level in a step, and each day is as the one before to
// half a percent. In units of how far the series moves the 0.99 quantile was 84 % above the level for weeks.
func TestNarrowWhereDaysAreAlike(t *testing.T) {
	m, err := catalog.New(forecaster.Config{Step: time.Hour, MaxSteps: 12, Quantiles: []float64{0.5, 0.9, 0.95, 0.99}})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	at := time.Unix(0, 0)
	var f forecaster.Forecast
	wide, n := 0.0, 0
	for i := range 40 * 24 {
		level := 1000 * (1 + 0.7*math.Sin(2*math.Pi*float64(i)/24))
		at = at.Add(time.Hour)
		m.Observe(at, level*(1+0.005*random.NormFloat64()))
		if i < 20*24 {
			continue
		}
		m.Forecast(&f, 12)
		for k := 1; k <= 12; k++ {
			ahead := 1000 * (1 + 0.7*math.Sin(2*math.Pi*float64(i+k)/24))
			wide += (f.Quantile(k, 3) - ahead) / ahead
			n++
		}
	}
	if wide /= float64(n); wide > 0.08 {
		t.Errorf("the 0.99 quantile is %.1f %% above the level in the second twenty days, want at most 8: that of the noise it is 1.2", 100*wide)
	}
}

// TestMaximaOfWindowsWithGaps: of a load that bursts in three steps of a hundred, and of one that wanders, every other step is missing or
// half of them by chance, so that hardly a window is whole. While those alone taught the maximum, its 0.99 quantile covered 87 to 91 % of
// the bursts and 96 to 97 % where the load wanders, and the loss was 207 to 217 and 275 to 287.
func TestMaximaOfWindowsWithGaps(t *testing.T) {
	const steps = 10
	config := forecaster.Config{Step: 30 * time.Second, MaxSteps: steps, Quantiles: []float64{0.5, 0.9, 0.95, 0.99}}
	everyOther := func(_ *rand.Rand, i int) bool { return i%2 == 0 }
	byChance := func(random *rand.Rand, _ int) bool { return random.Float64() < 0.5 }
	bursts := func(random *rand.Rand, y []float64) {
		for i := range y {
			y[i] = 100 + 3*random.NormFloat64()
			if random.Float64() < 0.03 {
				y[i] *= 5
			}
		}
	}
	wanders := func(random *rand.Rand, y []float64) {
		for i, x := 0, 0.0; i < len(y); i++ {
			x = 0.99*x + 0.1*random.NormFloat64()
			y[i] = 1000 * math.Exp(x)
		}
	}
	for _, tt := range []struct {
		name string
		fill func(*rand.Rand, []float64)
		seen func(*rand.Rand, int) bool
		loss float64 // at most
	}{
		{"bursts, every other step", bursts, everyOther, 165},
		{"bursts, half of the steps", bursts, byChance, 165},
		{"wanders, every other step", wanders, everyOther, 270},
		{"wanders, half of the steps", wanders, byChance, 270},
	} {
		covered, n, loss := 0.0, 0.0, 0.0
		for seed := range uint64(4) {
			random := rand.New(rand.NewPCG(seed, 3))
			m, err := catalog.New(config)
			if err != nil {
				t.Fatal(err)
			}
			y := make([]float64, 3000)
			tt.fill(random, y)
			var f forecaster.Forecast
			for i := range len(y) - steps {
				if !tt.seen(random, i) {
					continue
				}
				m.Observe(time.Unix(0, 0).Add(time.Duration(i)*config.Step), y[i])
				if i < 1000 {
					continue
				}
				m.Forecast(&f, steps)
				peak := slices.Max(y[i+1:][:steps])
				if n++; peak <= f.Max[3] {
					covered++
				}
				for l, tau := range config.Quantiles {
					loss += score.Pinball(f.Max[l], peak, tau)
				}
			}
		}
		if got := covered / n; got < 0.98 {
			t.Errorf("%s: the 0.99 quantile covers %.3f of the maxima, want 0.98 at least", tt.name, got)
		}
		if got := loss / n; got > tt.loss {
			t.Errorf("%s: the quantiles of the maximum lose %.1f, want %g at most", tt.name, got, tt.loss)
		}
	}
}
