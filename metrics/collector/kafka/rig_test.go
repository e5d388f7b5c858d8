//go:build integration

package kafka

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/metrics/collector"
)

// rig is a real broker with what tests need to bring groups and topics into a state.
type rig struct {
	t       *testing.T
	cluster *kafka.Cluster
	client  *kgo.Client
	admin   *kadm.Client
	own     *kgo.Client
}

// patience bounds every wait: the machine may be busy.
const patience = 90 * time.Second

func newRig(t *testing.T, options kafka.Options) *rig {
	t.Helper()
	cluster := kafka.ForTest(t, options)
	r := &rig{t: t, cluster: cluster}
	r.client = r.newClient()
	r.admin = kadm.NewClient(r.client)
	r.own = r.newClient()
	return r
}

func (r *rig) newClient(options ...kgo.Opt) *kgo.Client {
	r.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(r.cluster.Bootstrap()...), kgo.MetadataMinAge(100 * time.Millisecond),
	}, options...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(client.Close)
	return client
}

func (r *rig) context() context.Context {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	r.t.Cleanup(cancel)
	return ctx
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) create(topic string, partitions int32, configs map[string]*string) {
	r.t.Helper()
	response, err := r.admin.CreateTopic(r.context(), partitions, -1, configs, topic)
	r.must(err)
	r.must(response.Err)
	// Creation is acknowledged by the controller; the leaders follow.
	r.eventually("topic "+topic+" is led", func() error {
		listed, err := r.admin.ListEndOffsets(r.context(), topic)
		if err != nil {
			return err
		}
		if err := listed.Error(); err != nil {
			return err
		}
		if n := len(listed[topic]); n != int(partitions) {
			return fmt.Errorf("%d of %d partitions", n, partitions)
		}
		return nil
	})
}

// produce goes through a client of its own, which knows nothing of an older topic of the same name.
func (r *rig) produce(topic string, partition int32, records int) {
	r.t.Helper()
	client := r.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	batch := make([]*kgo.Record, records)
	for i := range batch {
		batch[i] = &kgo.Record{Topic: topic, Partition: partition, Key: []byte("k"), Value: fmt.Append(nil, i)}
	}
	r.must(client.ProduceSync(r.context(), batch...).FirstErr())
}

func (r *rig) commit(group, topic string, offsets map[int32]int64) {
	r.t.Helper()
	all := kadm.Offsets{}
	for partition, offset := range offsets {
		all.AddOffset(topic, partition, offset, -1)
	}
	r.eventually("commit of "+group, func() error { return r.admin.CommitAllOffsets(r.context(), group, all) })
}

// join starts a consumer of a group and waits until it has partitions. It polls in the background and commits nothing.
func (r *rig) join(group, topic string, options ...kgo.Opt) *kgo.Client {
	r.t.Helper()
	assigned := make(chan struct{}, 100)
	client := r.newClient(append([]kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) {
			select {
			case assigned <- struct{}{}:
			default:
			}
		}),
	}, options...)...)
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			client.PollFetches(ctx)
		}
	}()
	r.t.Cleanup(func() { cancel(); <-done })
	select {
	case <-assigned:
	case <-time.After(patience):
		r.t.Fatalf("no partitions assigned to a member of %s", group)
	}
	return client
}

func (r *rig) commitAs(client *kgo.Client, topic string, offsets map[int32]int64) {
	r.t.Helper()
	r.must(r.tryCommitAs(client, topic, offsets))
}

// tryCommitAs commits as a member, which fails while the group moves on without it.
func (r *rig) tryCommitAs(client *kgo.Client, topic string, offsets map[int32]int64) error {
	commit := map[string]map[int32]kgo.EpochOffset{topic: {}}
	for partition, offset := range offsets {
		commit[topic][partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
	}
	var failed error
	client.CommitOffsetsSync(r.context(), commit, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		failed = err
		if err != nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					failed = err
				}
			}
		}
	})
	return failed
}

func (r *rig) eventually(what string, f func() error) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (r *rig) collector(adjust ...func(*Config)) *Collector {
	r.t.Helper()
	config := DefaultConfig()
	config.Cluster = "main"
	// A busy machine may pause a broker for seconds.
	config.RequestTimeout = 20 * time.Second
	config.GroupInterval, config.StartInterval, config.MetadataInterval = 1, 1, 1
	for _, f := range adjust {
		f(&config)
	}
	c, err := New(config, r.own, nil, nil)
	r.must(err)
	return c
}

// observe collects for one target until f is content with the result.
func (r *rig) observe(c *Collector, what string, f func(collector.Result) error) collector.Result {
	r.t.Helper()
	var result collector.Result
	r.eventually(what, func() error {
		results, err := c.Collect(r.context(), time.Now())
		if err != nil {
			return err
		}
		result = results[0]
		return f(result)
	})
	return result
}
