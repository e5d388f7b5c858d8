package kafka

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// member is a consumer that commits what it polls.
func (f *fixture) member(group, topic string, options ...kgo.Opt) *kgo.Client {
	f.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(f.cluster.ListenAddrs()...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
	}, options...)...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(client.Close)
	return client
}

func (f *fixture) pollAndCommit(client *kgo.Client) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	fetches := client.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		f.t.Fatal(err)
	}
	if err := client.CommitRecords(ctx, fetches.Records()...); err != nil {
		f.t.Fatal(err)
	}
}

// TestMembersStartAndStop follows a member from joining to its first commit, and a rebalance from its beginning to the
// commit that ends it, for each kind of group.
func TestMembersStartAndStop(t *testing.T) {
	for _, tt := range []struct {
		kind    string
		options []kgo.Opt
	}{
		{typeClassic, nil},
		{typeConsumer, []kgo.Opt{kgo.ServerSideBalancer()}},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			f := newFixture(t, 1, map[string]int32{"a": 2}, func(c *Config) { c.GroupInterval = 1 })
			f.produce("a", 0, 10)
			f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
			empty := f.tick(0)[0]
			wantValue(t, "lag of a group that is not there yet", empty.Observation.LagRecords, series.Of(10))
			if empty.Group.State != stateAbsent {
				t.Errorf("state: got %q, want %q", empty.Group.State, stateAbsent)
			}

			client := f.member("g", "a", tt.options...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			fetches := client.PollFetches(ctx) // it has joined once it gets records
			joined := f.tick(5 * time.Second)[0]
			wantValue(t, "members", joined.Members, series.Of(1))
			wantValue(t, "members with partitions", joined.Group.Assigned, series.Of(1))
			wantValue(t, "starting", joined.Starting, series.Of(1))
			if joined.Group.Type != tt.kind || joined.Group.Rebalances != 1 || len(joined.Group.Starts) != 0 {
				t.Errorf("joined: got %+v", joined.Group)
			}
			if err := client.CommitRecords(ctx, fetches.Records()...); err != nil {
				t.Fatal(err)
			}
			started := f.tick(10 * time.Second)[0]
			wantValue(t, "starting after the first commit", started.Starting, series.Of(0))
			if len(started.Group.Starts) != 1 || started.Group.Starts[0].FirstCommitAt.Sub(started.Group.Starts[0].JoinedAt) != 10*time.Second {
				t.Errorf("starts: got %+v, want one of 10s", started.Group.Starts)
			}
			if started.Group.LastPause != 10*time.Second {
				t.Errorf("pause: got %v, want 10s", started.Group.LastPause)
			}
			wantValue(t, "consumed", started.Observation.ConsumedRecords, series.Of(10))
			f.produce("a", 1, 3)
			f.pollAndCommit(client)
			next := f.tick(5 * time.Second)[0]
			if len(next.Group.Starts) != 0 || next.Group.Rebalances != 1 {
				t.Errorf("nothing new: got %+v", next.Group)
			}
			wantValue(t, "consumed next", next.Observation.ConsumedRecords, series.Of(3))

			client.Close()
			left := f.tick(5 * time.Second)[0]
			wantValue(t, "members left", left.Members, series.Of(0))
			wantValue(t, "starting left", left.Starting, series.Of(0))
			if left.Group.State != "Empty" || left.Group.Rebalances != 2 {
				t.Errorf("left: got %+v", left.Group)
			}
		})
	}
}

// TestAMemberThatNeverCommitsIsNotStartingForEver: it has work, and neither it nor one without work is waited for.
func TestAMemberThatNeverCommitsIsNotStartingForEver(t *testing.T) {
	f := newFixture(t, 1, map[string]int32{"a": 1}, func(c *Config) { c.GroupInterval = 1 })
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
	f.tick(0)
	client := f.member("g", "a")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	polled := make(chan struct{})
	go func() { client.PollFetches(ctx); close(polled) }()
	for joined := series.Missing; joined != series.Of(1); {
		if ctx.Err() != nil {
			t.Fatal("it did not join")
		}
		r := f.tick(time.Second)[0]
		joined = r.Group.Assigned
		wantValue(t, "starting without work", r.Starting, series.Of(0))
	}
	f.produce("a", 0, 1)
	<-polled
	wantValue(t, "starting with work", f.tick(5 * time.Second)[0].Starting, series.Of(1))
	wantValue(t, "starting for long", f.tick(startingFor)[0].Starting, series.Of(0))
}
