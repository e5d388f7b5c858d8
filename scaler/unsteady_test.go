package scaler

import (
	"slices"
	"testing"
)

// lose has one replica that is ready start again, for so many ticks.
func (w *world) lose(ticks int) {
	if w.ready > 0 {
		w.ready--
		w.starting = append(w.starting, ticks)
	}
}

// One of 6 to 10 replicas works for a minute, is gone for some, and so on for hours: it is not counted on, and that is said. Once it stays
// it is counted on again.
func TestReplicasThatComeAndGo(t *testing.T) {
	for _, gone := range []int{12, 20} {
		period := gone + 4
		w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 8}
		const from, to, span = 240, 1200, 41 // span in ticks, and one
		late, changes := 0, 0
		for i := range to + 2*span {
			if i >= from && i < to && i%period == 0 {
				w.lose(gone)
			}
			d := w.step(varied(i))
			says := slices.Contains(d.Verdicts, VerdictUnsteady)
			if says && (i < from+span-period || i > to+span) || !says && i > from+span+period && i < to+span-2*period {
				t.Fatalf("period %d, tick %d: verdicts %v", period, i, d.Verdicts)
			}
			if i >= from+2*span && i < to {
				if w.lags[i] > 30 {
					late++
				}
				if w.counts[i] != w.counts[i-1] {
					changes++
				}
			}
		}
		if late > 1 || changes > 15 {
			t.Errorf("period %d: late in %d ticks and %d changes in %d, want 1 and 15 at most: %v", period, late, changes, to-from, w.counts[from:])
		}
	}
}

// A rollout loses one replica after the other, and is no reason for more.
func TestARolloutIsNotUnsteady(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 2, partitions: 48, ready: 8}
	const from, to = 200, 232
	for i := range 300 {
		if i >= from && i < to && i%4 == 0 {
			w.lose(w.lead)
		}
		if d := w.step(630); slices.Contains(d.Verdicts, VerdictUnsteady) {
			t.Fatalf("tick %d: verdicts %v", i, d.Verdicts)
		}
	}
}

// A policy that only observes asks for what there is, and another's decreases are no losses.
func TestWhatAnotherTakesAwayIsNotLost(t *testing.T) {
	config := testConfig()
	config.Observe = true
	w := &world{a: newTest(t, config), lead: 4, partitions: 48, ready: 20}
	for i := range 400 {
		if i >= 100 && i%20 == 0 && w.ready > 8 {
			w.ready--
		}
		if d := w.step(630); slices.Contains(d.Verdicts, VerdictUnsteady) {
			t.Fatalf("tick %d: verdicts %v", i, d.Verdicts)
		}
	}
}
