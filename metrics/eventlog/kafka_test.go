//go:build integration

package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/metrics/series"
)

// TestOnARealBroker is what the fake broker cannot vouch for: settings, fencing, take-over, the protocol's choice.
func TestOnARealBroker(t *testing.T) {
	broker := kafka.ForTest(t, kafka.Options{})
	opts := []kgo.Opt{kgo.SeedBrokers(broker.Bootstrap()...)}
	cfg := testConfig("a")
	ensure(t, cfg, opts)
	ensure(t, cfg, opts) // What is there already is verified only.

	client := newClient(t, opts)
	t.Run("wrong settings", func(t *testing.T) {
		other := cfg
		other.Shards = 4
		var setupErr *SetupError
		if err := EnsureTopics(t.Context(), client, other); !errors.As(err, &setupErr) || !strings.Contains(err.Error(), "it has 3 partitions") {
			t.Errorf("other shards: got %v", err)
		}
		other = cfg
		other.Prefix = "mended"
		ensure(t, other, opts)
		if _, err := kadm.NewClient(client).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{
			{Name: "cleanup.policy", Value: kadm.StringPtr("delete")},
		}, other.decisions()); err != nil {
			t.Fatal(err)
		}
		if err := EnsureTopics(t.Context(), client, other); !errors.As(err, &setupErr) || !strings.Contains(err.Error(), "--add-config cleanup.policy=compact") {
			t.Errorf("wrong cleanup policy: got %v", err)
		}
	})
	t.Run("the protocol", func(t *testing.T) {
		// The broker's minimum for KIP-848 is 45s unless changed: classic hands over sooner.
		var said bytes.Buffer
		got := chooseProtocol(t.Context(), client, cfg, slog.New(slog.NewTextHandler(&said, nil)))
		if !strings.Contains(said.String(), `remedy="none is needed; for that of KIP-848 set group.consumer.min.session.timeout.ms and`) {
			t.Errorf("no remedy is named: %s", said.String())
		}
		if got != ProtocolClassic {
			t.Errorf("6s: got %s", got)
		}
		slow := cfg
		slow.SessionTimeout, slow.Heartbeat = 45*time.Second, 5*time.Second
		if got := chooseProtocol(t.Context(), client, slow, slog.New(slog.DiscardHandler)); got != ProtocolConsumer {
			t.Errorf("45s: got %s", got)
		}
	})
	t.Run("a clock that is a day ahead", func(t *testing.T) {
		ahead, ms := openShard(t, cfg, opts, 2)
		if err := ahead.Append(t.Context(), ms.tick(ahead, time.Now().Add(24*time.Hour), policies(2, cfg.Shards, 1)...)); !errors.Is(err, kerr.InvalidTimestamp) {
			t.Errorf("got %v, want %v, by which an owner knows", err, kerr.InvalidTimestamp)
		}
	})
	t.Run("a zombie is fenced", func(t *testing.T) {
		names := policies(1, cfg.Shards, 4)
		first, ms := openShard(t, cfg, opts, 1)
		at := time.Now().Truncate(time.Second)
		for range 13 {
			at = at.Add(time.Second)
			if err := first.Append(t.Context(), ms.tick(first, at, names...)); err != nil {
				t.Fatal(err)
			}
		}
		second, recovered := openShard(t, cfg, opts, 1)
		at = at.Add(time.Second)
		var fencedErr *FencedError
		if err := first.Append(t.Context(), ms.tick(first, at, names...)); !errors.As(err, &fencedErr) {
			t.Errorf("got %v, want a FencedError", err)
		}
		if err := second.Append(t.Context(), recovered.tick(second, at, names...)); err != nil {
			t.Fatal(err)
		}
		report, err := Check(t.Context(), client, cfg, nil)
		if err != nil || report.ViolationCount > 0 || report.Ticks != 14*len(names) || report.TakeOvers != 2 {
			t.Errorf("check: %v, %+v", err, report)
		}
		if recovered[names[0]].sum != ms[names[0]].sum {
			t.Error("the decision after the take-over differs from that of the uninterrupted owner")
		}
	})
}

// workload is n policies with observations like real ones and payloads and states of the size given.
func workload(n, payloadBytes int) []Entry {
	random := rand.New(rand.NewPCG(1, 1))
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = Entry{Policy: fmt.Sprintf("team-%d/service-%d", i%20, i), Reason: "Forecast", Payload: make([]byte, 0, payloadBytes)}
	}
	refresh(entries, random, t0)
	return entries
}

