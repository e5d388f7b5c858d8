package scaler

import (
	"math"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
)

// TestWhatIfAsksWhatTheDecisionAsked: a bound that binds nowhere changes no answer, also where the count has just changed, and a forecast
// that is a quarter higher asks for more than what has just been asked for.
func TestWhatIfAsksWhatTheDecisionAsked(t *testing.T) {
	config := testConfig()
	config.Schedules = []Schedule{{forecaster.Span{Start: "0 1 * * *", Duration: time.Hour}, 20}}
	w := &world{a: newTest(t, config), lead: 4, partitions: 480, ready: 8}
	ups, more := 0, 0
	for i := range 600 {
		before := w.ready + len(w.starting)
		d := w.step(900 + 500*math.Sin(float64(i)/30))
		if d.DesiredReplicas >= config.MaxReplicas/2 {
			t.Fatalf("tick %d: %d replicas, want the bound far away", i, d.DesiredReplicas)
		}
		for _, x := range w.a.WhatIf(d.At, w.seen) {
			switch x.If {
			case "replicas.max were twice as high":
				if x.Replicas != d.DesiredReplicas {
					t.Fatalf("tick %d: with a higher bound %d replicas (%s), want %d (%s) as before", i, x.Replicas, x.Reason, d.DesiredReplicas, d.Reason)
				}
			case "the forecast were a quarter higher":
				if d.DesiredReplicas > before && d.Reason != ReasonSchedule {
					ups++
					if x.Replicas > d.DesiredReplicas {
						more++
					}
				}
			}
		}
	}
	if ups == 0 || 2*more < ups {
		t.Errorf("of %d increases %d would have gone further with a higher forecast, want half at least", ups, more)
	}
}
