package ensemble_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/ensemble"
	"github.com/prescale/prescale/forecaster/level"
	"github.com/prescale/prescale/forecaster/ridge"
	"github.com/prescale/prescale/forecaster/score"
	"github.com/prescale/prescale/forecaster/seasonal"
	"github.com/prescale/prescale/forecaster/signal"
)

const (
	changeDay = 96
	changeAt  = 10 * changeDay
	changeEnd = changeAt + 4*changeDay
)

// losses returns the quantile loss of every step from changeAt on, four steps ahead, as a sum over so many seeds of a series; deaf
// models keep all that they learned.
func losses(t *testing.T, seeds uint64, series func(random *rand.Rand, i int) float64, deaf bool) []float64 {
	t.Helper()
	sums := make([]float64, changeEnd-changeAt)
	for seed := range seeds {
		m := changeModel(t, 4)
		if deaf {
			m.Deafen()
		}
		random := rand.New(rand.NewPCG(seed, 1))
		y := make([]float64, changeEnd+4)
		for i := range y {
			y[i] = max(0, series(random, i))
		}
		var f forecaster.Forecast
		for i := range changeEnd {
			m.Observe(time.Unix(0, 0).Add(time.Duration(i)*15*time.Minute), y[i])
			if i < changeAt {
				continue
			}
			m.Forecast(&f, 4)
			for l, tau := range f.Levels {
				sums[i-changeAt] += score.Pinball(f.Quantile(4, l), y[i+4], tau)
			}
		}
	}
	return sums
}

func changeModel(t *testing.T, steps int) *ensemble.Model {
	t.Helper()
	features := ridge.NewFeatures(steps)
	m, err := ensemble.New(forecaster.Config{Step: 15 * time.Minute, MaxSteps: steps, Quantiles: []float64{0.5, 0.9, 0.99}},
		signal.New(changeDay, 0, steps), []ensemble.Expert{
			level.Last{}, level.Mean{Span: signal.Mean5}, level.Mean{Span: signal.Mean60},
			level.Max{Span: 10}, &level.Trend{}, seasonal.Day{}, seasonal.Profile{},
			ridge.New(features, ridge.Settings{Inputs: ridge.Inputs, Memory: 3 * changeDay, Penalty: 1e-3}),
			ridge.New(features, ridge.Settings{Inputs: ridge.FastInputs, Memory: 120, Penalty: 1e-2}),
		}, []int{0, 7}, []int{3, 6, 7, 8})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func dayCurve(i int) float64 { return 100 + 60*math.Sin(2*math.Pi*float64(i)/changeDay) }

// TestAChangeIsRecoveredFromSooner: after a lasting change the loss of a model that lets go is back near what it stays at no later
// than that of one that keeps what it learned, and where old habits last it is back in half of the samples. One sample is no delay.
func TestAChangeIsRecoveredFromSooner(t *testing.T) {
	for _, tt := range []struct {
		name   string
		sooner bool
		series func(random *rand.Rand, i int) float64
	}{
		{"level ten times as high", false, func(random *rand.Rand, i int) float64 {
			mean := 100.0
			if i >= changeAt {
				mean = 1000
			}
			return mean + 0.1*mean*random.NormFloat64()
		}},
		{"eight times the noise", false, func(random *rand.Rand, i int) float64 {
			sd := 5.0
			if i >= changeAt {
				sd = 40
			}
			return 300 + sd*random.NormFloat64()
		}},
		{"noise without a day", true, func(random *rand.Rand, i int) float64 {
			if i >= changeAt {
				return 100 + 20*random.NormFloat64()
			}
			return dayCurve(i) + 3*random.NormFloat64()
		}},
		{"day moved by six hours", false, func(random *rand.Rand, i int) float64 {
			mean := dayCurve(i)
			if i >= changeAt {
				mean = dayCurve(i + changeDay/4)
			}
			return mean + 3*random.NormFloat64()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			with, without := losses(t, 8, tt.series, false), losses(t, 8, tt.series, true)
			settled := 0.0 // what the loss stays at
			for _, l := range with[len(with)-changeDay:] {
				settled += l / changeDay
			}
			soon, late := recovery(with, settled), recovery(without, settled)
			t.Logf("recovered after %d samples, without detection %d; loss of the first day %.0f and %.0f", soon, late, total(with[:changeDay]), total(without[:changeDay]))
			if soon > late+1 || tt.sooner && soon > late/2 {
				t.Errorf("recovered after %d samples, without detection after %d", soon, late)
			}
		})
	}
}

// recovery is after how many samples the mean loss of the 24 samples that follow is within a quarter of what it stays at, and
// is so from there on.
func recovery(losses []float64, settled float64) int {
	const width = 24
	for i := len(losses) - width; i >= 0; i-- {
		if total(losses[i:i+width]) > 1.25*settled*width {
			return i + 1
		}
	}
	return 0
}

func total(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum
}

// TestNoChangeIsFoundWhereThereIsNone: in 60,000 samples of series that stay as they are at most one change is found.
func TestNoChangeIsFoundWhereThereIsNone(t *testing.T) {
	found := 0
	wander := 0.0
	for name, series := range map[string]func(random *rand.Rand, i int) float64{
		"noise":       func(random *rand.Rand, _ int) float64 { return 300 + 20*random.NormFloat64() },
		"heavy tails": func(random *rand.Rand, _ int) float64 { return 300 + 20*random.ExpFloat64()*random.NormFloat64() },
		"day":         func(random *rand.Rand, i int) float64 { return dayCurve(i) + 10*random.NormFloat64() },
		"wandering level": func(random *rand.Rand, _ int) float64 {
			wander = 0.95*wander + random.NormFloat64()
			return 100 + 5*wander
		},
	} {
		m, random := changeModel(t, 4), rand.New(rand.NewPCG(3, 3))
		for i := range 15_000 {
			m.Observe(time.Unix(0, 0).Add(time.Duration(i)*15*time.Minute), max(0, series(random, i)))
			if m.Changed() {
				t.Logf("%s: after %d samples", name, i+1)
				found++
			}
		}
	}
	if found > 1 {
		t.Errorf("%d changes were found", found)
	}
}
