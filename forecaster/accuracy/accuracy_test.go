package accuracy_test

import (
	"math"
	"math/rand"
	"testing"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/accuracy"
)

// normal returns a forecast of N(mean, 1), h steps alike; the maximum's quantiles are left to the tracker.
func normal(mean float64, h int) *forecaster.Forecast {
	f := &forecaster.Forecast{Steps: h, Levels: []float64{0.5, 0.9}}
	for range h {
		f.PerStep = append(f.PerStep, mean, mean+1.2816) // standard normal quantile of 0.9
	}
	f.Max = []float64{mean, mean + 1.2816}
	return f
}

func TestTrueQuantilesAreInBand(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	tracker := accuracy.New([]float64{0.5, 0.9}, accuracy.Config{Ahead: 1, Memory: 2000, Band: 0.05})
	for range 4000 {
		tracker.Observe(50+rng.NormFloat64(), normal(50, 1))
	}
	var r accuracy.Report
	tracker.Report(&r)
	if !r.InBand || r.Drifted || r.Problem != "" {
		t.Errorf("true quantiles: %+v", r)
	}
	if math.Abs(r.Coverage[1]-0.9) > 0.03 || math.Abs(r.MaxCoverage[1]-0.9) > 0.03 {
		t.Errorf("coverage of 0.9: %v, of the maximum %v", r.Coverage[1], r.MaxCoverage[1])
	}
	// E|X - mean| over E|X - X'| of independent normals is 1/sqrt 2.
	if math.Abs(r.MASE-math.Sqrt2/2) > 0.05 {
		t.Errorf("MASE %v, want 0.707", r.MASE)
	}
	if math.Abs(r.BiasRatio) > 0.002 {
		t.Errorf("bias ratio %v, want 0", r.BiasRatio)
	}
}

func TestForecastTooLowLeavesTheBandAndDrifts(t *testing.T) {
	rng := rand.New(rand.NewSource(2))
	tracker := accuracy.New([]float64{0.5, 0.9}, accuracy.Config{Ahead: 2, Memory: 200, Band: 0.05})
	var r accuracy.Report
	for i := range 400 {
		value := 50 + rng.NormFloat64()
		if i >= 200 {
			value += 3
		}
		tracker.Observe(value, normal(50, 2))
		if tracker.Report(&r); i == 199 && (!r.InBand || r.Drifted) {
			t.Fatalf("before the change: %+v", r)
		}
	}
	if r.InBand || !r.Drifted || r.BiasRatio >= 0 {
		t.Errorf("after 200 outcomes three deviations higher: %+v", r)
	}
}

func TestGapsAreNotJudged(t *testing.T) {
	tracker := accuracy.New([]float64{0.5, 0.9}, accuracy.Config{Ahead: 1, Memory: 200, Band: 0.05})
	for i := range 100 {
		value := 50.0
		if i%2 == 1 {
			value = math.NaN()
		}
		tracker.Observe(value, normal(50, 1))
	}
	var r accuracy.Report
	if tracker.Report(&r); r.Outcomes != 0 {
		t.Errorf("%d outcomes judged where every second value is missing", r.Outcomes)
	}
}
