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
	"strings"
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
	metrics *prometheus.Registry
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
	r.metrics = prometheus.NewRegistry()
	latency := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "latency"})
	r.metrics.MustRegister(latency)
	var err error
	if r.loop, err = NewLoop(c, &r.source, slog.New(slog.DiscardHandler), r.metrics, latency, r.opts...); err != nil {
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

// records returns the committed records of a topic, in their order.
func (r *rig) records(topic string) []*kgo.Record {
	r.t.Helper()
	c, err := kgo.NewClient(append(r.opts, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	var records []*kgo.Record
	for ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second); ; {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			cancel()
			return records
		}
		records = append(records, fetches.Records()...)
	}
}

// keys returns the keys of the committed records of a topic, in their order.
func (r *rig) keys(topic string) []string {
	r.t.Helper()
	keys := []string{}
	for _, record := range r.records(topic) {
		keys = append(keys, string(record.Key))
	}
	return keys
}

// metric returns a counter's value, or how many a histogram has counted; -1 for one that is not there.
func (r *rig) metric(name, result string) float64 {
	r.t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (result == "" || m.GetLabel()[0].GetValue() == result) {
				return m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return -1
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return "none"
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
		for _, tt := range []struct {
			name, result string
			want         float64
		}{
			{"prescale_inference_requests_total", "predicted", 2}, {"prescale_inference_requests_total", "dead_letter", 2},
			{"prescale_inference_transactions_total", "committed", 1}, {"prescale_inference_transactions_total", "aborted", 0}, {"prescale_inference_transactions_total", "failed", 0},
			{"prescale_inference_batch_records", "", 1}, {"latency", "", 2},
		} {
			if got := r.metric(tt.name, tt.result); got != tt.want {
				t.Errorf("%s %s: got %v, want %v", tt.name, tt.result, got, tt.want)
			}
		}
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
		if failed, committed := r.metric("prescale_inference_transactions_total", "failed"), r.metric("prescale_inference_transactions_total", "committed"); failed != 1 || committed != 1 {
			t.Errorf("%v transactions failed and %v were committed, want one of each", failed, committed)
		}
	})
}

// TestAnswersSayWhatTheyAreOf: a prediction its request, model and trace, a dead letter where the record stood and what is wrong with it.
func TestAnswersSayWhatTheyAreOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.source.Store(newEntry(t))
		asked := request("a")
		asked.Headers = []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-1")}, {Key: "secret", Value: []byte("x")}, {Key: "tracestate", Value: []byte("s=1")}}
		rubbish := &kgo.Record{Topic: event.TopicRequests, Key: []byte("rubbish"), Value: []byte("{"), Headers: []kgo.RecordHeader{{Key: "from", Value: []byte("b")}}}
		large := &kgo.Record{Topic: event.TopicRequests, Key: []byte("large"), Value: bytes.Repeat([]byte("1"), 999_000)}
		r.produce(asked, rubbish, large)
		r.run(DefaultConfig())
		answers := r.records(event.TopicPredictions)
		if len(answers) != 1 {
			t.Fatalf("%d predictions, want one", len(answers))
		}
		p, err := event.DecodePrediction(answers[0].Value)
		if err != nil || p.ID != "a" || p.Model != "m" || p.ModelVersion != 1 || !p.RequestedAt.Equal(time.UnixMilli(1)) || !slices.Equal(p.Features, []float32{1, 2}) || p.Class != event.Argmax(p.Scores) || time.Since(p.PredictedAt) > time.Minute {
			t.Errorf("prediction %+v, %v", p, err)
		}
		for key, want := range map[string]string{event.HeaderRequestedAt: "1", event.HeaderModelVersion: "1", "traceparent": "00-1", "tracestate": "s=1", "secret": "none"} {
			if got := header(answers[0], key); got != want {
				t.Errorf("prediction: header %s: got %q, want %q", key, got, want)
			}
		}
		dead := r.records(event.TopicDeadLetters)
		if len(dead) != 2 {
			t.Fatalf("%d dead letters, want two", len(dead))
		}
		for key, want := range map[string]string{event.HeaderTopic: event.TopicRequests, event.HeaderPartition: "0", event.HeaderOffset: "1", "from": "b", event.HeaderError: "request: not a JSON object of this schema: unexpected end of JSON input"} {
			if got := header(dead[0], key); got != want {
				t.Errorf("dead letter: header %s: got %q, want %q", key, got, want)
			}
		}
		if got := header(dead[1], event.HeaderError); !strings.HasSuffix(got, "; of its 999005 bytes some are cut here") || len(dead[1].Value)+len(dead[1].Key) != deadLetterBytes {
			t.Errorf("a large one: %d bytes, %q", len(dead[1].Value), got)
		}
	})
}

