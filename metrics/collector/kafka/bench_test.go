//go:build integration

package kafka

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/metrics/collector"
)

// size reads a size from the environment, so that a quick look need not wait for the full one.
func size(name string, fallback int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return fallback
}

// cpu returns the process's CPU time so far.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// cost is what one run of a function costs the process.
type cost struct {
	wall, cpu time.Duration
	mallocs   uint64
}

// measure runs f n times and returns the medians.
func measure(n int, f func()) cost {
	walls, cpus, mallocs := make([]time.Duration, n), make([]time.Duration, n), make([]uint64, n)
	for i := range n {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		startCPU, start := cpu(), time.Now()
		f()
		walls[i], cpus[i] = time.Since(start), cpu()-startCPU
		runtime.ReadMemStats(&after)
		mallocs[i] = after.Mallocs - before.Mallocs
	}
	return cost{wall: median(walls), cpu: median(cpus), mallocs: median(mallocs)}
}

func median[T cmp.Ordered](all []T) T {
	slices.Sort(all)
	return all[len(all)/2]
}

// createMany creates topics of 100 partitions, some thousand partitions a request.
func createMany(b *testing.B, admin *kadm.Client, partitions int) []string {
	b.Helper()
	var topics []string
	for i := range partitions / 100 {
		topics = append(topics, fmt.Sprintf("bench-%04d", i))
	}
	for chunk := range slices.Chunk(topics, 20) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		responses, err := admin.CreateTopics(ctx, 100, 1, nil, chunk...)
		cancel()
		if err != nil {
			b.Fatal(err)
		}
		if err := responses.Error(); err != nil {
			b.Fatal(err)
		}
	}
	return topics
}

