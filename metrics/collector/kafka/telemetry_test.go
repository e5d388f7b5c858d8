package kafka

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/prescale/prescale/metrics/collector"
)

// TestTelemetry reads the collector's own metrics after ticks with and without errors.
func TestTelemetry(t *testing.T) {
	f := newFixture(t, 1, map[string]int32{"a": 3})
	registry := prometheus.NewRegistry()
	c, err := New(f.collector.config, f.collector.client, registry, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.collector = c
	// A second collector of the cluster, for another interval, shares the metrics.
	if _, err := New(c.config, c.client, registry, nil); err != nil {
		t.Fatalf("a second collector: %v", err)
	}
	f.produce("a", 0, 30)
	f.commit("g", "a", 0, 10)
	c.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
	f.tick(0)
	once(f.cluster, kmsg.OffsetFetch, offsetFetchError(kerr.NotCoordinator.Code))
	f.tick(5 * time.Second)

	if got := testutil.ToFloat64(c.telemetry.partitions); got != 3 {
		t.Errorf("partitions: got %v, want 3", got)
	}
	if got := testutil.ToFloat64(c.telemetry.age.WithLabelValues("ns/p")); got != 0 {
		t.Errorf("sample age: got %v, want 0", got)
	}
	if got := testutil.ToFloat64(c.telemetry.requests.WithLabelValues("OffsetFetch")); got != 3 {
		t.Errorf("OffsetFetch requests: got %v, want 3: one a tick and one again", got)
	}
	if got := testutil.ToFloat64(c.telemetry.errors.WithLabelValues("NOT_COORDINATOR")); got != 1 {
		t.Errorf("errors of kind NOT_COORDINATOR: got %v, want 1", got)
	}
	if got := testutil.CollectAndCount(c.telemetry.ticks); got != 1 {
		t.Errorf("tick durations: got %d series, want 1, for ticks that could ask", got)
	}
	for _, direction := range []string{"sent", "received"} {
		if got := testutil.ToFloat64(c.telemetry.bytes.WithLabelValues(direction)); got < 50 {
			t.Errorf("bytes %s: got %v", direction, got)
		}
	}
	// A process that has lost all of its shards of the cluster does not tick any more.
	c.SetTargets(nil)
	if got := testutil.CollectAndCount(c.telemetry.age); got != 0 {
		t.Errorf("ages of policies that are gone: got %d", got)
	}
	if got := testutil.ToFloat64(c.telemetry.partitions) + testutil.ToFloat64(c.telemetry.groups); got != 0 {
		t.Errorf("partitions and groups without a target: got %v", got)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) < 6 || len(problems) > 0 || slices.ContainsFunc(families, func(m *dto.MetricFamily) bool {
		return !strings.HasPrefix(m.GetName(), "prescale_collector_")
	}) {
		t.Errorf("%d families, lint: %v", len(families), problems)
	}
}