// refresh gives the entries the observations of another tick.
func refresh(entries []Entry, random *rand.Rand, at time.Time) {
	for i := range entries {
		e := &entries[i]
		e.At = at
		n := math.Floor(1e4 * (1 + random.Float64()))
		var partitions []series.Value
		for range 12 {
			partitions = append(partitions, series.OfInt(random.Int64N(50)))
		}
		e.Observation = series.Observation{
			At: at, Interval: 15 * time.Second, ArrivalRecords: series.Of(n), ConsumedRecords: series.Of(n - 10), LagRecords: series.Of(300),
			LagSeconds: series.Of(random.Float64()), LagSecondsError: series.Of(0.01), ReadyReplicas: series.OfInt(random.Int64N(20)),
			StartingReplicas: series.OfInt(0), Partitions: series.OfInt(12), PartitionLagRecords: partitions, PartitionArrivalRecords: partitions,
		}
		e.DesiredReplicas = int(random.Int64N(20))
		e.Payload = fmt.Appendf(e.Payload[:0], `{"decision":{"policy":%q,"at":%q,"desiredReplicas":%d,"currentReplicas":3,"reason":"Forecast","verdicts":null,"terms":[{"name":"forecast","replicas":5,"detail":"p95 %.3f records/s over 76 s / 141.2 per replica"},{"name":"hold","replicas":5}],"arrivalForecast":[{"level":0.5,"value":%v},{"level":0.8,"value":%v},{"level":0.9,"value":%v},{"level":0.95,"value":%v},{"level":0.99,"value":%v}],"horizonSteps":9,"level":0.95,"arrivalRecordsPerSecond":%v,"lagRecords":300,"lagSeconds":%v,"capacityPerReplica":141.2,"leadTimeSeconds":76}}`,
			e.Policy, at.Format(time.RFC3339Nano), e.DesiredReplicas, n/15, n/15, n/14+random.Float64(), n/13+random.Float64(), n/12+random.Float64(), n/11+random.Float64(), n/15, random.Float64())
	}
}

// BenchmarkAppend appends ticks of 5,000 policies over 12 shards on a real broker: one op is one tick of all of them.
func BenchmarkAppend(b *testing.B) {
	cfg, shards, entries := benchLog(b, 5000)
	random := rand.New(rand.NewPCG(2, 2))
	at := time.Now()
	for b.Loop() {
		at = at.Add(time.Millisecond)
		refresh(entries, random, at)
		appendAll(b, cfg, shards, entries)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/5000, "µs/tick")
}

// BenchmarkAcceleratedWeek writes ten days of one shard's records, as many a tick as 1,000 policies over 12 shards have but
// a tick every 15 minutes, with their times in the past, and waits until the broker's retention and cleaner have left what
// the settings say: then the bytes on disk must be those that a day's bytes promise.
func BenchmarkAcceleratedWeek(b *testing.B) {
	const (
		policies = 83
		days     = 10
		step     = 15 * time.Minute
		perDay   = int(24 * time.Hour / step)
		// What the shipped forecasters' state takes after compression (pipeline.BenchmarkCheckpointOfAWeek).
		stateBytes = 92 << 10
	)
	broker := kafka.ForTest(b, kafka.Options{HeapMiB: 512, Properties: map[string]string{
		"log.retention.check.interval.ms": "2000", "log.cleaner.backoff.ms": "500", "log.cleaner.io.buffer.size": "33554432",
	}})
	benchOpts = []kgo.Opt{kgo.SeedBrokers(broker.Bootstrap()...)}
	client, err := kgo.NewClient(append(benchOpts[:1:1], kgo.MetadataMinAge(50*time.Millisecond), kgo.ManualFlushing(),
		kgo.MaxBufferedRecords(1<<20), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(maxBatchBytes),
		kgo.ProducerBatchCompression(kgo.ZstdCompression().WithLevel(1)))...)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	random := rand.New(rand.NewPCG(1, 1))
	// write appends ticks up to now.
	write := func(cfg Config, ticks int) {
		if err := EnsureTopics(context.Background(), client, cfg); err != nil {
			b.Fatal(err)
		}
		shard := &Shard{cfg: cfg, Term: 1, backend: &plainBackend{cfg, client}, last: map[string]position{}}
		entries := workload(policies, 1024)
		at := time.Now().Add(-time.Duration(ticks) * step)
		for range ticks {
			at = at.Add(step)
			refresh(entries, random, at)
			for i := range entries {
				if entries[i].State = nil; shard.CheckpointDue(entries[i].Policy) {
					entries[i].State = make([]byte, stateBytes)
					for k := range entries[i].State {
						entries[i].State[k] = byte(random.IntN(256))
					}
				}
			}
			if err := shard.Append(context.Background(), entries); err != nil {
				b.Fatal(err)
			}
		}
	}
	cfg := DefaultConfig()
	// The daily copies of the states beside the observations are one checkpoint a policy and day: left out here.
	cfg.Instance, cfg.Shards, cfg.AnchorTicks = "bench", 1, 0
	day := cfg
	day.Prefix = "day"
	write(day, perDay)
	perTick := func(topic string, records int) float64 { return float64(onDisk(b, client, topic)) / float64(records) }
	observation, decision := perTick(day.observations(), perDay*policies), perTick(day.decisions(), perDay*policies)
	// The cleaner is at work on these already; their size is the state's.
	checkpoint := float64(stateBytes)
	b.ReportMetric(observation, "B/observation")
	b.ReportMetric(decision, "B/decision")

	write(cfg, days*perDay)
	daily := float64(perDay * policies)
	segment := float64(segmentSpan) / float64(24*time.Hour)
	retained := cfg.Retention.Hours() / 24
	for _, topic := range []struct {
		name      string
		low, high float64
	}{
		{cfg.observations(), observation * daily * retained, observation * daily * (retained + segment)},
		{cfg.decisions(), decision * daily * (retained + 2*segment), decision * daily * (retained + 3*segment)},
		{cfg.checkpoints(), checkpoint * policies, 2*checkpoint*policies + 16<<20},
	} {
		// A segment more may stand, since segments end with ticks; what the cleaner leaves of old decisions is one a policy.
		slack := 0.03 * topic.high
		var size float64
		for deadline := time.Now().Add(4 * time.Minute); ; time.Sleep(time.Second) {
			size = float64(onDisk(b, client, topic.name))
			if size <= topic.high+slack || time.Now().After(deadline) {
				break
			}
		}
		b.Logf("%s: %.1f MB on disk, calculated %.1f to %.1f MB", topic.name, size/1e6, topic.low/1e6, topic.high/1e6)
		if size < topic.low-slack || size > topic.high+slack {
			b.Errorf("%s: %.0f bytes on disk, want %.0f to %.0f", topic.name, size, topic.low, topic.high)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// plainBackend writes the records and batches of a kafkaBackend without transactions: the coordinator's markers bear the
// present time, which keeps a segment of moved times for ever. A marker is a batch of 78 bytes a tick and topic.
type plainBackend struct {
	cfg    Config
	client *kgo.Client
}

func (p *plainBackend) durable() bool                                   { return true }
func (p *plainBackend) recover(context.Context, *Shard, Recovery) error { return nil }

func (p *plainBackend) write(ctx context.Context, s *Shard, b *batch) (int64, error) {
	var failed error
	produce := func(topic string, stamp Stamp, value []byte) {
		r := &kgo.Record{Topic: topic, Partition: s.Number, Key: []byte(stamp.Policy), Value: value, Timestamp: stamp.At}
		p.client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
		})
	}
	for i := range b.ticks {
		produce(p.cfg.observations(), b.ticks[i].Stamp, b.ticks[i].AppendTo(nil))
	}
	for i := range b.decisions {
		produce(p.cfg.decisions(), b.decisions[i].Stamp, b.decisions[i].AppendTo(nil))
	}
	for i := range b.checkpoints {
		produce(p.cfg.checkpoints(), b.checkpoints[i].Stamp, b.checkpoints[i].AppendTo(nil))
	}
	return s.end + int64(len(b.ticks)), errors.Join(p.client.Flush(ctx), failed)
}

// onDisk returns the bytes of a topic's log.
func onDisk(b *testing.B, client *kgo.Client, topic string) int64 {
	b.Helper()
	dirs, err := kadm.NewClient(client).DescribeAllLogDirs(context.Background(), nil)
	if err != nil {
		b.Fatal(err)
	}
	var bytes int64
	dirs.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			if p.Topic == topic {
				bytes += p.Size
			}
		})
	})
	return bytes
}

