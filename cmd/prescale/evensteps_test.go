package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/metrics/series"
)

// TestEvenSteps: ten records a second, as ticks tell of them that come late, early or not at all.
func TestEvenSteps(t *testing.T) {
	type tick struct{ at, interval, records float64 }
	for _, tt := range []struct {
		name  string
		ticks []tick
		want  string
	}{
		{"as they should", []tick{{10, 10, 100}, {20, 10, 100}, {30, 10, 100}}, "[100 100 100]"},
		{"one is late", []tick{{10, 10, 100}, {22, 12, 120}, {30, 8, 80}}, "[100 100 100]"},
		{"one tells of three", []tick{{10, 10, 100}, {40, 30, 300}}, "[100 100 100 100]"},
		// What was seen of a step stands for all of it from half of it on.
		{"seven seconds of a step", []tick{{10, 10, 100}, {20, 10, 100}, {37, 4, 40}, {47, 10, 100}}, "[100 100 NaN 100 100]"},
		{"four seconds of a step", []tick{{10, 10, 100}, {20, 10, 100}, {38, 4, 40}, {50, 10, 100}}, "[100 100 NaN NaN 100]"},
	} {
		begin := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
		seconds := func(x float64) time.Duration { return time.Duration(x * float64(time.Second)) }
		s, err := evenSteps(func(yield func(eventlog.Tick, error) bool) {
			for _, x := range tt.ticks {
				var e eventlog.Tick
				e.Observation = series.Observation{At: begin.Add(seconds(x.at)), Interval: seconds(x.interval), ArrivalRecords: series.Of(x.records)}
				if !yield(e, nil) {
					return
				}
			}
		}, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%.4g", s.Values); got != tt.want || !s.Times[0].Equal(begin) {
			t.Errorf("%s: got %s from %v, want %s", tt.name, got, s.Times[0], tt.want)
		}
	}
}
