package server

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/prescale/prescale/hack/await"
	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitions = 4

// fakeKafka starts an in-memory Kafka and returns the options to reach it: over an in-memory network, for a test inside a
// synctest bubble, or over loopback. A group that rebalances needs the latter: the client waits for a mutex there while its
// holder waits for a timer, which a bubble takes for running.
func fakeKafka(t *testing.T, virtual bool) []kgo.Opt {
	t.Helper()
	seeds := []kfake.Opt{kfake.NumBrokers(1),
		kfake.SeedTopics(partitions, event.TopicRequests, event.TopicPredictions, event.TopicDeadLetters),
		kfake.SeedTopics(1, registry.Topic)}
	opts := []kgo.Opt{kgo.HeartbeatInterval(100 * time.Millisecond), kgo.MetadataMinAge(50 * time.Millisecond)}
	if virtual {
		var network kfake.VirtualNetwork
		seeds = append(seeds, kfake.Ports(9092), kfake.ListenFn(network.Listen))
		opts = append(opts, kgo.Dialer(network.DialContext))
	}
	cluster, err := kfake.NewCluster(seeds...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return append(opts, kgo.SeedBrokers(cluster.ListenAddrs()...))
}

func client(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// weights are random with the last layer set, so that versions differ in what they predict.
func weights(seed uint64) *model.Weights {
	a := model.Architecture{Inputs: 3, Hidden: []int{8}, Classes: 2}
	rng := rand.New(rand.NewPCG(seed, 1))
	w := model.NewWeights(a, rng)
	for i := range w.Layers[1].W {
		w.Layers[1].W[i] = float32(rng.NormFloat64())
	}
	return w
}

// publish makes a version champion.
func publish(t *testing.T, c *kgo.Client, version int64) {
	t.Helper()
	err := c.ProduceSync(t.Context(),
		registry.VersionRecord(registry.Topic, registry.DefaultName, version, registry.File(weights(uint64(version)), registry.Lineage{Parent: version - 1})),
		registry.ChampionRecord(registry.Topic, registry.DefaultName, registry.Champion{Version: version, Previous: version - 1, At: time.Now()}),
	).FirstErr()
	if err != nil {
		t.Fatal(err)
	}
}

// request returns a record that asks, or, every tenth time, one that nobody can read.
func request(n int) *kgo.Record {
	id := fmt.Sprintf("r-%d", n)
	r := event.Request{ID: id, RequestedAt: time.Now(), Features: []float32{float32(n % 10), 1, 2}}
	switch n % 20 {
	case 9:
		return &kgo.Record{Topic: event.TopicRequests, Key: []byte(id), Value: []byte("not JSON")}
	case 19:
		r.Features = r.Features[:2]
	}
	return &kgo.Record{Topic: event.TopicRequests, Key: []byte(id), Value: r.Append(nil)}
}

// start runs a replica and returns a function that stops it and waits for its end.
func start(t *testing.T, instance string, opts ...kgo.Opt) (*Server, func()) {
	t.Helper()
	c := DefaultConfig()
	c.Batch.Instance = instance
	c.Batch.BatchRecords = 16
	c.Batch.ServiceTime = time.Millisecond
	s, err := New(c, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), opts...)
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

// answers waits until the group has no lag, then reads the committed records of the two answer topics to their end and
// counts them by key.
func answers(t *testing.T, opts ...kgo.Opt) (predictions, dead map[string]int) {
	t.Helper()
	awaitNoLag(t, opts...)
	predictions, dead = map[string]int{}, map[string]int{}
	for _, r := range kafka.ReadCommitted(t, []string{event.TopicPredictions, event.TopicDeadLetters}, opts...) {
		if r.Topic == event.TopicDeadLetters {
			dead[string(r.Key)]++
			continue
		}
		p, err := event.DecodePrediction(r.Value)
		if err != nil {
			t.Errorf("prediction %s: %v", r.Key, err)
		}
		predictions[p.ID]++
	}
	return predictions, dead
}

// awaitNoLag waits until every request's offset is committed, markers of transactions included.
func awaitNoLag(t *testing.T, opts ...kgo.Opt) {
	t.Helper()
	admin := kadm.NewClient(client(t, opts...))
	await.Until(t, time.Minute, "the lag to be gone", func() bool {
		lags, err := admin.Lag(t.Context(), "inference")
		if err != nil {
			t.Fatal(err)
		}
		return len(lags["inference"].Lag) > 0 && lags["inference"].Lag.Total() == 0
	})
}

// checkOnce fails unless requests 0 to n-1 have exactly one answer each, of the right kind.
func checkOnce(t *testing.T, n int, predictions, dead map[string]int) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("r-%d", i)
		wantDead := 0
		if i%10 == 9 {
			wantDead = 1
		}
		if predictions[id] != 1-wantDead || dead[id] != wantDead {
			t.Errorf("%s: %d predictions and %d dead letters, want %d and %d", id, predictions[id], dead[id], 1-wantDead, wantDead)
		}
	}
	if got := len(predictions) + len(dead); got != n {
		t.Errorf("%d requests answered, want %d", got, n)
	}
}

