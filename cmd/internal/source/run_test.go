package source

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/hack/output"
	"github.com/prescale/prescale/metrics/collector/latency"
	"github.com/prescale/prescale/metrics/series"
)

// running runs sources until the test ends.
func running(t *testing.T, s *Sources) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestOnlyTheOwnerAsksReplicas follows one policy that is another's, then ours, and then another's again.
func TestOnlyTheOwnerAsksReplicas(t *testing.T) {
	var owned, broken atomic.Bool
	var busy atomic.Int64
	looked, asked := make(chan struct{}, 1000), make(chan struct{}, 1000)
	tell := func(c chan struct{}) {
		select {
		case c <- struct{}{}:
		default: // nobody waits
		}
	}
	replica := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer tell(asked)
		if broken.Load() {
			http.Error(w, "not now", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "# TYPE busy counter\nbusy %d\n", busy.Add(1000))
	}))
	defer replica.Close()
	scraper := latency.DefaultScraperConfig()
	scraper.Policy, scraper.Busy = "ai/a", "busy"
	said := &output.Buffer{}
	s, err := New(Config{
		Policies: []Policy{{Name: "ai/a", Interval: 2 * time.Millisecond, Spec: Spec{Endpoints: &Endpoints{Scraper: scraper, URLs: []string{replica.URL}}}}},
		Owns: func(policy string) bool {
			tell(looked)
			return owned.Load() && policy == "ai/a"
		},
		Logger: slog.New(slog.NewTextHandler(said, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	running(t, s)
	wait := func(c chan struct{}, n int) {
		t.Helper()
		for len(c) > 0 {
			<-c
		}
		for range n {
			select {
			case <-c:
			case <-time.After(10 * time.Second):
				t.Fatal("nothing more within 10s")
			}
		}
	}
	annotated := func(policy string) series.Observation {
		o := series.Observation{Policy: policy, Problems: []string{"z"}}
		s.Annotate(time.Now(), &o)
		return o
	}
	wait(looked, 5)
	if len(asked) > 0 {
		t.Error("another process's policy: its replicas were asked")
	}
	owned.Store(true)
	wait(asked, 3)
	if o := annotated("ai/b"); o.BusyRatio.Known() {
		t.Errorf("another policy got a busy ratio: %v", o.BusyRatio)
	}
	if o := annotated("ai/a"); o.BusyRatio.Or(0) != 1 || len(o.Problems) != 1 {
		t.Errorf("busy all the time: got %v, problems %v", o.BusyRatio, o.Problems)
	}
	broken.Store(true)
	wait(asked, 5)
	if o := annotated("ai/a"); len(o.Problems) != 2 || !strings.Contains(o.Problems[0], "1 of 1 endpoints were not read") {
		t.Errorf("a replica that fails: problems %v, want what it said, sorted", o.Problems)
	}
	if n := strings.Count(said.String(), "metrics changed"); n != 1 {
		t.Errorf("failing: logged %d times, want once:\n%s", n, said)
	}
	broken.Store(false)
	wait(asked, 3)
	owned.Store(false)
	wait(looked, 3)
	if o := annotated("ai/a"); o.BusyRatio.Known() || len(o.Problems) != 1 {
		t.Errorf("another process's again: got %v, problems %v: want what was read to be forgotten", o.BusyRatio, o.Problems)
	}
	wait(looked, 3)
	if n := strings.Count(said.String(), "metrics changed"); n != 2 {
		t.Errorf("well again: logged %d times, want twice:\n%s", n, said)
	}
}

// TestOnlyTheOwnerReadsHeaders: of two clusters and four policies, what is read is that of the owned policies, each on its own cluster.
func TestOnlyTheOwnerReadsHeaders(t *testing.T) {
	brokers := map[string]*kgo.Client{}
	reach := map[string][]kgo.Opt{}
	for _, name := range []string{"a", "b"} {
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "answers"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		reach[name] = []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.MetadataMinAge(10 * time.Millisecond)}
		if brokers[name], err = kgo.NewClient(reach[name]...); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(brokers[name].Close)
	}
	headers := func(policy, topic string) Spec {
		return Spec{Quantile: 0.9, Headers: &latency.HeadersConfig{Policy: policy, Topic: topic, Header: "asked", Quantile: 0.9}}
	}
	s, err := New(Config{
		Policies: []Policy{
			{Name: "ai/a", Cluster: "a", Spec: headers("ai/a", "answers")},
			{Name: "ai/other", Cluster: "a", Spec: headers("ai/other", "answers")},
			{Name: "ai/b", Cluster: "b", Spec: headers("ai/b", "answers")},
			{Name: "ai/gone", Cluster: "b", Spec: headers("ai/gone", "nowhere")},
			{Name: "ai/nothing", Cluster: "b"},
		},
		Owns:    func(policy string) bool { return policy != "ai/other" },
		Cluster: func(name string) []kgo.Opt { return reach[name] },
		Logger:  slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	running(t, s)
	at := time.UnixMilli(1_800_000_000_000)
	for policy, want := range map[string]struct {
		cluster string
		waited  time.Duration
	}{"ai/a": {"a", time.Second}, "ai/b": {"b", 8 * time.Second}} {
		var o series.Observation
		for begin := time.Now(); !o.LatencySeconds.Known() && time.Since(begin) < 20*time.Second; {
			// Topics are read from their end on: what is written before the reading has begun is not seen.
			record := &kgo.Record{Topic: "answers", Timestamp: at, Headers: []kgo.RecordHeader{{Key: "asked", Value: fmt.Append(nil, at.Add(-want.waited).UnixMilli())}}}
			if err := brokers[want.cluster].ProduceSync(t.Context(), record).FirstErr(); err != nil {
				t.Fatal(err)
			}
			o = series.Observation{Policy: policy}
			s.Annotate(at, &o)
		}
		if got := o.LatencySeconds.Or(0); got < 0.97*want.waited.Seconds() || got > 1.03*want.waited.Seconds() {
			t.Errorf("%s: latency %vs, want %v within 3 %%; problems %v", policy, got, want.waited, o.Problems)
		}
	}
	other, gone := series.Observation{Policy: "ai/other"}, series.Observation{Policy: "ai/gone"}
	s.Annotate(at, &other)
	s.Annotate(at, &gone)
	if other.LatencySeconds.Known() || len(gone.Problems) != 1 || !strings.Contains(gone.Problems[0], "topic nowhere") {
		t.Errorf("another process's policy: %v; a topic that is not there: %v", other.LatencySeconds, gone.Problems)
	}
}
