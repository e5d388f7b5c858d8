package readmodel

import (
	"bytes"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestTheWholePage compares what is scraped of five policies with testdata/metrics.txt. What is missing has no line there, and a stale
// policy has its age alone.
func TestTheWholePage(t *testing.T) {
	now := start
	s := NewStore(func() time.Time { return now })
	for _, policy := range []string{"shop/full", "shop/pools", "shop/new", "shop/stale", "shop/never"} {
		s.Expect(policy, tick)
	}
	s.Publish(entryAt("shop/stale", start, 5, 1))
	now = start.Add(10 * tick)
	at := now.Add(-3 * time.Second)

	full := entryAt("shop/full", at, 12, 7)
	full.ObjectiveLag, full.ObjectiveLatency, full.LatencyQuantile = 30*time.Second, 250*time.Millisecond, 0.99
	full.Observation.Interval = tick
	full.Observation.LagSeconds, full.Observation.ArrivalRecords = series.Of(1.5), series.Of(300)
	full.Observation.LatencySeconds, full.Observation.ReadyReplicas = series.Of(0.125), series.Of(6)
	full.Decision.ArrivalForecast = []scaler.QuantileValue{{Level: 0.5, Value: 21}, {Level: 0.99, Value: 40}}
	full.Decision.CapacityPerReplica, full.Decision.WorkPerRecord = series.Of(5), series.Of(700)
	full.Decision.LeadTimeSeconds, full.Decision.HistorySamples = series.Of(60), 1344
	full.Decision.Verdicts = []scaler.Verdict{scaler.VerdictHotPartition, scaler.VerdictMaxBound}
	full.Decision.Accuracy = scaler.ForecastAccuracy{
		Outcomes: 10, MASE: series.Of(0.75), BiasRatio: series.Of(-0.125), Drifted: true, Distrust: "why",
		MaxCoverage: []scaler.QuantileValue{{Level: 0.95, Value: 0.4}}, MaxPinball: []scaler.QuantileValue{{Level: 0.95, Value: 3}},
	}
	s.Publish(full)

	pools := entryAt("shop/pools", at, 0, 5)
	pools.Labels = nil
	pools.Decision.Pools = []scaler.PoolDecision{{Name: "gpu", DesiredReplicas: 2}, {Name: "cpu", DesiredReplicas: 3}}
	pools.Decision.Accuracy = scaler.ForecastAccuracy{Outcomes: 1}
	s.Publish(pools)
	s.Publish(entryAt("shop/new", at, 0, 1))

	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(Collector{s})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&got, family); err != nil {
			t.Fatal(err)
		}
	}
	const golden = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}
