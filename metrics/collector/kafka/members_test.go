//go:build integration

package kafka

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// owners says how many partitions each member has, and how many nobody has.
func owners(c *Collector) (counts map[string]int, without int) {
	counts = map[string]int{}
	for _, p := range c.Groups(time.Now())[0].Partitions {
		if p.Owner == "" {
			without++
			continue
		}
		counts[p.Owner]++
	}
	return counts, without
}

// TestOwnersAndRebalances has one member join a group, commit, a second one join, commit and leave, and reads who owns what,
// how many rebalances there were and how long they kept the group from committing.
func TestOwnersAndRebalances(t *testing.T) {
	r := newRig(t, kafka.Options{Properties: map[string]string{
		"group.consumer.min.heartbeat.interval.ms": "500", "group.consumer.heartbeat.interval.ms": "500",
	}})
	for _, tt := range []struct {
		kind    string
		options []kgo.Opt
	}{
		{typeClassic, []kgo.Opt{kgo.HeartbeatInterval(500 * time.Millisecond)}},
		{typeConsumer, []kgo.Opt{kgo.ServerSideBalancer()}},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			r := &rig{t: t, cluster: r.cluster, client: r.client, admin: r.admin, own: r.own}
			name := "owned-" + tt.kind
			r.create(name, 4, nil)
			for p := range int32(4) {
				r.produce(name, p, 10)
			}
			c := r.collector()
			c.SetTargets([]collector.Target{{Policy: "test/p", Cluster: "main", Group: name, Topics: []string{name}}})
			r.observe(c, "no group yet", lagIs(40))

			// Each owns all that it should, and nobody else does.
			shared := func(members int) func(collector.Result) error {
				return func(result collector.Result) error {
					counts, without := owners(c)
					if result.Members != series.OfInt(members) || result.Group.Assigned != series.OfInt(members) ||
						len(counts) != members || without > 0 || result.Group.State != "Stable" || result.Group.Type != tt.kind {
						return fmt.Errorf("%v members, owners %v, %d partitions without, %+v", result.Members, counts, without, result.Group)
					}
					for owner, n := range counts {
						if n != 4/members {
							return fmt.Errorf("%s owns %d partitions", owner, n)
						}
					}
					return nil
				}
			}
			first := r.join(name, name, tt.options...)
			joined := r.observe(c, "one member", shared(1))
			if got := joined.Starting; got != series.Of(1) {
				t.Errorf("starting: got %v, want 1, before its first commit", got)
			}
			// What it stopped ends with the first commit, which is the member's start as well.
			commit := func(client *kgo.Client, what string, offset int64) collector.Result {
				var starts []collector.Start
				r.eventually("commit of "+what, func() error {
					return r.tryCommitAs(client, name, map[int32]int64{0: offset, 1: offset, 2: offset, 3: offset})
				})
				result := r.observe(c, what+" committed", func(result collector.Result) error {
					starts = append(starts, result.Group.Starts...)
					if result.Starting != series.Of(0) || len(starts) == 0 {
						return fmt.Errorf("starting %v, starts %v", result.Starting, starts)
					}
					return nil
				})
				for _, start := range starts {
					if !start.FirstCommitAt.After(start.JoinedAt) {
						t.Errorf("%s: start %+v", what, start)
					}
				}
				return result
			}
			before := time.Now()
			started := commit(first, "the first member", 5)
			if got := started.Group; got.Rebalances < 1 || got.LastPause <= 0 || got.LastPause > time.Since(before)+patience {
				t.Errorf("after the first commit: %+v", got)
			}

			second := r.join(name, name, tt.options...)
			both := r.observe(c, "two members", shared(2))
			if got := both.Group.Rebalances; got <= started.Group.Rebalances {
				t.Errorf("rebalances when another joined: got %d, after %d", got, started.Group.Rebalances)
			}
			r.observe(c, "still two", func(result collector.Result) error {
				if result.Group.Rebalances != both.Group.Rebalances {
					t.Errorf("rebalances while nothing moves: %d, then %d", both.Group.Rebalances, result.Group.Rebalances)
				}
				return nil
			})
			commit(second, "the second member", 8)
			second.LeaveGroup()
			left := r.observe(c, "one left", shared(1))
			if got := left.Group.Rebalances; got <= both.Group.Rebalances {
				t.Errorf("rebalances when one left: got %d, after %d", got, both.Group.Rebalances)
			}
			first.LeaveGroup()
			empty := r.observe(c, "none left", func(result collector.Result) error {
				if result.Members != series.Of(0) || result.Group.State != "Empty" {
					return fmt.Errorf("%v members, state %s", result.Members, result.Group.State)
				}
				return lagIs(8)(result)
			})
			if got := empty.Starting; got != series.Of(0) {
				t.Errorf("starting when none is left: %v", got)
			}

			// Nobody is there to consume: what moves now was set.
			r.commit(name, name, map[int32]int64{0: 10, 1: 9, 2: 9, 3: 9})
			r.observe(c, "offsets set forwards", func(result collector.Result) error {
				if text := strings.Join(result.Observation.Problems, ";"); strings.Contains(text, "were set forwards") {
					if result.Observation.ConsumedRecords.Known() {
						t.Errorf("consumed when offsets were set: %v", result.Observation.ConsumedRecords)
					}
					return nil
				}
				return errors.New("not seen yet")
			})
			r.observe(c, "after that", lagIs(3))
		})
	}
}
