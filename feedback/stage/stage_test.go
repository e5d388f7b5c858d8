package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/prescale/prescale/hack/await"
	"github.com/prescale/prescale/hack/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitions = 4

// counter numbers the records of its partition: the n-th record makes it write n. A record that was repeated or lost, or a
// state that does not belong to its offsets, shows as a number that is missing or there twice.
type counter struct {
	partition int32
	n         int64
}

func (c *counter) Restore(state map[string][]byte) (err error) {
	if b, ok := state["n"]; ok {
		c.n, err = strconv.ParseInt(string(b), 10, 64)
	}
	return err
}

// Start writes a record the first time only, as a trainer publishes its first version.
func (c *counter) Start() (Output, error) {
	if c.n > 0 {
		return Output{}, nil
	}
	c.n = 1
	return c.output("start"), nil
}

func (c *counter) Process(records []*kgo.Record) (Output, error) {
	out := Output{State: map[string][]byte{}}
	for _, r := range records {
		c.n++
		one := c.output(string(r.Value))
		out.Records = append(out.Records, one.Records...)
		out.State = one.State
	}
	return out, nil
}

func (c *counter) output(what string) Output {
	return Output{
		Records: []*kgo.Record{{Topic: "out", Key: fmt.Appendf(nil, "%d/%d", c.partition, c.n), Value: []byte(what)}},
		State:   map[string][]byte{"n": strconv.AppendInt(nil, c.n, 10), fmt.Sprintf("done/%d", c.n%50): []byte(what), fmt.Sprintf("done/%d", (c.n+25)%50): nil},
	}
}

func fakeKafka(t *testing.T) (*kfake.Cluster, []kgo.Opt) {
	t.Helper()
	var network kfake.VirtualNetwork
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "a", "b", "state", "out"),
		kfake.Ports(9092), kfake.ListenFn(network.Listen))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster, []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.Dialer(network.DialContext),
		kgo.HeartbeatInterval(100 * time.Millisecond), kgo.MetadataMinAge(50 * time.Millisecond)}
}

func client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func config(instance string) Config {
	return Config{Name: "count", Group: "count", Topics: []string{"a", "b"}, StateTopic: "state",
		TransactionalID: "count-" + instance, TransactionTimeout: 15 * time.Second, BatchRecords: 20}
}

// start runs an instance and returns it and a function that stops it and waits.
func start(t *testing.T, c Config, opts ...kgo.Opt) (*Stage, func()) {
	t.Helper()
	s, err := New(c, slog.New(slog.DiscardHandler), func(_ context.Context, p int32) (Processor, error) { return &counter{partition: p}, nil }, nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// outputs waits until the group has no lag and reads the committed outputs to their end.
func outputs(t *testing.T, opts ...kgo.Opt) map[string]int {
	t.Helper()
	admin := kadm.NewClient(client(t, opts...))
	await.Until(t, time.Minute, "the lag to be gone", func() bool {
		lags, err := admin.Lag(t.Context(), "count")
		if err != nil {
			t.Fatal(err)
		}
		return len(lags["count"].Lag) == 2 && lags["count"].Lag.Total() == 0
	})
	seen := map[string]int{}
	for _, r := range kafka.ReadCommitted(t, []string{"out"}, opts...) {
		seen[string(r.Key)]++
	}
	return seen
}

// checkOnce fails unless each partition's outputs are numbered from 1 to the number of its records and the start.
func checkOnce(t *testing.T, seen map[string]int, sent [partitions]int) {
	t.Helper()
	total := 0
	for p, n := range sent {
		for i := 1; i <= n+1; i++ {
			key := fmt.Sprintf("%d/%d", p, i)
			if seen[key] != 1 {
				t.Errorf("output %s was written %d times", key, seen[key])
			}
			total++
		}
	}
	if len(seen) != total {
		t.Errorf("%d outputs, want %d", len(seen), total)
	}
}

// sender spreads records over both topics and all partitions.
type sender struct {
	client *kgo.Client
	sent   [partitions]int
}

func (s *sender) send(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		p := i % partitions
		s.sent[p]++
		s.client.Produce(t.Context(), &kgo.Record{Topic: []string{"a", "b"}[i/partitions%2], Partition: int32(p), Value: strconv.AppendInt(nil, int64(s.sent[p]), 10)}, nil)
	}
	if err := s.client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestEachRecordCountsOnceWhileInstancesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opts := fakeKafka(t)
		s := sender{client: client(t, append(opts[:len(opts):len(opts)], kgo.RecordPartitioner(kgo.ManualPartitioner()))...)}
		s.send(t, 200)
		_, stopA := start(t, config("a"), opts...)
		defer stopA()
		s.send(t, 200)
		_, stopB := start(t, config("b"), opts...)
		defer stopB()
		s.send(t, 200)
		checkOnce(t, outputs(t, opts...), s.sent)
		stopA()
		s.send(t, 200)
		checkOnce(t, outputs(t, opts...), s.sent)
		stopB()
		s.send(t, 200)
		_, stopC := start(t, config("c"), opts...)
		defer stopC()
		checkOnce(t, outputs(t, opts...), s.sent)
	})
}