// TestARequestTakesItsServiceTime, and one that stands still is idle, not stuck.
func TestARequestTakesItsServiceTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.source.Store(newEntry(t))
		c := DefaultConfig()
		c.ServiceTime, c.BatchRecords = time.Second, 5
		r.run(c)
		began := time.Now()
		for i := range 10 {
			r.produce(request(fmt.Sprint(i)))
		}
		for r.loop.Status().Answered < 10 {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(began); took < 10*time.Second || took > 12*time.Second {
			t.Errorf("ten requests of a second each took %v", took)
		}
		r.want(event.TopicPredictions, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
		if busy := r.metric("prescale_inference_busy_seconds_total", ""); busy < 10 || busy > 12 {
			t.Errorf("%v busy seconds, want ten", busy)
		}
		time.Sleep(10 * time.Minute)
		if s := r.loop.Status(); s.Problem != nil || time.Since(s.Beat) > 2*idlePoll {
			t.Errorf("after ten idle minutes: %+v at %v", s, time.Now())
		}
	})
}

// TestABrokerThatIsAwayIsTheProblem, until it is back, and is asked with growing pauses.
func TestABrokerThatIsAwayIsTheProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.source.Store(newEntry(t))
		r.produce(request("a"))
		asked := 0
		r.cluster.ControlKey(int16(kmsg.InitProducerID), func(k kmsg.Request) (kmsg.Response, error, bool) {
			r.cluster.KeepControl()
			if asked++; asked > 8 {
				return nil, nil, false
			}
			response := k.ResponseKind().(*kmsg.InitProducerIDResponse)
			response.ErrorCode = kerr.TransactionalIDAuthorizationFailed.Code
			return response, nil, true
		})
		r.run(DefaultConfig()) // returns after 5 s: 0.25 + 0.5 + 1 + 2, and the fifth try
		if s := r.loop.Status(); asked != 5 || s.Problem == nil || !errors.Is(s.Problem, kerr.TransactionalIDAuthorizationFailed) {
			t.Errorf("after %d attempts: %+v", asked, s)
		}
		time.Sleep(time.Minute)
		r.want(event.TopicPredictions, "a")
		if s := r.loop.Status(); s.Problem != nil {
			t.Errorf("once it is back: %v", s.Problem)
		}
	})
}

func TestValidateTellsEveryFault(t *testing.T) {
	for _, tt := range []struct {
		change func(*Config)
		want   string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { *c = Config{} }, "batch: group: missing\nbatch: requests: missing\nbatch: predictions: missing\nbatch: deadLetters: missing\nbatch: instance: missing\n" +
			"batch: batchRecords: 0 is outside 1 to 65536\nbatch: transactionTimeout: 0s is below 1s\nbatch: sessionTimeout: 0s is outside 1s to half the transactionTimeout 0s"},
		{func(c *Config) { c.Predictions = c.Requests }, `batch: requests: "inference.requests" is also written to`},
		{func(c *Config) { c.DeadLetters = c.Requests }, `batch: requests: "inference.requests" is also written to`},
		{func(c *Config) { c.BatchRecords = 1 }, ""},
		{func(c *Config) { c.BatchRecords = 1 << 16 }, ""},
		{func(c *Config) { c.BatchRecords = 1<<16 + 1 }, "batch: batchRecords: 65537 is outside 1 to 65536"},
		{func(c *Config) { c.SessionTimeout = c.TransactionTimeout / 2 }, ""},
		{func(c *Config) { c.SessionTimeout = c.TransactionTimeout/2 + 1 }, "batch: sessionTimeout: 7.500000001s is outside 1s to half the transactionTimeout 15s"},
		{func(c *Config) { c.SessionTimeout = time.Second }, ""},
		{func(c *Config) { c.ServiceTime = -1 }, "batch: serviceTime: -1ns times batchRecords 2048 is -2.048µs, outside 0 to half the transactionTimeout 15s"},
		{func(c *Config) { c.ServiceTime = 10 * time.Millisecond }, "batch: serviceTime: 10ms times batchRecords 2048 is 20.48s, outside 0 to half the transactionTimeout 15s"},
	} {
		c := DefaultConfig()
		c.Instance = "a"
		tt.change(&c)
		got := ""
		if err := c.Validate(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("got %s\nwant %s", got, tt.want)
		}
	}
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

// TestAReplicaEndsWithoutABroker: also in the midst of a transaction whose records a broker may have got.
func TestAReplicaEndsWithoutABroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.source.Store(newEntry(t))
		r.produce(request("a"))
		var asked atomic.Bool
		r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			asked.Store(true)
			go r.cluster.Close()
			return nil, errors.New("the broker dies"), true
		})
		r.run(DefaultConfig())
		if !asked.Load() {
			t.Fatal("nothing was produced")
		}
		began := time.Now()
		r.stop()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v to end, want %v at most", took, 10*time.Second)
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
		r.want(event.TopicDeadLetters) // nor is what ends a transaction a request
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
		if dead, predicted := r.metric("prescale_inference_requests_total", "dead_letter"), r.metric("prescale_inference_requests_total", "predicted"); dead != 1 || predicted != 2 {
			t.Errorf("%v dead letters and %v predictions counted", dead, predicted)
		}
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
