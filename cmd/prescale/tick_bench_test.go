package main

import (
	"math"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// BenchmarkTick is one policy's whole tick: the forecaster learns and forecasts, the scaler learns and decides.
func BenchmarkTick(b *testing.B) {
	config := scaler.DefaultConfig()
	config.Policy, config.MaxReplicas = "default/bench", 48
	a, err := newAutoscaler(&v1alpha1.ScalePolicy{}, config)
	if err != nil {
		b.Fatal(err)
	}
	at, i := time.Unix(0, 0).UTC(), 0
	var d scaler.Decision
	o := series.Observation{
		Policy: config.Policy, Interval: config.Interval, LagRecords: series.Of(0), LagSeconds: series.Of(0),
		ReadyReplicas: series.Of(8), StartingReplicas: series.Of(0), Partitions: series.Of(48), BusyRatio: series.Of(0.8),
	}
	tick := func() {
		i++
		at = at.Add(config.Interval)
		o.At = at
		o.ArrivalRecords = series.Of(15 * (650 + 50*math.Sin(float64(i)/100) + 20*math.Sin(float64(i))))
		o.ConsumedRecords = o.ArrivalRecords
		a.TickInto(&d, at, &o)
	}
	for range 3 * 5760 { // past the first two days, so that the day's season is there
		tick()
	}
	b.ReportAllocs()
	for b.Loop() {
		tick()
	}
}
