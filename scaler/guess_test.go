package scaler

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prescale/prescale/metrics/series"
)

// Eight replicas idle, a record comes now and then, and nobody tells how busy they are. The most that one was seen to do says little
// of what it can do, and two records in one tick are no reason for a ninth.
func TestIdleReplicasOfUnknownCapacityAreNotAddedTo(t *testing.T) {
	for _, perTick := range []float64{0.3, 3, 30} {
		random := rand.New(rand.NewPCG(1, 5))
		w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 8}
		w.hide = func(o *series.Observation) { o.BusyRatio = series.Missing }
		for range 400 {
			w.step(poisson(random, perTick) / w.a.config.Interval.Seconds())
		}
		if most, last := slices.Max(w.counts), w.counts[len(w.counts)-1]; most > 8 || last > 5 {
			t.Errorf("%g records a tick: up to %d replicas and %d at the end, want 8 at most and then fewer: %v", perTick, most, last, w.counts)
		}
	}
}

// What is known to have been carried is exceeded in the median, or a backlog is there: then replicas are added, guess or not.
func TestReplicasOfUnknownCapacityAreAddedToForARise(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 4}
	w.hide = func(o *series.Observation) { o.BusyRatio = series.Missing }
	for range 100 {
		w.step(200)
	}
	before := w.counts[len(w.counts)-1]
	for range 40 {
		w.step(1200)
	}
	if after := w.counts[len(w.counts)-1]; after < 12 || after <= before {
		t.Errorf("from %d to %d replicas for the work of twelve: %v", before, after, w.counts)
	}
}

// poisson draws how many independent events fall in a span that `mean` fall in on average (Knuth's product of uniforms).
func poisson(random *rand.Rand, mean float64) float64 {
	n, p := -1.0, 1.0
	for limit := math.Exp(-mean); p > limit; n++ {
		p *= random.Float64()
	}
	return n
}
