package ensemble

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prescale/prescale/forecaster"
)

// watched steps a watch through n outcomes of N(mean, 1) against forecasts of N(50, 1): its median and 0.9 quantile.
func watched(w *watch, random *rand.Rand, n int, mean float64) {
	last := mean
	for range n {
		y := mean + random.NormFloat64()
		w.peaks++
		w.peak(0, 50, y)
		w.peak(1, 50+1.2816, y) // standard normal quantile of 0.9
		w.step(50, last, y)
		last = mean + random.NormFloat64()
	}
}

func TestTrueQuantilesAreInBand(t *testing.T) {
	var w watch
	w.init([]float64{0.5, 0.9})
	watched(&w, rand.New(rand.NewPCG(1, 1)), 4000, 50)
	var a forecaster.Accuracy
	w.report(&a, 2)
	if w.strayed() >= 0 || a.Drifted || a.Outcomes != 4000 {
		t.Errorf("true quantiles: level %d strayed, %+v", w.strayed(), a)
	}
	if math.Abs(a.MaxCoverage[1]-0.9) > 0.06 {
		t.Errorf("coverage of 0.9: %v", a.MaxCoverage[1])
	}
	// E|X - mean| over E|X - X'| of independent normals is 1/sqrt 2.
	if math.Abs(a.MASE.NaN()-math.Sqrt2/2) > 0.1 {
		t.Errorf("MASE %v, want 0.707", a.MASE)
	}
	if math.Abs(a.BiasRatio.NaN()) > 0.005 {
		t.Errorf("bias ratio %v, want 0", a.BiasRatio)
	}
	// Of a normal at its 0.9 quantile the pinball loss is its density there, 0.1755; in units of 2 s half of it.
	if math.Abs(a.MaxPinball[1]-0.1755/2) > 0.02 {
		t.Errorf("pinball loss %v, want 0.088", a.MaxPinball[1])
	}
}

func TestForecastTooLowLeavesTheBandAndDriftsUntilItIsRightAgain(t *testing.T) {
	var w watch
	w.init([]float64{0.5, 0.9})
	random := rand.New(rand.NewPCG(2, 2))
	watched(&w, random, 400, 50)
	if w.strayed() >= 0 || w.drifted {
		t.Fatalf("before the change: level %d strayed, drifted %v", w.strayed(), w.drifted)
	}
	watched(&w, random, 100, 53)
	if w.strayed() < 0 || !w.drifted || w.lean >= 0 {
		t.Errorf("after 100 outcomes three deviations higher: level %d strayed, drifted %v, bias %v", w.strayed(), w.drifted, w.lean)
	}
	watched(&w, random, 600, 50)
	if w.strayed() >= 0 || w.drifted {
		t.Errorf("after 600 true forecasts: level %d strayed, drifted %v", w.strayed(), w.drifted)
	}
}

func TestNothingJudgedIsNothingReported(t *testing.T) {
	var w watch
	w.init([]float64{0.5, 0.9})
	w.step(50, math.NaN(), 50) // nobody knows what the last value would have said
	var a forecaster.Accuracy
	w.report(&a, 1)
	if a.Outcomes != 0 || a.MASE.Known() || a.BiasRatio.Known() || len(a.MaxCoverage) != 0 {
		t.Errorf("got %+v", a)
	}
}

// An outcome in the last digits over its quantile is no reason for distrust, one a tenth over is.
func TestWhatIsNegligiblyOverItsQuantileIsInBand(t *testing.T) {
	for _, test := range []struct {
		said   float64
		inBand bool
	}{{109499.99, true}, {109499.99 * 0.9, false}} {
		var w watch
		w.init([]float64{0.5, 0.9})
		for range 400 {
			w.peak(0, test.said, 109500)
			w.peak(1, test.said, 109500)
		}
		if got := w.strayed() < 0; got != test.inBand {
			t.Errorf("%g of 109500: in band %v, want %v", test.said, got, test.inBand)
		}
	}
}
