//go:build integration

package kafka

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/metrics/collector"
)

// TestUncleanElection loses records under a group: their only broker dies, and the one that takes over had been away when they
// came. The group's commit is then past the end, by which its lag is not known until it commits anew.
func TestUncleanElection(t *testing.T) {
	r := newRig(t, kafka.Options{Brokers: 3})
	const name = "cut"
	response, err := r.admin.CreateTopic(r.context(), 1, 2, map[string]*string{
		"unclean.leader.election.enable": kadm.StringPtr("true"), "min.insync.replicas": kadm.StringPtr("1"),
	}, name)
	r.must(err)
	r.must(response.Err)
	r.eventually("both replicas in sync", func() error { return inSync(r, name, 2) })
	r.produce(name, 0, 100)
	// A busy broker may have been left out for a moment, and the records were acknowledged without it.
	r.eventually("both replicas have the records", func() error { return inSync(r, name, 2) })
	r.commit(name, name, map[int32]int64{0: 60})
	c := r.collector()
	c.SetTargets([]collector.Target{{Policy: "test/p", Cluster: "main", Group: name, Topics: []string{name}}})
	r.observe(c, "start", lagIs(40))

	leader, follower := leaderAndFollower(r, name)
	r.cluster.Kill(follower)
	r.produce(name, 0, 100) // acknowledged once the follower is no longer waited for
	r.commit(name, name, map[int32]int64{0: 190})
	r.observe(c, "the follower away", lagIs(10))
	// A coordinator that takes over may be behind by its newest record; let that be one more of the same.
	r.commit(name, name, map[int32]int64{0: 190})
	r.cluster.Kill(leader)
	r.must(r.cluster.Restart(r.context(), follower))

	cut := func(end int) func(collector.Result) error {
		return func(result collector.Result) error {
			o := result.Observation
			if o.LagRecords.Known() || o.LagSeconds.Known() {
				t.Errorf("lag of records that are lost: got %v and %v s, want them missing", o.LagRecords, o.LagSeconds)
			}
			if o.ArrivalRecords.Or(0) < 0 || o.ConsumedRecords.Or(0) < 0 {
				t.Errorf("arrived and consumed: got %v and %v, below zero", o.ArrivalRecords, o.ConsumedRecords)
			}
			if got := states(c, name); got != "truncated:1" {
				return fmt.Errorf("states: got %s; %q", got, o.Problems)
			}
			want := fmt.Sprintf("the committed offset 190 is past the end %d: the log was cut", end)
			if text := strings.Join(o.Problems, ";"); !strings.Contains(text, want) {
				return fmt.Errorf("problems: got %q, want %q", text, want)
			}
			if got := c.Groups(time.Now())[0].Partitions[0].Reason; got != want {
				return fmt.Errorf("the partition's reason: got %q, want %q", got, want)
			}
			return nil
		}
	}
	r.observe(c, "the follower leads", cut(100))
	r.produce(name, 0, 5)
	r.observe(c, "new records", cut(105))
	r.commit(name, name, map[int32]int64{0: 100})
	r.observe(c, "a commit in what is left", lagIs(5))
}

// leaderAndFollower returns which brokers have the one partition of a topic.
func leaderAndFollower(r *rig, topic string) (leader, follower int) {
	r.t.Helper()
	details, err := r.admin.ListTopics(r.context(), topic)
	r.must(err)
	p := details[topic].Partitions[0]
	for i := range 3 {
		for _, node := range p.Replicas {
			switch {
			case node != r.cluster.NodeID(i):
			case node == p.Leader:
				leader = i
			default:
				follower = i
			}
		}
	}
	return leader, follower
}
