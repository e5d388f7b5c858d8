package scaler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// One partition of 48 has a record that its consumer cannot get past, for two hours from tick 300 on, and is consumed again then: that
// takes no replica more, whether or not it is told what waits where, and the verdict says so from the fifth minute until it is over.
func TestAPartitionThatStandsStill(t *testing.T) {
	for _, told := range []bool{true, false} {
		for _, rate := range []float64{250, 700, 1500} {
			t.Run(fmt.Sprintf("%g records a second, by partition: %v", rate, told), func(t *testing.T) {
				w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: int(rate/80) + 1, random: rand.New(rand.NewPCG(1, 7))}
				const from, to = 300, 780
				stuck, poison := 0.0, rate/48*15
				w.hide = func(o *series.Observation) {
					age := 0.0
					if w.tick > from && w.tick <= to {
						stuck, age = stuck+poison, float64(w.tick-from)*15
						o.ConsumedRecords = o.ConsumedRecords.Plus(series.Of(-poison))
					} else {
						stuck = 0
					}
					if o.LagRecords, o.LagSeconds = series.Of(w.lag+stuck), series.Of(max(o.LagSeconds.Or(0), age)); told {
						for p := range 48 {
							lag := w.lag / 48
							if p == 7 {
								lag += stuck
							}
							o.PartitionLagRecords = append(o.PartitionLagRecords, series.Of(lag))
						}
					}
				}
				for range to + 100 {
					says := slices.Contains(w.step(rate).Verdicts, VerdictPartitionStalled)
					if want := w.tick > from+21 && w.tick <= to; says != want && (w.tick <= from+19 || w.tick > from+23) {
						t.Fatalf("tick %d, the record stands still from %d to %d: verdict %v", w.tick, from+1, to, says)
					}
				}
				before, after := slices.Max(w.counts[from-100:from]), slices.Max(w.counts[from+40:to])
				if told && after > before || after > before+2 {
					t.Errorf("%d replicas before and up to %d while it stands still", before, after)
				}
			})
		}
	}
}

// Nobody reads 30 of 48 partitions, for two hours in which arrivals double: that takes no replica more than the arrivals of all do, neither
// for what waits there nor because it is taken for all that the replicas can do, and the verdict is that of one partition.
func TestMostPartitionsStandStill(t *testing.T) {
	for _, told := range []bool{true, false} {
		for _, busy := range []bool{true, false} {
			t.Run(fmt.Sprintf("by partition: %v, busy ratio: %v", told, busy), func(t *testing.T) {
				w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 6, random: rand.New(rand.NewPCG(1, 7))}
				const from, to, share = 300, 780, 30.0 / 48
				stuck := 0.0
				w.hide = func(o *series.Observation) {
					if w.tick > from {
						x := share * o.ArrivalRecords.Or(0)
						stuck += x
						o.ConsumedRecords, o.BusyRatio = o.ConsumedRecords.Plus(series.Of(-x)), o.BusyRatio.Times(1-share)
						o.LagRecords, o.LagSeconds = series.Of(w.lag+stuck), series.Of(float64(w.tick-from)*15)
					}
					if !busy {
						o.BusyRatio = series.Missing
					}
					for p := range 48 {
						lag := w.lag / 48
						if p < 30 {
							lag += stuck / 30
						}
						if told {
							o.PartitionLagRecords = append(o.PartitionLagRecords, series.Of(lag))
						}
					}
				}
				for range to {
					d := w.step(400 * (1 + max(0, float64(w.tick-from)/(to-from))))
					if w.tick > from+23 && !slices.Contains(d.Verdicts, VerdictPartitionStalled) {
						t.Fatalf("tick %d: verdicts %v, want PartitionStalled", w.tick, d.Verdicts)
					}
				}
				// 12 do the work of 800 records a second.
				if most := slices.Max(w.counts[from+40:]); most > 12 {
					t.Errorf("up to %d replicas while partitions stand still, want 12 at most: %v", most, w.counts[from:])
				}
			})
		}
	}
}

