//go:build integration

package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/metrics/collector"
)

// TestSoak has members join and leave, groups come and go and topics be made and deleted while a collector ticks, and
// looks that memory and goroutines stay flat. PRESCALE_SOAK says for how long; without it, for some seconds.
func TestSoak(t *testing.T) {
	span := 8 * time.Second
	if given, err := time.ParseDuration(os.Getenv("PRESCALE_SOAK")); err == nil {
		span = given
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(12, "steady"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	config := DefaultConfig()
	config.GroupInterval, config.MetadataInterval, config.StartInterval = 1, 1, 1
	c, err := New(config, client, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.SetTargets([]collector.Target{{Policy: "ns/steady", Cluster: "default", Group: "steady", Topics: []string{"steady"}}})
	c.SetSelection(Selection{All: true})

	ctx, cancel := context.WithTimeout(t.Context(), span+5*time.Minute)
	defer cancel()
	random := rand.New(rand.NewPCG(1, 1))
	var members []*kgo.Client
	leave := func() {
		if len(members) > 0 {
			members[0].Close()
			members = members[1:]
		}
	}
	defer func() {
		for len(members) > 0 {
			leave()
		}
	}()
	joins, ticks, wrong := 0, 0, 0
	var baseline, last uint64
	var baseGoroutines int
	began := time.Now()
	now := began
	for time.Since(began) < span {
		step := time.Since(began)
		if len(members) > 6 || random.IntN(3) == 0 {
			leave()
		} else {
			member, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumerGroup("steady"),
				kgo.ConsumeTopics("steady"), kgo.AutoCommitInterval(200*time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			poll, stop := context.WithTimeout(ctx, 300*time.Millisecond)
			member.PollFetches(poll)
			stop()
			members = append(members, member)
			joins++
		}
		name := fmt.Sprintf("passing-%d", joins)
		if _, err := admin.CreateTopic(ctx, 3, 1, nil, name); err == nil {
			offsets := kadm.Offsets{}
			offsets.AddOffset(name, 0, 0, -1)
			_ = admin.CommitAllOffsets(ctx, name, offsets)
		}
		client.ProduceSync(ctx, &kgo.Record{Topic: "steady", Value: []byte("x")})
		for range 3 {
			now = now.Add(5 * time.Second)
			results, err := c.Collect(ctx, now)
			if err != nil {
				t.Fatal(err)
			}
			ticks++
			if lag, known := results[0].Observation.LagRecords.Get(); known && lag < 0 {
				wrong++
			}
		}
		if _, err := admin.DeleteTopics(ctx, name); err == nil {
			_, _ = admin.DeleteGroups(ctx, name)
		}
		if step > span/3 && baseline == 0 {
			baseline, baseGoroutines = live(), runtime.NumGoroutine()
		}
	}
	// What is left is measured in the same state: nobody there, nothing passing.
	for len(members) > 0 {
		leave()
	}
	for range 5 {
		now = now.Add(5 * time.Second)
		if _, err := c.Collect(ctx, now); err != nil {
			t.Fatal(err)
		}
	}
	last = live()
	groups, topics := len(c.groups), len(c.topics)
	*c = Collector{}
	rest := live()
	own := max(last, rest) - rest
	t.Logf("%d joins, %d ticks, %d groups and %d topics left; live heap %d KiB at a third, %d KiB at the end, %d KiB of it the collector's; goroutines %d, then %d",
		joins, ticks, groups, topics, baseline>>10, last>>10, own>>10, baseGoroutines, runtime.NumGoroutine())
	if wrong > 0 {
		t.Errorf("%d ticks had a negative lag", wrong)
	}
	if groups > 4 || topics > 4 {
		t.Errorf("%d groups and %d topics are remembered", groups, topics)
	}
	if own > 1<<20 {
		t.Errorf("the collector holds %d KiB for %d groups and %d topics", own>>10, groups, topics)
	}
	// The in-memory Kafka lives in the same heap and keeps the records; a leak elsewhere would be larger.
	if baseline > 0 && last > baseline+baseline/2+(8<<20) {
		t.Errorf("live heap grew from %d to %d KiB", baseline>>10, last>>10)
	}
}
