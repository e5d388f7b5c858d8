package ensemble_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
)

// TestCoverageHoldsAtEachTimeOfDay: half of each day is four times as noisy as the other. The 0.9 quantiles of an hour ahead, which the
// noise of now does not tell, cover nine tenths in both halves, and not only in the whole.
func TestCoverageHoldsAtEachTimeOfDay(t *testing.T) {
	m, r := changeModel(t, 4), rand.New(rand.NewPCG(1, 9))
	var f forecaster.Forecast
	var told [4]float64 // the 0.9 quantile of each step to come, the next one first
	var covered, all [2]float64
	for i := range 60 * changeDay {
		half, sd := 0, 5.0
		if i%changeDay >= changeDay/2 {
			half, sd = 1, 20
		}
		y := 400 + sd*r.NormFloat64()
		if i >= 20*changeDay {
			all[half]++
			if y <= told[0] {
				covered[half]++
			}
		}
		copy(told[:], told[1:])
		m.Observe(time.Unix(0, 0).Add(time.Duration(i)*15*time.Minute), y)
		m.Forecast(&f, 4)
		told[3] = f.Quantile(4, 1)
	}
	quiet, noisy := covered[0]/all[0], covered[1]/all[1]
	t.Logf("of the quiet half %.3f are covered, of the noisy one %.3f", quiet, noisy)
	if quiet < 0.87 || quiet > 0.95 || noisy < 0.85 || noisy > 0.93 {
		t.Errorf("of the quiet half %.3f are covered, of the noisy one %.3f; want about 0.9", quiet, noisy)
	}
}
