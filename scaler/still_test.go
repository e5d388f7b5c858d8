package scaler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

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
