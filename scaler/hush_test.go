package scaler

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestWhatStoppedAndCameBackIsWaitedForTheNextTime(t *testing.T) {
	const rate, lead = 700, 12 // three minutes
	w := &world{a: newTest(t, testConfig()), lead: lead, partitions: 48, ready: 8, random: rand.New(rand.NewPCG(1, 7))}
	run := func(ticks int, rate float64) []int {
		for range ticks {
			w.step(rate)
		}
		return w.counts[len(w.counts)-ticks:]
	}
	span := int(hushSpan / w.a.config.Interval)
	run(200, rate)
	if n := run(12, 0)[11]; n != 1 {
		t.Errorf("three minutes of nothing for the first time: %d replicas, want 1", n)
	}
	run(200, rate)
	w.step(rate / 3) // the tick in which it goes down
	if least := slices.Min(run(span-2, 0)); least < 7 {
		t.Errorf("%v of nothing where 700 records/s came: down to %d replicas, want the 7 that serve them", hushSpan, least)
	}
	run(100, rate)
	if worst := slices.Max(w.lags[len(w.lags)-100:]); worst > 30 {
		t.Errorf("when all of it is back, records wait for up to %.0f s, want 30 at most", worst)
	}
	if n := run(2*span, 0)[2*span-1]; n != 1 {
		t.Errorf("twice %v of nothing: %d replicas, want 1", hushSpan, n)
	}
	run(200, rate)
	if n := run(12, 0)[11]; n != 1 {
		t.Errorf("three minutes of nothing, where it lasted the last time: %d replicas, want 1", n)
	}
}