func TestEveryRequestIsAnsweredOnceWhileReplicasComeAndGo(t *testing.T) {
	opts := fakeKafka(t, false)
	producer := client(t, opts...)
	publish(t, producer, 1)
	sent := 0
	send := func(n int) {
		for range n {
			producer.Produce(t.Context(), request(sent), nil)
			sent++
		}
		if err := producer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	a, stopA := start(t, "a", opts...)
	defer stopA()
	send(200)
	await.Until(t, time.Minute, "replica a", func() bool { return a.loop.Status().Answered > 50 })
	b, stopB := start(t, "b", opts...) // joins while a has work left
	defer stopB()
	send(200)
	await.Until(t, time.Minute, "replica b", func() bool { send(10); return b.loop.Status().Answered > 0 })
	send(200)
	stopA()
	c, stopC := start(t, "c", opts...)
	defer stopC()
	await.Until(t, time.Minute, "replica c", func() bool { send(10); return c.loop.Status().Answered > 0 })
	send(200)
	stopB()
	predictions, dead := answers(t, opts...)
	checkOnce(t, sent, predictions, dead)
}

// TestNoResidueOfLagBehindTransactionalRequests writes requests in transactions, whose markers take an offset each.
func TestNoResidueOfLagBehindTransactionalRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := fakeKafka(t, true)
		publish(t, client(t, opts...), 1)
		_, stop := start(t, "a", opts...)
		defer stop()
		producer := client(t, append(opts[:len(opts):len(opts)], kgo.TransactionalID("producer"))...)
		want := 0
		for batch := range 5 {
			if err := producer.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				producer.Produce(t.Context(), request(3*batch+i), nil)
			}
			if err := producer.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			commit := batch != 2 // an aborted one must not be answered, nor leave lag
			if err := producer.EndTransaction(t.Context(), kgo.TransactionEndTry(commit)); err != nil {
				t.Fatal(err)
			}
			if commit {
				want += 3
			}
		}
		predictions, dead := answers(t, opts...)
		if got := len(predictions) + len(dead); got != want || predictions["r-6"] != 0 {
			t.Errorf("%d answers, want %d; aborted request answered %d times", got, want, predictions["r-6"])
		}
	})
}

func TestWithoutChampionTheReplicaIsNotReadyAndHoldsNoPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := fakeKafka(t, true)
		s, stop := start(t, "a", opts...)
		defer stop()
		c := client(t, opts...)
		if err := c.ProduceSync(t.Context(), request(0)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := s.Ready(); err == nil {
			t.Error("ready without a champion")
		}
		if err := s.Live(time.Now()); err != nil {
			t.Errorf("waiting for a champion is not live: %v", err)
		}
		if err := s.Live(time.Now().Add(2 * liveAge)); err == nil || !strings.Contains(err.Error(), "the Kafka loop last came round at") {
			t.Errorf("a loop that has not come round for two minutes: %v", err)
		}
		groups, err := kadm.NewClient(c).ListGroups(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(groups) != 0 {
			t.Errorf("joined %v without a champion", groups.Groups())
		}
		publish(t, c, 1)
		predictions, _ := answers(t, opts...)
		if predictions["r-0"] != 1 {
			t.Errorf("answers %v", predictions)
		}
		if err := s.Ready(); err != nil {
			t.Errorf("not ready with a champion: %v", err)
		}
		publish(t, c, 2)
		if err := c.ProduceSync(t.Context(), registry.VersionRecord(registry.Topic, registry.DefaultName, 3, []byte("rubbish"))).FirstErr(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if version, swaps, refused := testutil.ToFloat64(s.metrics.version), testutil.ToFloat64(s.metrics.swaps), testutil.ToFloat64(s.metrics.refused); version != 2 || swaps != 2 || refused != 1 {
			t.Errorf("metrics: version %v, %v swaps, %v refused; want version 2 after 2 swaps, and 1 refused", version, swaps, refused)
		}
	})
}
