//go:build integration

package kafka

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// lagIs is content with a result whose lag is right and whose seconds are known.
func lagIs(lag float64) func(collector.Result) error {
	return func(result collector.Result) error {
		if result.Err != nil {
			return result.Err
		}
		if got := result.Observation.LagRecords; got != series.Of(lag) {
			return fmt.Errorf("lag: got %v, want %v; %q", got, lag, result.Observation.Problems)
		}
		if !result.Observation.LagSeconds.Known() {
			return fmt.Errorf("seconds behind are missing: %q", result.Observation.Problems)
		}
		return nil
	}
}

// TestChanges takes one group through what happens to groups and topics while they are watched.
func TestChanges(t *testing.T) {
	r := newRig(t, kafka.Options{})
	const name = "changing"
	r.create(name, 2, nil)
	r.produce(name, 0, 100)
	r.produce(name, 1, 100)
	r.commit(name, name, map[int32]int64{0: 50, 1: 100})
	c := r.collector()
	c.SetTargets([]collector.Target{{Policy: "test/p", Cluster: "main", Group: name, Topics: []string{name}}})
	r.observe(c, "start", lagIs(50))

	// Partitions added count at once, and what they hold has arrived since.
	_, err := r.admin.CreatePartitions(r.context(), 1, name)
	r.must(err)
	r.eventually("the new partition takes records", func() error {
		client := r.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner())) // a new one, which looks up the partitions
		return client.ProduceSync(r.context(), &kgo.Record{Topic: name, Partition: 2, Value: []byte("x")}).FirstErr()
	})
	arrived := 0.0
	grown := r.observe(c, "partition added", func(result collector.Result) error {
		arrived += result.Observation.ArrivalRecords.Or(0)
		return lagIs(51)(result)
	})
	if got := grown.Observation.Partitions; got != series.Of(3) {
		t.Errorf("partitions: got %v, want 3", got)
	}
	if arrived != 1 {
		t.Errorf("arrived with the new partition: got %v, want 1", arrived)
	}

	// Offsets set back are no consumption.
	r.commit(name, name, map[int32]int64{0: 10, 1: 0, 2: 1})
	reset := r.observe(c, "offsets reset backwards", lagIs(190))
	if got := reset.Observation.ConsumedRecords; got.Known() {
		t.Errorf("consumed at a reset: got %v, want missing", got)
	}
	if text := strings.Join(reset.Observation.Problems, ";"); !strings.Contains(text, "were set back") {
		t.Errorf("problems at a reset: got %q", text)
	}
	// Set forwards.
	r.commit(name, name, map[int32]int64{0: 100, 1: 90})
	r.observe(c, "offsets reset forwards", lagIs(10))

	// Deleted: an error, not a lag of zero.
	_, err = r.admin.DeleteTopics(r.context(), name)
	r.must(err)
	gone := r.observe(c, "topic deleted", func(result collector.Result) error {
		if result.Observation.LagRecords.Known() {
			return fmt.Errorf("lag: got %v, want missing", result.Observation.LagRecords)
		}
		if !strings.Contains(strings.Join(result.Observation.Problems, ";"), "does not exist") {
			return fmt.Errorf("problems: got %q", result.Observation.Problems)
		}
		return nil
	})
	_ = gone
	// Created again: nothing of the old one is left in it.
	r.create(name, 2, nil)
	r.produce(name, 0, 30)
	r.observe(c, "topic created again", lagIs(30))
	r.commit(name, name, map[int32]int64{0: 20, 1: 0})
	r.observe(c, "commit in the new topic", lagIs(10))
}

// TestRecreatedBetweenTicks replaces a topic while nobody looks: only its id tells.
func TestRecreatedBetweenTicks(t *testing.T) {
	r := newRig(t, kafka.Options{})
	const name = "replaced"
	r.create(name, 1, nil)
	r.produce(name, 0, 100)
	r.commit(name, name, map[int32]int64{0: 60})
	c := r.collector()
	c.SetTargets([]collector.Target{{Policy: "test/p", Cluster: "main", Group: name, Topics: []string{name}}})
	r.observe(c, "before", lagIs(40))
	_, err := r.admin.DeleteTopics(r.context(), name)
	r.must(err)
	r.eventually("create again", func() error {
		response, err := r.admin.CreateTopic(r.context(), 1, 1, nil, name)
		return errors.Join(err, response.Err)
	})
	r.eventually("produce to it", func() error {
		client := r.newClient() // a new one, which knows nothing of the old topic
		return client.ProduceSync(r.context(), &kgo.Record{Topic: name, Value: []byte("x")}).FirstErr()
	})
	after := r.observe(c, "after", lagIs(1))
	if got := after.Observation.LagSeconds.Or(1e9); got > 300 {
		t.Errorf("seconds behind: got %v", got)
	}
}