// TestWhoCommittedIsToldThatAPartitionLeft when another instance takes it, so that nobody goes on counting it.
func TestWhoCommittedIsToldThatAPartitionLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opts := fakeKafka(t)
		s := sender{client: client(t, append(opts[:len(opts):len(opts)], kgo.RecordPartitioner(kgo.ManualPartitioner()))...)}
		s.send(t, 200)
		var mu sync.Mutex
		held := map[int32]bool{}
		count := func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(held)
		}
		a, err := New(config("a"), slog.New(slog.DiscardHandler), func(_ context.Context, p int32) (Processor, error) { return &counter{partition: p}, nil },
			func(partition int32, p Processor) {
				mu.Lock()
				defer mu.Unlock()
				if held[partition] = true; p == nil {
					delete(held, partition)
				}
			}, opts...)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		await.Until(t, time.Minute, "all partitions", func() bool { return count() == partitions })
		_, stopB := start(t, config("b"), opts...)
		defer stopB()
		await.Until(t, time.Minute, "half of them to leave", func() bool { s.send(t, 20); return count() == partitions/2 })
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if count() != partitions/2 {
			t.Errorf("at the end %d partitions are held, want what there was", count())
		}
	})
}

// TestAFailedTransactionIsAsIfItHadNeverBeen refuses every third transaction at its end, or its offsets. It is in no bubble, whose time
// would stand still: the client sleeps with a lock on which another of its goroutines waits.
func TestAFailedTransactionIsAsIfItHadNeverBeen(t *testing.T) {
	for name, key := range map[string]kmsg.Key{"offsets": kmsg.TxnOffsetCommit, "end": kmsg.EndTxn} {
		t.Run(name, func(t *testing.T) {
			cluster, opts := fakeKafka(t)
			refused := 0
			cluster.ControlKey(int16(key), func(request kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				refused++
				if refused%3 != 1 || refused > 6 {
					return nil, nil, false
				}
				switch r := request.(type) {
				case *kmsg.TxnOffsetCommitRequest:
					response := r.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
					for _, topic := range r.Topics {
						out := kmsg.NewTxnOffsetCommitResponseTopic()
						out.Topic = topic.Topic
						for _, p := range topic.Partitions {
							part := kmsg.NewTxnOffsetCommitResponseTopicPartition()
							part.Partition, part.ErrorCode = p.Partition, kerr.IllegalGeneration.Code
							out.Partitions = append(out.Partitions, part)
						}
						response.Topics = append(response.Topics, out)
					}
					return response, nil, true
				case *kmsg.EndTxnRequest:
					response := r.ResponseKind().(*kmsg.EndTxnResponse)
					response.ErrorCode = kerr.InvalidProducerEpoch.Code
					return response, nil, true
				}
				return nil, nil, false
			})
			s := sender{client: client(t, append(opts[:len(opts):len(opts)], kgo.RecordPartitioner(kgo.ManualPartitioner()))...)}
			s.send(t, 400)
			_, stop := start(t, config("a"), opts...)
			defer stop()
			checkOnce(t, outputs(t, opts...), s.sent)
			stop()
			if refused < 7 {
				t.Errorf("only %d requests seen: nothing was tried", refused)
			}
		})
	}
}

