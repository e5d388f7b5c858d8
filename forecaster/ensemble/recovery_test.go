package ensemble_test

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestRecoveryFromLastingChanges holds what hack/designs/forecast-changes.md states: by how much a model that lived through a change
// of the series loses more than one that never knew it otherwise, by samples since the change. 96 samples are a day.
func TestRecoveryFromLastingChanges(t *testing.T) {
	for _, tt := range []struct {
		name             string
		first, day, week float64
		series           func(r *rand.Rand, i int, after bool) float64
	}{
		{"half the level", 1.6, 1.6, 1.4, func(r *rand.Rand, i int, a bool) float64 {
			m := dayCurve(i)
			if a {
				m *= 0.5
			}
			return m + math.Sqrt(m)*r.NormFloat64()
		}},
		{"twice the level", 1.7, 1.7, 1.5, func(r *rand.Rand, i int, a bool) float64 {
			m := dayCurve(i)
			if a {
				m *= 2
			}
			return m + math.Sqrt(m)*r.NormFloat64()
		}},
		{"ten times the level", 1.6, 3.5, 2, func(r *rand.Rand, i int, a bool) float64 {
			m := dayCurve(i)
			if a {
				m *= 10
			}
			return m + math.Sqrt(m)*r.NormFloat64()
		}},
		{"day moved by three hours", 2.4, 2, 1.5, func(r *rand.Rand, i int, a bool) float64 {
			if a {
				i += 12
			}
			m := dayCurve(i)
			return m + 3*r.NormFloat64()
		}},
		{"no day any more", 1.9, 1.8, 1.4, func(r *rand.Rand, i int, a bool) float64 {
			m := dayCurve(i)
			if a {
				m = 100
			}
			return m + 5*r.NormFloat64()
		}},
		{"a tenth of the noise", 3.6, 2, 1.4, func(r *rand.Rand, i int, a bool) float64 {
			sd := 40.0
			if a {
				sd = 4
			}
			return 300 + sd*r.NormFloat64()
		}},
		{"eight times the noise", 1.8, 1.4, 1.2, func(r *rand.Rand, i int, a bool) float64 {
			sd := 5.0
			if a {
				sd = 40
			}
			return 300 + sd*r.NormFloat64()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// What the model loses over what one does that never knew otherwise.
			loss := func(changed int) []float64 {
				return losses(t, 6, func(r *rand.Rand, i int) float64 { return tt.series(r, i, i >= changed) }, false)
			}
			now, steady := loss(changeAt), loss(0)
			share := func(from, to int) float64 { return total(now[from:to]) / total(steady[from:to]) }
			first, day, week := share(12, 24), share(24, changeDay), share(changeDay, 4*changeDay)
			t.Logf("loss of samples 13 to 24 %.2f, to a day %.2f, of days 2 to 4 %.2f", first, day, week)
			if first > tt.first || day > tt.day || week > tt.week {
				t.Errorf("loss of samples 13 to 24 %.2f, to a day %.2f, of days 2 to 4 %.2f; want at most %.2f, %.2f, %.2f", first, day, week, tt.first, tt.day, tt.week)
			}
		})
	}
}
