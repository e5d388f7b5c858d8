package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// late is a Source that has no champion at first.
type late struct{ atomic.Pointer[registry.Entry] }

func (l *late) Champion() *registry.Entry { return l.Load() }

func newEntry(t *testing.T) *registry.Entry {
	t.Helper()
	w := model.NewWeights(model.Architecture{Inputs: 2, Hidden: []int{3}, Classes: 2}, rand.New(rand.NewPCG(1, 1)))
	m, err := model.Load("m", registry.File(w, registry.Lineage{}))
	if err != nil {
		t.Fatal(err)
	}
	return &registry.Entry{Name: "m", Version: 1, Model: m}
}

// rig is a cluster in memory, inside a synctest bubble, with a loop that runs until stop.
type rig struct {
	t       *testing.T
	cluster *kfake.Cluster
	opts    []kgo.Opt
	client  *kgo.Client
	source  late
	loop    *Loop
	stop    func()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t}
	var network kfake.VirtualNetwork
	var err error
	r.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(network.Listen),
		kfake.SeedTopics(1, event.TopicRequests, event.TopicPredictions, event.TopicDeadLetters))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.cluster.Close)
	r.opts = []kgo.Opt{kgo.SeedBrokers(r.cluster.ListenAddrs()...), kgo.Dialer(network.DialContext)}
	if r.client, err = kgo.NewClient(append(r.opts, kgo.ProducerLinger(0))...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	return r
}

// run starts a loop, and returns when it idles.
func (r *rig) run(c Config) {
	r.t.Helper()
	c.Instance = "a"
	var err error
	if r.loop, err = NewLoop(c, &r.source, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), prometheus.NewHistogram(prometheus.HistogramOpts{Name: "l"}), r.opts...); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
	go func() { done <- r.loop.Run(ctx) }()
	r.t.Cleanup(r.stop)
	time.Sleep(5 * time.Second)
}

func request(id string) *kgo.Record {
	value := event.Request{ID: id, RequestedAt: time.UnixMilli(1), Features: []float32{1, 2}}.Append(nil)
	return &kgo.Record{Topic: event.TopicRequests, Key: []byte(id), Value: value}
}

func (r *rig) produce(records ...*kgo.Record) {
	r.t.Helper()
	if err := r.client.ProduceSync(r.t.Context(), records...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

// keys returns the keys of the committed records of a topic, in their order.
func (r *rig) keys(topic string) []string {
	r.t.Helper()
	c, err := kgo.NewClient(append(r.opts, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	keys := []string{}
	for ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second); ; {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			cancel()
			return keys
		}
		fetches.EachRecord(func(record *kgo.Record) { keys = append(keys, string(record.Key)) })
	}
}

func (r *rig) want(topic string, want ...string) {
	r.t.Helper()
	if got := r.keys(topic); !slices.Equal(got, want) {
		r.t.Errorf("%s: got %v, want %v", topic, got, want)
	}
}

func TestEveryRequestIsAnsweredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.source.Store(newEntry(t))
		narrow := &kgo.Record{Topic: event.TopicRequests, Key: []byte("narrow"), Value: event.Request{ID: "narrow", RequestedAt: time.UnixMilli(1), Features: []float32{1}}.Append(nil)}
		r.produce(request("a"), &kgo.Record{Topic: event.TopicRequests, Key: []byte("rubbish"), Value: []byte("{")}, narrow, request("b"))
		r.run(DefaultConfig())
		r.want(event.TopicPredictions, "a", "b")
		r.want(event.TopicDeadLetters, "rubbish", "narrow")
		r.stop()
		// Another loop of the group goes on where the first left off.
		r.produce(request("c"))
		r.run(DefaultConfig())
		r.want(event.TopicPredictions, "a", "b", "c")
		if got := r.loop.Status(); got.Answered != 1 || got.Problem != nil {
			t.Errorf("status: %+v", got)
		}
	})
}

func TestNothingIsConsumedWithoutAChampion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.produce(request("a"))
		r.run(DefaultConfig())
		if got := r.loop.Status(); !errors.Is(got.Problem, errNoChampion) {
			t.Errorf("status: %+v", got)
		}
		r.source.Store(newEntry(t))
		time.Sleep(10 * time.Second)
		r.want(event.TopicPredictions, "a")
	})
}

// TestAFailedTransactionIsTriedAgain: what was produced in it is never seen, and its requests are answered later.
func TestAFailedTransactionIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.source.Store(newEntry(t))
		r.produce(&kgo.Record{Topic: event.TopicRequests, Key: []byte("rubbish"), Value: []byte("{")})
		refused := 0
		r.cluster.ControlKey(int16(kmsg.Produce), func(k kmsg.Request) (kmsg.Response, error, bool) {
			refused++
			req := k.(*kmsg.ProduceRequest)
			resp := req.ResponseKind().(*kmsg.ProduceResponse)
			for _, topic := range req.Topics {
				out := kmsg.NewProduceResponseTopic()
				out.Topic, out.TopicID = topic.Topic, topic.TopicID
				for _, p := range topic.Partitions {
					partition := kmsg.NewProduceResponseTopicPartition()
					partition.Partition, partition.ErrorCode = p.Partition, kerr.MessageTooLarge.Code
					out.Partitions = append(out.Partitions, partition)
				}
				resp.Topics = append(resp.Topics, out)
			}
			return resp, nil, true
		})
		r.run(DefaultConfig())
		time.Sleep(20 * time.Second)
		if refused != 1 {
			t.Errorf("%d requests were refused, want 1", refused)
		}
		r.want(event.TopicDeadLetters, "rubbish")
	})
}

