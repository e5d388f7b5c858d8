package scaler

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prescale/prescale/metrics/series"
)

// varied is what arrives in tick i: a day of four hours, between 500 and 900 records a second, for which 5 to 10 replicas are enough.
func varied(i int) float64 { return 700 + 200*math.Sin(float64(i)/120) }

// An exporter that stands still, from the beginning or after an hour: replicas are neither added without end nor taken from a backlog,
// and the decision says why.
func TestABusyRatioThatStandsStill(t *testing.T) {
	for _, busy := range []float64{0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 1} {
		for _, honest := range []int{0, 240} {
			t.Run(fmt.Sprintf("%g after %d ticks", busy, honest), func(t *testing.T) {
				w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 8, random: rand.New(rand.NewPCG(1, 7))}
				says, late := 0, 0
				for i := range honest + 960 {
					if i == honest {
						w.hide = func(o *series.Observation) { o.BusyRatio = series.Of(busy) }
					}
					if slices.Contains(w.step(varied(i)).Verdicts, VerdictBusyRatioContradicted) {
						says++
					}
					if w.lags[i] > 30 {
						late++
					}
				}
				if most := slices.Max(w.counts[honest:]); most > 24 {
					t.Errorf("up to %d replicas, want 24 at most", most)
				}
				if late > 40 {
					t.Errorf("late in %d of %d ticks, want 40 at most", late, honest+960)
				}
				if says == 0 {
					t.Errorf("never said that what is told cannot be")
				}
			})
		}
	}
}

// One that is measured over the last five minutes, by whole per cent, follows bursts late, and is believed.
func TestABusyRatioOfTheLastMinutesIsBelieved(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 7))
		w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 8, random: random}
		var last []float64
		w.hide = func(o *series.Observation) {
			if last = append(last, o.BusyRatio.Or(0)); len(last) > 20 {
				last = last[1:]
			}
			sum := 0.0
			for _, x := range last {
				sum += x
			}
			o.BusyRatio = series.Of(math.Round(100*sum/float64(len(last))) / 100)
		}
		for i := range 960 {
			rate := varied(i)
			if random.Float64() < 0.05 {
				rate *= 2
			}
			if d := w.step(rate); slices.Contains(d.Verdicts, VerdictBusyRatioContradicted) {
				t.Fatalf("seed %d, tick %d: contradicted: %+v", seed, i, w.a.State().Busy)
			}
		}
	}
}

// What the slowest consumer does was learned beside the capacity that a wrong ratio told, and goes with it: else it would be taken for a
// share of what is learned instead, for ever where nothing waits any more.
func TestThePaceBesideAWrongBusyRatioIsForgotten(t *testing.T) {
	for _, busy := range []float64{0.2, 0.3, 0.5} {
		for _, rate := range []float64{200, 460, 900} {
			w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 3, random: rand.New(rand.NewPCG(1, 7))}
			w.hide = func(o *series.Observation) { o.BusyRatio = series.Of(busy) }
			for range 960 {
				w.step(rate)
			}
			parts := &w.a.state.Partitions
			least, _ := parts.snap(rate / perSecond)
			if n := w.counts[959]; n > parts.above(least) {
				t.Errorf("%g records a second, busy ratio %g: %d replicas, want %d or one step more", rate, busy, n, least)
			}
		}
	}
}

// Consumers that count waiting as work are always busy: the more there are, the slower they look, and none would ever go. What they do
// varies by a third.
func TestAlwaysBusyUnderASteadyRate(t *testing.T) {
	for _, rate := range []float64{200, 460, 900} {
		for _, ready := range []int{1, 8, 24} {
			w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: ready, random: rand.New(rand.NewPCG(1, 7))}
			w.hide = func(o *series.Observation) { o.BusyRatio = series.Of(1) }
			for i := range 960 {
				w.step(rate * (1 + 0.15*math.Sin(float64(i)/60)))
			}
			parts := &w.a.state.Partitions
			least, _ := parts.snap(1.15 * rate / perSecond)
			if n := w.counts[959]; n > parts.above(least) {
				t.Errorf("%g records a second, %d replicas at first: %d, want %d or one step more", rate, ready, n, least)
			}
		}
	}
}
