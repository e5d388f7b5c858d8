package ensemble_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
)

// TestAStepWidensNoForecastsForLong: of an hour of calm, a level of twice the height and an hour of it, only the forecasts of before were
// wrong about the other, all for one reason. They are no measure of how wide those of now should be.
func TestAStepWidensNoForecastsForLong(t *testing.T) {
	const steps, seeds = 16, 5
	sum := 0.0
	for seed := range uint64(seeds) {
		m, random := changeModel(t, steps), rand.New(rand.NewPCG(seed, 1))
		var f forecaster.Forecast
		for i := range 400 {
			level := 2000.0
			if i >= 300 {
				level = 4000
			}
			m.Observe(time.Unix(0, 0).Add(time.Duration(i)*15*time.Minute), level*(1+0.02*random.NormFloat64()))
		}
		m.Forecast(&f, steps)
		sum += f.Quantile(steps, 2)/f.Quantile(steps, 0) - 1
	}
	if above := sum / seeds; above > 0.15 {
		t.Errorf("a hundred samples after a step in noise of 2 %% the 0.99 quantile is %.0f %% above the median; want 15 at most", 100*above)
	}
}