// A partition stands still, and later the group as a whole: one verdict tells of it, whichever holds of more.
func TestOneVerdictTellsOfWhatStandsStill(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 8, ready: 4}
	const rate, from, hangs, to = 300.0, 300, 400, 440
	stuck := 0.0
	w.hide = func(o *series.Observation) {
		if w.tick > from {
			stuck += rate / 8 * 15
			o.ConsumedRecords = series.Of(max(o.ConsumedRecords.Or(0)-rate/8*15, 0))
			o.LagRecords, o.LagSeconds = series.Of(w.lag+stuck), series.Of(float64(w.tick-from)*15)
		}
	}
	for range to {
		w.stalled = w.tick >= hangs
		d := w.step(rate)
		says := slices.DeleteFunc(slices.Clone(d.Verdicts), func(v Verdict) bool { return v != VerdictStalled && v != VerdictPartitionStalled })
		switch {
		case w.tick > from+22 && w.tick <= hangs && !slices.Equal(says, []Verdict{VerdictPartitionStalled}):
			t.Fatalf("tick %d, a partition stands still: %v", w.tick, says)
		case w.tick > hangs+2 && !slices.Equal(says, []Verdict{VerdictStalled}):
			t.Fatalf("tick %d, the group stands still: %v", w.tick, says)
		case len(says) > 1:
			t.Fatalf("tick %d: %v, want one", w.tick, says)
		}
	}
}

// A group of 8 partitions, in which 5 to 7 consumers do no more than 4, stands still for a while. What waits then is drained by 8, whether
// or not it is told what waits where, and then there are 4 again.
func TestFewPartitionsCatchUpAfterAnOutage(t *testing.T) {
	for _, told := range []bool{true, false} {
		for _, outage := range []int{10, 28, 100} {
			w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 8, ready: 4}
			w.hide = func(o *series.Observation) {
				for range 8 {
					if told {
						o.PartitionLagRecords = append(o.PartitionLagRecords, series.Of(w.lag/8))
					}
				}
			}
			for tick := range 800 {
				w.stalled = tick >= 300 && tick < 300+outage
				w.step(335)
			}
			// Eight drain 465 a second, and four lead times are for the start and what is learned of it.
			drained := 300 + outage + int(float64(outage)*335/465) + 16
			if most := slices.Max(w.counts[300 : 300+outage+8]); most != 8 || w.lags[drained] > 30 || w.counts[799] != 4 {
				t.Errorf("%d ticks, by partition: %v: up to %d replicas, %.0f s late after %d ticks, %d replicas at the end", outage, told, most, w.lags[drained], drained-300-outage, w.counts[799])
			}
		}
	}
}

// A record has been the oldest for two hours; then its partition is read again, as fast as its records came. That is seen as soon as the
// age is known well enough to tell it: where nobody says how well it is, after over a minute.
func TestTheEndOfAStandstillIsSeen(t *testing.T) {
	const interval, hours = 15 * time.Second, 2 * time.Hour
	for _, tt := range []struct {
		bound series.Value
		most  time.Duration
	}{{series.Of(0.1), 2 * interval}, {series.Missing, 6 * interval}} {
		var s still
		at := time.Unix(0, 0)
		for age := time.Duration(0); age <= hours; age += interval {
			at = at.Add(interval)
			s.observe(&series.Observation{At: at, Interval: interval, LagSeconds: series.Of(age.Seconds()), LagSecondsError: tt.bound})
		}
		over, since := at, s.Since
		for s.Since.Equal(since) && at.Sub(over) < hours {
			at = at.Add(interval)
			s.observe(&series.Observation{At: at, Interval: interval, LagSeconds: series.Of(hours.Seconds()), LagSecondsError: tt.bound})
		}
		if got := at.Sub(over); got > tt.most {
			t.Errorf("ages known to ± %v: the end is seen %v later, want %v at most", tt.bound, got, tt.most)
		}
	}
}
