package scaler

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/metrics/series"
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

// TestAgainIsTheSameDecision: asked once more with nothing changed, every decision is the same to the last digit, also the first from
// zero, under a budget and in a schedule: all that Record writes is taken back.
func TestAgainIsTheSameDecision(t *testing.T) {
	config := testConfig()
	config.MinReplicas = 0
	config.BudgetReplicaHoursPerDay = 20
	config.Schedules = []Schedule{{forecaster.Span{Start: "0 4 * * *", Duration: time.Hour}, 20}}
	w := &world{a: newTest(t, config), lead: 4, partitions: 480, ready: 8}
	reasons, fromZero := map[Reason]int{}, 0
	for i := range 1200 {
		d := w.step(max(0, 900*math.Sin(float64(i)/60)))
		reasons[d.Reason]++
		if d.CurrentReplicas.Or(1) == 0 && d.DesiredReplicas > 0 {
			fromZero++
		}
		again := w.a.again(d.At, w.seen, func(*Config, *State, *series.Observation, *forecaster.Forecast) {})
		want, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		describe(&again)
		got, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Fatalf("tick %d: again\n%s\nwant\n%s", i, got, want)
		}
	}
	if reasons[ReasonBudget] == 0 || reasons[ReasonSchedule] == 0 || reasons[ReasonForecast] == 0 || fromZero == 0 {
		t.Errorf("reasons %v and %d times from zero, want a budget, a schedule, a forecast and from zero among them", reasons, fromZero)
	}
}
