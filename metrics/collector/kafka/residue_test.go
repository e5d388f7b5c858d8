package kafka

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// TestMarkerBeforeAnOpenTransaction: while a transaction is written to for minutes, as those of a stream processor are, the marker of
// the one before is no record that waits, whatever comes behind it and whatever goes on in other partitions.
func TestMarkerBeforeAnOpenTransaction(t *testing.T) {
	// Ages known within an hour are not looked up for their own sake.
	f := newFixture(t, 1, map[string]int32{"a": 2}, func(c *Config) { c.ExactAbove = time.Hour })
	writer, err := kgo.NewClient(kgo.SeedBrokers(f.cluster.ListenAddrs()...), kgo.TransactionalID("w"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(writer.Close)
	write := func() {
		t.Helper()
		for range 5 {
			writer.Produce(t.Context(), &kgo.Record{Topic: "a", Value: []byte("x")}, nil)
		}
		if err := writer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	begin := func() {
		t.Helper()
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		write()
	}
	begin()
	if err := writer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	f.commit("g", "a", 0, 5)
	f.commit("g", "a", 1, 0)
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}, ReadCommitted: true}})
	f.tick(0)
	begin()
	var o series.Observation
	for i := range 4 {
		write()
		f.produce("a", 1, 10)
		f.commit("g", "a", 1, int64(10*(i+1)))
		o = f.tick(5 * time.Second)[0].Observation
	}
	wantValue(t, "lag", o.LagRecords, series.Of(0))
	wantValue(t, "seconds behind", o.LagSeconds, series.Of(0))
	if err := writer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	// Its 25 records are readable now, and the consumer has not got to them: the two markers count while they are between and behind.
	if lag, _ := f.tick(5 * time.Second)[0].Observation.LagRecords.Get(); lag < 25 || lag > 27 {
		t.Errorf("lag once it is committed: got %v, want 25 records and at most 2 markers", lag)
	}
}
