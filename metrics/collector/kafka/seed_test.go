package kafka

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/prescale/prescale/metrics/collector"
)

// TestSeedingIsBounded lets the brokers seem slow: the first tick asks for a few ages of the past and not for all.
func TestSeedingIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name  string
		slow  time.Duration // that passes from one look at the clock to the next
		seeds int
	}{
		{"quick", 0, len(seedAges)},
		{"slow", 3 * time.Second, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, 1, map[string]int32{"a": 1})
			f.produce("a", 0, 30)
			f.commit("g", "a", 0, 10)
			now := time.Now()
			f.collector.wall = func() time.Time { now = now.Add(tt.slow); return now }
			f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
			o := f.tick(0)[0].Observation
			// One request is for the ends and one for the starts.
			if got := testutil.ToFloat64(f.collector.telemetry.requests.WithLabelValues("ListOffsets")); got != float64(2+tt.seeds) {
				t.Errorf("ListOffsets: got %v, want %d", got, 2+tt.seeds)
			}
			if !o.LagSeconds.Known() {
				t.Errorf("seconds behind are missing: %q", o.Problems)
			}
		})
	}
}
