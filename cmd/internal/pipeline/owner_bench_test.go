//go:build integration

package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/metrics/series"
)

// benchInterval is the policies' interval; benchTicks lie between two checkpoints of each.
const (
	benchInterval = 15 * time.Second
	benchTicks    = 40
)

// benchOwner is the write side of a daemon without its collector: what it saw is handed to it.
type benchOwner struct {
	shards   *shards
	registry *prometheus.Registry
	// first is when the first shard came.
	first time.Time
	stop  func()
}

func startBenchOwner(b *testing.B, brokers []string, instance string, policies []Policy) *benchOwner {
	b.Helper()
	lc := eventlog.DefaultConfig()
	lc.Instance = instance
	o := &benchOwner{registry: prometheus.NewRegistry()}
	quiet := slog.New(slog.DiscardHandler)
	owner, err := eventlog.NewOwner(lc, []kgo.Opt{kgo.SeedBrokers(brokers...)}, quiet, o.registry)
	if err != nil {
		b.Fatal(err)
	}
	o.shards = newShards(Config{Policies: policies, Shards: lc.Shards, Logger: quiet})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	var once sync.Once
	go func() {
		done <- owner.Run(ctx, func(ctx context.Context, s *eventlog.Shard) error {
			once.Do(func() { o.first = time.Now() })
			return o.shards.serve(ctx, s)
		})
	}()
	o.stop = func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	o.await(b, func() bool {
		o.shards.mu.Lock()
		defer o.shards.mu.Unlock()
		return len(o.shards.owned) == lc.Shards
	})
	return o
}

func (o *benchOwner) await(b *testing.B, done func() bool) {
	b.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal("not within two minutes")
		}
	}
}

// appended returns how many ticks are in the log for good.
func (o *benchOwner) appended(b *testing.B) int {
	families, err := o.registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "prescale_log_appended_ticks_total" {
			return int(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	b.Fatal("the owner has no counter of ticks")
	return 0
}

// tick hands a tick of every policy over and waits until the log has all of it.
func (o *benchOwner) tick(b *testing.B, now time.Time, seen []sighting) {
	before := o.appended(b)
	o.shards.deliver(now, 1<<30, seen)
	o.await(b, func() bool { return o.appended(b) >= before+len(seen) })
}

func benchPolicies(n int) []Policy {
	policies := make([]Policy, n)
	for i := range policies {
		policies[i] = policy(fmt.Sprintf("team-%d/service-%d", i%20, i))
	}
	return policies
}

// benchSightings are what a collector sees of services with a daily wave, noise and 12 partitions.
func benchSightings(random *rand.Rand, policies []Policy, now time.Time) []sighting {
	seen := make([]sighting, len(policies))
	for i, p := range policies {
		wave := 1 + 0.5*math.Sin(float64(now.Unix())/86400*2*math.Pi+float64(i))
		n := math.Floor(1e4 * wave * (0.9 + 0.2*random.Float64()))
		partitions := make([]series.Value, 12)
		for k := range partitions {
			partitions[k] = series.OfInt(random.Int64N(50))
		}
		seen[i] = sighting{policy: p, observation: series.Observation{
			Policy: p.Name(), At: now, Interval: benchInterval, ArrivalRecords: series.Of(n), ConsumedRecords: series.Of(n - 10),
			LagRecords: series.Of(300), LagSeconds: series.Of(random.Float64()), LagSecondsError: series.Of(0.01),
			ReadyReplicas: series.OfInt(5), StartingReplicas: series.OfInt(0), Partitions: series.OfInt(12),
			PartitionLagRecords: partitions, PartitionArrivalRecords: partitions,
		}}
	}
	return seen
}

// cpu is the time that this process has spent on processors.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOwnerOf5000Policies is one owner of all shards: forecast, decide, and write observations, decisions and
// checkpoints, without the collector's part. It says how much of a core that takes with a tick every 15s.
func BenchmarkOwnerOf5000Policies(b *testing.B) {
	broker := kafka.ForTest(b, kafka.Options{HeapMiB: 512})
	policies := benchPolicies(5000)
	o := startBenchOwner(b, broker.Bootstrap(), "bench", policies)
	defer o.stop()
	random := rand.New(rand.NewPCG(1, 1))
	const warm = 40
	now := time.Now().Truncate(benchInterval).Add(-(warm + benchTicks) * benchInterval)
	var spent, took time.Duration
	for i := range warm + benchTicks {
		now = now.Add(benchInterval)
		seen := benchSightings(random, policies, now)
		start, before := time.Now(), cpu(b)
		o.tick(b, now, seen)
		if i >= warm {
			spent, took = spent+cpu(b)-before, took+time.Since(start)
		}
	}
	b.ReportMetric(100*spent.Seconds()/(benchTicks*benchInterval.Seconds()), "%core")
	b.ReportMetric(float64(spent.Microseconds())/float64(benchTicks*len(policies)), "cpu-µs/tick")
	b.ReportMetric(took.Seconds()/benchTicks, "s/round")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkTakeOverOf400Policies lets a second process take over what a first one has left: reading checkpoints, and
// deciding again what came after them.
func BenchmarkTakeOverOf400Policies(b *testing.B) {
	broker := kafka.ForTest(b, kafka.Options{HeapMiB: 512})
	policies := benchPolicies(400)
	first := startBenchOwner(b, broker.Bootstrap(), "first", policies)
	random := rand.New(rand.NewPCG(1, 1))
	const ticks = 4 * benchTicks
	now := time.Now().Truncate(benchInterval).Add(-ticks * benchInterval)
	for range ticks {
		now = now.Add(benchInterval)
		first.tick(b, now, benchSightings(random, policies, now))
	}
	first.stop()
	before := cpu(b)
	second := startBenchOwner(b, broker.Bootstrap(), "second", policies)
	took, spent := time.Since(second.first), cpu(b)-before
	defer second.stop()
	b.ReportMetric(took.Seconds(), "s")
	b.ReportMetric(spent.Seconds(), "cpu-s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkCheckpointOfAWeek is how large the state of policies is that have seen a week, and what is left of it after the
// compression that the log's producers use.
func BenchmarkCheckpointOfAWeek(b *testing.B) {
	compressor, err := kgo.DefaultCompressor(kgo.ZstdCompression().WithLevel(1))
	if err != nil {
		b.Fatal(err)
	}
	policies := benchPolicies(3)
	d, err := newDeciders(policies)
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range int(7 * 24 * time.Hour / benchInterval) {
		now = now.Add(benchInterval)
		for _, seen := range benchSightings(random, policies, now) {
			d.all[seen.policy.Name()].tick(now, seen.observation)
		}
	}
	var states []byte
	for _, p := range policies {
		states = d.all[p.Name()].autoscaler.AppendCheckpoint(states)
	}
	compressed, _ := compressor.Compress(new(bytes.Buffer), states)
	b.ReportMetric(float64(len(states)/len(policies)), "B/state")
	b.ReportMetric(float64(len(compressed)/len(policies)), "B/checkpoint")
	b.ReportMetric(0, "ns/op")
}
