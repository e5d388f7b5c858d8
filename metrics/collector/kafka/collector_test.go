package kafka

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// fixture is an in-memory Kafka with a client to set things up and a collector.
type fixture struct {
	t         *testing.T
	cluster   *kfake.Cluster
	client    *kgo.Client
	admin     *kadm.Client
	collector *Collector
	now       time.Time
}

func newFixture(t *testing.T, brokers int, topics map[string]int32, adjust ...func(*Config)) *fixture {
	t.Helper()
	options := []kfake.Opt{kfake.NumBrokers(brokers)}
	for topic, partitions := range topics {
		options = append(options, kfake.SeedTopics(partitions, topic))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	f := &fixture{t: t, cluster: cluster, client: client, admin: kadm.NewClient(client), now: time.Now()}
	f.collector = f.newCollector(adjust...)
	return f
}

// newCollector returns a collector with a client of its own, as another process has.
func (f *fixture) newCollector(adjust ...func(*Config)) *Collector {
	f.t.Helper()
	own, err := kgo.NewClient(kgo.SeedBrokers(f.cluster.ListenAddrs()...))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(own.Close)
	config := DefaultConfig()
	config.Cluster = "main"
	for _, adjust := range adjust {
		adjust(&config)
	}
	c, err := New(config, own, nil, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *fixture) produce(topic string, partition int32, records int) {
	f.t.Helper()
	var batch []*kgo.Record
	for i := range records {
		batch = append(batch, &kgo.Record{Topic: topic, Partition: partition, Value: fmt.Append(nil, i)})
	}
	if err := f.client.ProduceSync(context.Background(), batch...).FirstErr(); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) commit(group, topic string, partition int32, offset int64) {
	f.t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, partition, offset, -1)
	if err := f.admin.CommitAllOffsets(context.Background(), group, offsets); err != nil {
		f.t.Fatal(err)
	}
}

// tick collects once, one step later than the time before.
func (f *fixture) tick(step time.Duration) []collector.Result {
	f.t.Helper()
	f.now = f.now.Add(step)
	results, err := f.collector.Collect(f.t.Context(), f.now)
	if err != nil {
		f.t.Fatal(err)
	}
	return results
}

func TestLagAndCounts(t *testing.T) {
	f := newFixture(t, 3, map[string]int32{"a": 2})
	f.produce("a", 0, 100)
	f.produce("a", 1, 50)
	f.commit("g", "a", 0, 40)
	f.commit("g", "a", 1, 50)
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})

	first := f.tick(0)[0]
	wantValue(t, "first lag", first.Observation.LagRecords, series.Of(60))
	wantValue(t, "first arrivals", first.Observation.ArrivalRecords, series.Missing)
	wantValue(t, "partitions", first.Observation.Partitions, series.Of(2))
	wantValue(t, "members", first.Members, series.Of(0))

	f.produce("a", 1, 10)
	second := f.tick(5 * time.Second)[0]
	wantValue(t, "second lag", second.Observation.LagRecords, series.Of(70))
	wantValue(t, "arrivals", second.Observation.ArrivalRecords, series.Of(10))
	wantValue(t, "arrival rate", second.Observation.ArrivalRate(), series.Of(2))
	wantValue(t, "consumed", second.Observation.ConsumedRecords, series.Of(0))
	if got := fmt.Sprint(second.Observation.PartitionLagRecords); got != "[60 10]" {
		t.Errorf("partition lag: got %s, want [60 10]", got)
	}
	if got := fmt.Sprint(second.Observation.PartitionArrivalRecords); got != "[0 10]" {
		t.Errorf("partition arrivals: got %s, want [0 10]", got)
	}
	if len(second.Observation.Problems) > 0 {
		t.Errorf("problems: %q", second.Observation.Problems)
	}
}

func wantValue(t *testing.T, what string, got, want series.Value) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