func TestStateThatDoesNotBelongToTheOffsetsIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, opts := fakeKafka(t)
		s := sender{client: client(t, append(opts[:len(opts):len(opts)], kgo.RecordPartitioner(kgo.ManualPartitioner()))...)}
		s.send(t, 80)
		_, stop := start(t, config("a"), opts...)
		checkOnce(t, outputs(t, opts...), s.sent)
		stop()
		var reset kadm.Offsets
		reset.AddOffset("a", 2, 0, -1)
		if err := kadm.NewClient(s.client).CommitAllOffsets(t.Context(), "count", reset); err != nil {
			t.Fatal(err)
		}
		run := &session{Stage: &Stage{config: config("x"), logger: slog.New(slog.DiscardHandler), opts: opts}}
		kafka, err := kgo.NewGroupTransactSession(append(opts[:len(opts):len(opts)], kgo.ConsumerGroup("count"), kgo.TransactionalID("x"))...)
		if err != nil {
			t.Fatal(err)
		}
		defer kafka.Close()
		run.kafka = kafka
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // instead of the half minute it would wait
		defer cancel()
		if _, err := run.restore(ctx, 2); err == nil || !strings.Contains(err.Error(), "reset by hand") {
			t.Errorf("got %v", err)
		}
		if state, err := run.restore(t.Context(), 1); err != nil || string(state["n"]) != "21" {
			t.Errorf("partition 1: n is %q, %v", state["n"], err)
		}
		foreign := &kgo.Record{Topic: run.config.StateTopic, Partition: 1, Key: []byte{}, Value: []byte("x")} // anyone may write there
		if err := s.client.ProduceSync(t.Context(), foreign).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if _, err := run.restore(t.Context(), 1); err == nil || !strings.Contains(err.Error(), `key "" is not of this program: give the state a topic of its own`) {
			t.Errorf("a record of somebody else's: %v", err)
		}
		// The time ends within a later look, here one that waits for a transaction: what the first one found is still what is said.
		looks := 0
		cluster.ControlKey(int16(kmsg.OffsetFetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			if looks++; looks == 1 {
				return nil, nil, false
			}
			response := request.ResponseKind().(*kmsg.OffsetFetchResponse)
			group := kmsg.NewOffsetFetchResponseGroup()
			group.Group, group.ErrorCode = "count", kerr.UnstableOffsetCommit.Code
			response.Groups = append(response.Groups, group)
			return response, nil, true
		})
		late, cancelLate := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancelLate()
		if _, err := run.restore(late, 2); err == nil || !strings.Contains(err.Error(), "reset by hand") || looks < 2 {
			t.Errorf("got %v after %d looks", err, looks)
		}
	})
}

// TestAForgottenGroupGoesOnFromItsState: brokers forget the offsets of a group that has had no member for a week.
func TestAForgottenGroupGoesOnFromItsState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opts := fakeKafka(t)
		s := sender{client: client(t, append(opts[:len(opts):len(opts)], kgo.RecordPartitioner(kgo.ManualPartitioner()))...)}
		s.send(t, 80)
		_, stop := start(t, config("a"), opts...)
		outputs(t, opts...)
		stop()
		deleted, err := kadm.NewClient(s.client).DeleteGroups(t.Context(), "count")
		if err == nil {
			err = deleted.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
		s.send(t, 80)
		_, stop = start(t, config("a"), opts...)
		defer stop()
		await.Until(t, time.Minute, "offsets", func() bool {
			committed, err := kadm.NewClient(s.client).FetchOffsets(t.Context(), "count")
			return err == nil && len(committed["a"]) == partitions && len(committed["b"]) == partitions
		})
		checkOnce(t, outputs(t, opts...), s.sent)
	})
}

// TestEachPartitionTakenOverIsARound: reading the states of all takes longer than a probe waits.
func TestEachPartitionTakenOverIsARound(t *testing.T) {
	_, opts := fakeKafka(t)
	var s *Stage
	beats := make(chan time.Time, partitions)
	s, err := New(config("a"), slog.New(slog.DiscardHandler), func(_ context.Context, p int32) (Processor, error) {
		beats <- s.Beat()
		return &counter{partition: p}, nil
	}, nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	before := time.Time{}
	for range partitions {
		at := <-beats
		if !at.After(before) {
			t.Errorf("a partition is taken over while the last round was at %v, as at the one before", at)
		}
		before = at
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTopicsOfDifferentSizeAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opts := fakeKafka(t)
		admin := kadm.NewClient(client(t, opts...))
		if _, err := admin.CreatePartitions(t.Context(), 1, "b"); err != nil {
			t.Fatal(err)
		}
		s, stop := start(t, config("a"), opts...)
		defer stop()
		await.Until(t, time.Minute, "the problem", func() bool {
			err := s.Problem()
			return err != nil && strings.Contains(err.Error(), "same number of partitions")
		})
	})
}

func TestValidateTellsEveryFault(t *testing.T) {
	err := Config{}.Validate()
	for _, want := range []string{"name", "group", "stateTopic", "transactionalID", "topics", "batchRecords", "transactionTimeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("does not tell of %s: %v", want, err)
		}
	}
	if _, err := New(Config{}, slog.Default(), nil, nil); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("New: %v", err)
	}
}
