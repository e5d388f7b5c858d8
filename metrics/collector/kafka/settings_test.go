package kafka

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// TestCommittedRecordsOfTopicsThatAreFound: a target that names no topics reads those that the group has, and of these the last stable
// offset too.
func TestCommittedRecordsOfTopicsThatAreFound(t *testing.T) {
	f := newFixture(t, 2, map[string]int32{"a": 1, "b": 1})
	f.produce("a", 0, 10)
	f.commit("g", "a", 0, 4)
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", ReadCommitted: true}})
	wantValue(t, "lag", f.tick(0)[0].Observation.LagRecords, series.Of(6))

	// A transaction that stays open: what it wrote cannot be consumed.
	writer, err := kgo.NewClient(kgo.SeedBrokers(f.cluster.ListenAddrs()...), kgo.TransactionalID("open"))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := writer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := writer.ProduceSync(t.Context(), &kgo.Record{Topic: "a", Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	wantValue(t, "lag while a transaction is open", f.tick(time.Second)[0].Observation.LagRecords, series.Of(6))
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g"}})
	wantValue(t, "lag with it", f.tick(time.Second)[0].Observation.LagRecords, series.Of(7))
	f.produce("b", 0, 3)
	f.commit("g", "b", 0, 1)
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", ReadCommitted: true}})
	wantValue(t, "lag of both topics", f.tick(time.Second)[0].Observation.LagRecords, series.Of(8))
}

// TestAReportCountsCommittedRecords is prescale lag --read-committed.
func TestAReportCountsCommittedRecords(t *testing.T) {
	f := newFixture(t, 1, map[string]int32{"a": 1})
	f.produce("a", 0, 10)
	f.commit("g", "a", 0, 4)
	f.collector.SetSelection(Selection{All: true, ReadCommitted: true})
	f.tick(0)
	for _, g := range f.collector.Groups(f.now) {
		wantValue(t, "lag", g.LagRecords, series.Of(6))
	}
}

// TestATargetThatNamesItsTopicsNoMore counts what the group reads, and nothing of what it was once asked for.
func TestATargetThatNamesItsTopicsNoMore(t *testing.T) {
	f := newFixture(t, 1, map[string]int32{"a": 2, "b": 3})
	f.produce("a", 0, 10)
	f.commit("g", "a", 0, 4)
	named := collector.Target{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a", "b"}}
	f.collector.SetTargets([]collector.Target{named})
	wantValue(t, "partitions of both", f.tick(0)[0].Observation.Partitions, series.Of(5))

	all := named
	all.Topics = nil
	f.collector.SetTargets([]collector.Target{all})
	f.tick(time.Second)
	f.produce("a", 1, 2)
	f.produce("b", 0, 7)
	o := f.tick(time.Second)[0].Observation
	wantValue(t, "partitions that it reads", o.Partitions, series.Of(2))
	wantValue(t, "arrivals", o.ArrivalRecords, series.Of(2))

	// What another target of the group names stays, and so does what there is where nothing else is left.
	other := named
	other.Policy, other.Topics = "ns/q", []string{"b"}
	f.collector.SetTargets([]collector.Target{all, other})
	results := f.tick(time.Second)
	wantValue(t, "partitions of the other", results[1].Observation.Partitions, series.Of(3))
	f.produce("b", 0, 1)
	wantValue(t, "arrivals of the other", f.tick(time.Second)[1].Observation.ArrivalRecords, series.Of(1))
}

// TestATopicThatIsMadeAgain is known again within two looks at the groups, and so is where its group stands: its commits went with the
// topic that was deleted.
func TestATopicThatIsMadeAgain(t *testing.T) {
	f := newFixture(t, 1, map[string]int32{"a": 2})
	f.produce("a", 0, 10)
	f.commit("g", "a", 0, 4)
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}, Reset: collector.ResetEarliest}})
	wantValue(t, "lag", f.tick(0)[0].Observation.LagRecords, series.Of(6))
	if _, err := f.admin.DeleteTopics(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	deleted, err := f.admin.DeleteOffsets(t.Context(), "g", kadm.TopicsSet{"a": {0: {}, 1: {}}}) // as a broker does by itself
	if err != nil || deleted.Error() != nil {
		t.Fatal(err, deleted)
	}
	for range 3 {
		wantValue(t, "lag without the topic", f.tick(2 * time.Second)[0].Observation.LagRecords, series.Missing)
	}
	if _, err := f.admin.CreateTopic(t.Context(), 2, 1, nil, "a"); err != nil {
		t.Fatal(err)
	}
	client := f.client
	f.client, _ = kgo.NewClient(kgo.SeedBrokers(f.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner())) // knows nothing of the old one
	defer func() { f.client.Close(); f.client = client }()
	f.produce("a", 1, 3)
	for range 3 {
		f.tick(2 * time.Second)
	}
	o := f.tick(2 * time.Second)[0].Observation
	wantValue(t, "lag in the new one", o.LagRecords, series.Of(3))
	wantValue(t, "arrivals", o.ArrivalRecords, series.Of(0))
}