// TestWhatIsBegunIsEnded: a replica that is asked to stop commits what it has answered.
func TestWhatIsBegunIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.source.Store(newEntry(t))
		r.produce(request("a"))
		r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			go r.stop()
			time.Sleep(100 * time.Millisecond)
			return nil, nil, false
		})
		r.run(DefaultConfig())
		r.stop()
		r.want(event.TopicPredictions, "a")
		if got := r.loop.Status().Answered; got != 1 {
			t.Errorf("%d answered, want 1", got)
		}
	})
}

// TestRequestsOfAnAbortedTransactionAreNotAnswered: nobody asked.
func TestRequestsOfAnAbortedTransactionAreNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.source.Store(newEntry(t))
		c, err := kgo.NewClient(append(r.opts, kgo.TransactionalID("asker"))...)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for i, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
			if err := c.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := c.ProduceSync(t.Context(), request(fmt.Sprint("asked-", i))).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := c.EndTransaction(t.Context(), end); err != nil {
				t.Fatal(err)
			}
		}
		r.run(DefaultConfig())
		r.want(event.TopicPredictions, "asked-1")
	})
}

// TestALargeRecordThatCannotBeReadStopsNothing: a dead letter is larger than what it is of, by its headers; where it would be more than
// a record may be, it is cut, and says so.
func TestALargeRecordThatCannotBeReadStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.source.Store(newEntry(t))
		large := bytes.Repeat([]byte("1"), 1_000_000-100)
		number := append(append([]byte(`{"v":1,"id":"x","requestedAtMillis":`), large[:600_000]...), '}')
		r.produce(
			&kgo.Record{Topic: event.TopicRequests, Key: []byte("value"), Value: large},
			&kgo.Record{Topic: event.TopicRequests, Key: []byte("number"), Value: number},
			&kgo.Record{Topic: event.TopicRequests, Key: []byte("header"), Value: []byte("{"), Headers: []kgo.RecordHeader{{Key: "h", Value: large[:999_000]}}},
			&kgo.Record{Topic: event.TopicRequests, Key: []byte("empty headers"), Value: large[:99_900], Headers: make([]kgo.RecordHeader, 450_000)},
			&kgo.Record{Topic: event.TopicRequests, Key: append([]byte("key"), large[:999_000]...), Value: []byte("{")},
			request("a"))
		r.run(DefaultConfig())
		r.want(event.TopicPredictions, "a")
		if got := r.keys(event.TopicDeadLetters); len(got) != 5 || got[0] != "value" || got[1] != "number" || got[2] != "header" || got[3] != "empty headers" {
			t.Errorf("%d dead letters, want five", len(got))
		}
		if got := r.loop.Status(); got.Problem != nil {
			t.Errorf("status: %v", got.Problem)
		}
	})
}

// TestFeaturesTooLargeForTheModelAreADeadLetter: finite features can overflow inside the model, and JSON has no NaN.
func TestFeaturesTooLargeForTheModelAreADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		weights := newEntry(t).Model.Weights.Clone()
		weights.Scale[0] = 10
		m, err := model.Load("m", registry.File(weights, registry.Lineage{}))
		if err != nil {
			t.Fatal(err)
		}
		r.source.Store(&registry.Entry{Name: "m", Version: 1, Model: m})
		large := event.Request{ID: "large", RequestedAt: time.UnixMilli(1), Features: []float32{math.MaxFloat32, 1}}.Append(nil)
		r.produce(request("a"), &kgo.Record{Topic: event.TopicRequests, Key: []byte("large"), Value: large}, request("b"))
		r.run(DefaultConfig())
		r.want(event.TopicPredictions, "a", "b")
		r.want(event.TopicDeadLetters, "large")
	})
}

// TestATraceThatIsTooLongStopsNothing: what goes on of a request's headers leaves room for the prediction.
func TestATraceThatIsTooLongStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.source.Store(newEntry(t))
		long := request("long")
		long.Headers = []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-1")}, {Key: "tracestate", Value: bytes.Repeat([]byte("x"), 999_800)}}
		r.produce(long, request("a"))
		r.run(DefaultConfig())
		r.want(event.TopicPredictions, "long", "a")
		if got := r.loop.Status(); got.Problem != nil {
			t.Errorf("status: %v", got.Problem)
		}
	})
}