// fill gives each partition a few records and each group a commit in each partition.
func fill(b *testing.B, client *kgo.Client, admin *kadm.Client, topics []string, groups int) []string {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var failed atomic.Pointer[error]
	for _, topic := range topics {
		for p := range int32(100) {
			for range 5 {
				client.Produce(ctx, &kgo.Record{Topic: topic, Partition: p, Value: []byte("x")}, func(_ *kgo.Record, err error) {
					if err != nil {
						failed.CompareAndSwap(nil, &err)
					}
				})
			}
		}
	}
	if err := client.Flush(ctx); err != nil {
		b.Fatal(err)
	}
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	var names []string
	for g := range groups {
		name := fmt.Sprintf("group-%02d", g)
		names = append(names, name)
		for chunk := range slices.Chunk(topics, 20) {
			offsets := kadm.Offsets{}
			for _, topic := range chunk {
				for p := range int32(100) {
					offsets.AddOffset(topic, p, int64(g%5), -1)
				}
			}
			// The coordinator may still be coming up.
			err := admin.CommitAllOffsets(ctx, name, offsets)
			for err != nil && ctx.Err() == nil {
				time.Sleep(200 * time.Millisecond)
				err = admin.CommitAllOffsets(ctx, name, offsets)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	return names
}

// policies makes one target for each group, over all topics.
func policies(groups, topics []string) []collector.Target {
	var targets []collector.Target
	for _, group := range groups {
		targets = append(targets, collector.Target{Policy: "bench/" + group, Cluster: "main", Group: group, Topics: topics})
	}
	return targets
}

// BenchmarkRealBroker compares a tick with kadm.Lag on a real broker: 10,000 partitions and 50 groups, or what
// PRESCALE_BENCH_PARTITIONS and PRESCALE_BENCH_GROUPS say.
func BenchmarkRealBroker(b *testing.B) {
	partitions, groups := size("PRESCALE_BENCH_PARTITIONS", 10_000), size("PRESCALE_BENCH_GROUPS", 50)
	cluster := kafka.ForTest(b, kafka.Options{HeapMiB: 2048, Measured: true, Properties: map[string]string{
		// Creating thousands of partitions keeps the one process from its own heartbeats.
		"broker.session.timeout.ms": "60000",
	}})
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Bootstrap()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.UnknownTopicRetries(-1))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	topics := createMany(b, admin, partitions)
	names := fill(b, client, admin, topics, groups)

	own, err := kgo.NewClient(kgo.SeedBrokers(cluster.Bootstrap()...))
	if err != nil {
		b.Fatal(err)
	}
	defer own.Close()
	ours := func(targets []collector.Target) cost {
		config := DefaultConfig()
		config.RequestTimeout = time.Minute
		c, err := New(config, own, nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		c.SetTargets(targets)
		now := time.Now()
		for range 10 { // a broker that has run for a while has compiled what it runs
			now = now.Add(5 * time.Second)
			mustCollect(b, c, now)
		}
		runtime.GC()
		got := measure(11, func() {
			now = now.Add(time.Second)
			mustCollect(b, c, now)
		})
		return got
	}
	all, one := ours(policies(names, topics)), ours(policies(names[:1], topics))
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	kadmCost := measure(3, func() {
		if _, err := admin.Lag(context.Background(), names...); err != nil {
			b.Fatal(err)
		}
	})
	fmt.Printf("\nreal broker, %d partitions, %d groups, medians\n", partitions, groups)
	fmt.Printf("%-28s %10s %10s %12s\n", "", "wall", "CPU", "allocations")
	for _, line := range []struct {
		name string
		cost
	}{{"prescale tick", all}, {"kadm.Lag (sums only)", kadmCost}, {"prescale tick, one group", one}} {
		fmt.Printf("%-28s %10v %10v %12d\n", line.name, line.wall.Round(100*time.Microsecond), line.cpu.Round(100*time.Microsecond), line.mallocs)
	}
	fmt.Printf("%-28s %9.1fx %9.1fx %11.1fx\n", "kadm.Lag / prescale", float64(kadmCost.wall)/float64(all.wall),
		float64(kadmCost.cpu)/float64(all.cpu), float64(kadmCost.mallocs)/float64(all.mallocs))
	fmt.Printf("memory from the system: %d MiB before kadm\n", (memory.Sys-memory.HeapReleased)>>20)
	b.ReportMetric(float64(all.cpu.Milliseconds()), "cpu-ms/tick")
}

func mustCollect(b *testing.B, c *Collector, now time.Time) {
	b.Helper()
	results, err := c.Collect(context.Background(), now)
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil || !r.Observation.LagRecords.Known() || !r.Observation.LagSeconds.Known() {
			b.Fatalf("%s: %v %v %q", r.Observation.Policy, r.Err, r.Observation.LagSeconds, r.Observation.Problems)
		}
	}
}

// BenchmarkMemory measures the live heap on an in-memory Kafka with 100,000 partitions and 10 groups, with an hour of
// samples.
func BenchmarkMemory(b *testing.B) {
	partitions, groups := size("PRESCALE_BENCH_PARTITIONS", 100_000), size("PRESCALE_BENCH_GROUPS", 10)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		b.Fatal(err)
	}
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.UnknownTopicRetries(-1))
	if err != nil {
		b.Fatal(err)
	}
	admin := kadm.NewClient(client)
	topics := createMany(b, admin, partitions)
	names := fill(b, client, admin, topics, groups)
	client.Close()
	own, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		b.Fatal(err)
	}
	defer own.Close()
	config := DefaultConfig()
	config.RequestTimeout = time.Minute
	c, err := New(config, own, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	c.SetTargets(policies(names, topics))
	now := time.Now()
	mustCollect(b, c, now)
	hour := now.Add(time.Hour)
	// The samples of an hour, without the hour: every slot of the timeline is taken as it would be.
	for now.Before(hour) {
		now = now.Add(5 * time.Second)
		c.line.open(now)
		for _, t := range c.topics {
			t.beginTick()
			copy(t.end, t.counted)
			t.endTick(c.line, c.tick, now)
		}
	}
	tick := measure(3, func() {
		now = now.Add(5 * time.Second)
		mustCollect(b, c, now)
	})
	with := live()
	order := len(c.line.order)
	oldest := time.Duration(c.line.sent[c.line.order[order-1]] - c.line.sent[c.line.order[0]])
	*c = Collector{}
	without := live()
	perPartition := float64(with-without) / float64(partitions)
	fmt.Printf("\nin-memory Kafka, %d partitions, %d groups: %.0f bytes of live heap a partition, %d samples each back to %v\n",
		partitions, groups, perPartition, order, oldest.Round(time.Minute))
	fmt.Printf("a tick, in-memory Kafka included: %v wall, %v CPU, %d allocations\n",
		tick.wall.Round(time.Millisecond), tick.cpu.Round(time.Millisecond), tick.mallocs)
	b.ReportMetric(perPartition, "B/partition")
}

// live returns the bytes that are reachable.
func live() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