// TestBrokersDieAndReturn kills what a group needs, one after another, on three brokers and looks that the values come
// back right, that they are missing and not wrong in between, and that with no broker at all there is an error.
func TestBrokersDieAndReturn(t *testing.T) {
	r := newRig(t, kafka.Options{Brokers: 3})
	const name = "moving"
	r.create(name, 6, nil)
	commits := map[int32]int64{}
	for p := range int32(6) {
		r.produce(name, p, 100)
		commits[p] = 90
	}
	r.commit(name, name, commits)
	// Without cause the metadata is not read again: errors alone tell of what moves.
	c := r.collector(func(config *Config) { config.RequestTimeout, config.MetadataInterval = 5*time.Second, time.Hour })
	c.SetTargets([]collector.Target{{Policy: "test/p", Cluster: "main", Group: name, Topics: []string{name}}})
	r.observe(c, "start", lagIs(60))

	only := func(result collector.Result) error {
		if lag, known := result.Observation.LagRecords.Get(); known && lag != 60 {
			t.Errorf("lag while brokers die: got %v, want 60 or missing", lag)
		}
		return lagIs(60)(result)
	}
	was := slices.Clone(c.topics[name].leader)
	moveLeaders(r, name)
	r.observe(c, "every leader moved while all live", func(result collector.Result) error {
		for p, leader := range c.topics[name].leader {
			if leader == was[p] {
				return fmt.Errorf("partition %d: the old leader %d is asked", p, leader)
			}
		}
		return only(result)
	})
	// The coordinator leads two of the partitions as well.
	coordinator := 0
	for i := range 3 {
		if r.cluster.NodeID(i) == c.groups[name].coordinator {
			coordinator = i
		}
	}
	r.cluster.Kill(coordinator)
	r.observe(c, "the coordinator killed", only)
	if c.groups[name].coordinator == r.cluster.NodeID(coordinator) {
		t.Error("the coordinator is still the dead one")
	}
	r.must(r.cluster.Restart(r.context(), coordinator))
	r.eventually("all in sync", func() error { return inSync(r, name, 3) })
	r.observe(c, "the broker back", only)
	// A broker that hangs leaves its partitions missing, not the tick hanging.
	r.must(r.cluster.Pause(0))
	began := time.Now()
	if _, err := c.Collect(r.context(), time.Now()); err == nil && time.Since(began) > 60*time.Second {
		t.Errorf("a tick with a broker that hangs took %v", time.Since(began))
	}
	r.must(r.cluster.Continue(0))
	r.observe(c, "broker goes on", only)

	for i := range 3 {
		r.cluster.Kill(i)
	}
	results, err := c.Collect(r.context(), time.Now())
	if err == nil && results[0].Err == nil {
		t.Fatalf("no broker: no error and %v", results[0].Observation)
	}
	if results[0].Observation.LagRecords.Known() {
		t.Errorf("no broker: got a lag of %v", results[0].Observation.LagRecords)
	}
}

// moveLeaders has another in-sync replica lead each partition of a topic.
func moveLeaders(r *rig, topic string) {
	r.t.Helper()
	details, err := r.admin.ListTopics(r.context(), topic)
	r.must(err)
	var wanted kadm.AlterPartitionAssignmentsReq
	partitions := kadm.TopicsSet{}
	for _, p := range details[topic].Partitions {
		wanted.Assign(topic, p.Partition, append(p.Replicas[1:], p.Replicas[0]))
		partitions.Add(topic, p.Partition)
	}
	altered, err := r.admin.AlterPartitionAssignments(r.context(), wanted)
	r.must(errors.Join(err, altered.Error()))
	r.eventually("the first replicas lead", func() error {
		elected, err := r.admin.ElectLeaders(r.context(), kadm.ElectPreferredReplica, partitions)
		for _, result := range elected[topic] {
			if result.Err != nil && !errors.Is(result.Err, kerr.ElectionNotNeeded) {
				return result.Err
			}
		}
		return err
	})
}

// inSync reports whether every partition has as many replicas in sync as wanted.
func inSync(r *rig, topic string, replicas int) error {
	details, err := r.admin.ListTopics(r.context(), topic)
	if err != nil {
		return err
	}
	for _, p := range details[topic].Partitions {
		if len(p.ISR) < replicas {
			return fmt.Errorf("partition %d has %d replicas in sync", p.Partition, len(p.ISR))
		}
	}
	return nil
}
