package main

import (
	"math"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/metrics/series"
)

func TestRecordedArrivalsInEvenSteps(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	// Seconds after the start, the span before it, and arrivals: one tick late, an outage of 30s counted at its end, and one
	// of 15s of which nothing is known.
	rows := []struct{ at, interval, count float64 }{
		{0, 0, math.NaN()}, {15, 15, 150}, {30.5, 15.5, 155}, {45, 14.5, 145}, {75, 30, 600}, {90, 15, math.NaN()}, {105, 15, 75},
	}
	ticks := func(yield func(eventlog.Tick, error) bool) {
		for _, r := range rows {
			o := series.Observation{At: start.Add(time.Duration(r.at * 1e9)), Interval: time.Duration(r.interval * 1e9)}
			if !math.IsNaN(r.count) {
				o.ArrivalRecords = series.Of(r.count)
			}
			if !yield(eventlog.Tick{Observation: o}, nil) {
				return
			}
		}
	}
	h, err := evenSteps(ticks, 0)
	if err != nil {
		t.Fatal(err)
	}
	if h.Step != 15*time.Second || !h.Times[0].Equal(start) {
		t.Errorf("step %v from %v, want 15s from %v", h.Step, h.Times[0], start)
	}
	want := []float64{150, 150, 150, 300, 300, math.NaN(), 75}
	if len(h.Values) != len(want) {
		t.Fatalf("got %v, want %v", h.Values, want)
	}
	for i := range want {
		if got := h.Values[i]; math.Abs(got-want[i]) > 1e-6 || math.IsNaN(got) != math.IsNaN(want[i]) {
			t.Errorf("step %d: got %v, want %v", i, got, want[i])
		}
	}
}