// forget is a Recovery that keeps nothing.
type forget struct{}

func (forget) Restore(Checkpoint) error { return nil }
func (forget) Observe(Tick, bool)       {}

var benchOpts []kgo.Opt

func benchLog(b *testing.B, policies int) (Config, map[int32]*Shard, []Entry) {
	broker := kafka.ForTest(b, kafka.Options{HeapMiB: 512})
	benchOpts = []kgo.Opt{kgo.SeedBrokers(broker.Bootstrap()...)}
	cfg := DefaultConfig()
	cfg.Instance = "bench"
	return cfg, openAll(b, cfg), workload(policies, 1024)
}

// openAll makes the topics and takes all shards over.
func openAll(b *testing.B, cfg Config) map[int32]*Shard {
	client, err := kgo.NewClient(append(benchOpts[:len(benchOpts):len(benchOpts)], kgo.MetadataMinAge(50*time.Millisecond))...)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	if err := EnsureTopics(context.Background(), client, cfg); err != nil {
		b.Fatal(err)
	}
	o, err := NewOwner(cfg, benchOpts, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		b.Fatal(err)
	}
	shards := map[int32]*Shard{}
	for n := range int32(cfg.Shards) {
		backend, err := o.takeOver(context.Background(), n)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(backend.close)
		shards[n] = &Shard{Number: n, cfg: cfg, backend: backend, last: map[string]position{}}
		if err := shards[n].Recover(context.Background(), forget{}); err != nil {
			b.Fatal(err)
		}
	}
	return shards
}

func appendAll(b *testing.B, cfg Config, shards map[int32]*Shard, entries []Entry) {
	b.Helper()
	byShard := map[int32][]Entry{}
	for _, e := range entries {
		n := ShardOf(e.Policy, cfg.Shards)
		byShard[n] = append(byShard[n], e)
	}
	for n, part := range byShard {
		if err := shards[n].Append(context.Background(), part); err != nil {
			b.Fatal(err)
		}
	}
}
