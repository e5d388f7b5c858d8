package latency

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func near(got series.Value, want, tolerance float64) bool {
	x, ok := got.Get()
	return ok && math.Abs(x-want) <= tolerance*want
}

func TestQuantileIsPromQLs(t *testing.T) {
	inf := math.Inf(1)
	for _, tt := range []struct {
		name    string
		q       float64
		buckets []bucket
		want    float64
	}{
		{"nothing observed", 0.5, []bucket{{1, 0}, {inf, 0}}, math.NaN()},
		{"no last bucket", 0.5, []bucket{{1, 5}, {2, 5}}, math.NaN()},
		{"half of the first bucket", 0.5, []bucket{{1, 10}, {inf, 10}}, 0.5},
		{"inside the second: 1 + (5-4)/(8-4)", 0.5, []bucket{{1, 4}, {2, 8}, {inf, 10}}, 1.25},
		{"in the last: the bound below", 0.99, []bucket{{1, 4}, {2, 8}, {inf, 10}}, 2},
		{"in a first bucket that ends at zero or below: its bound", 0.1, []bucket{{-1, 4}, {2, 8}, {inf, 8}}, -1},
		{"over an empty bucket", 0.75, []bucket{{1, 4}, {2, 4}, {4, 8}, {inf, 8}}, 3},
	} {
		if got := quantile(tt.q, tt.buckets); got != tt.want && !(math.IsNaN(got) && math.IsNaN(tt.want)) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// server serves a histogram and a busy counter; native tells in which form the histogram is.
func server(t *testing.T, native bool) (prometheus.Observer, prometheus.Counter, string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	options := prometheus.HistogramOpts{Name: "latency_seconds", Buckets: []float64{.1, .2, .4, .8}}
	if native {
		options.Buckets, options.NativeHistogramBucketFactor = nil, 1.1
	}
	histogram := prometheus.NewHistogramVec(options, []string{"topic"})
	busy := prometheus.NewCounter(prometheus.CounterOpts{Name: "busy_seconds_total"})
	registry.MustRegister(histogram, busy)
	histogram.WithLabelValues("other").Observe(100)
	s := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(s.Close)
	return histogram.WithLabelValues("requests"), busy, s.URL
}

func newTestScraper(t *testing.T) *Scraper {
	t.Helper()
	config := DefaultScraperConfig()
	config.Policy, config.Histogram, config.Busy, config.Quantile = "ns/p", "latency_seconds", "busy_seconds_total", 0.5
	config.Labels = nil
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	s, err := NewScraper(config, client)
	if err != nil {
		t.Fatal(err)
	}
	s.config.Labels = map[string]string{"topic": "requests"}
	return s
}

func TestScrapeCountsWhatIsNew(t *testing.T) {
	for _, native := range []bool{false, true} {
		t.Run(fmt.Sprintf("native=%v", native), func(t *testing.T) {
			histogram, _, url := server(t, native)
			s := newTestScraper(t)
			s.config.Busy = ""
			histogram.Observe(0.7) // before the first look: not counted
			now := time.Unix(1000, 0)
			if err := s.Scrape(t.Context(), now, []string{url}); err != nil {
				t.Fatal(err)
			}
			o := series.Observation{Policy: "ns/p"}
			if s.Annotate(now, &o); o.LatencySeconds.Known() {
				t.Errorf("after one look: got %v, want missing", o.LatencySeconds)
			}
			for range 100 {
				histogram.Observe(0.15)
			}
			if err := s.Scrape(t.Context(), now.Add(5*time.Second), []string{url}); err != nil {
				t.Fatal(err)
			}
			other := series.Observation{Policy: "ns/other"}
			if s.Annotate(now, &other); other.LatencySeconds.Known() {
				t.Error("another policy got the latency")
			}
			// Classic: the middle of (0.1, 0.2]. Native: within a bucket of factor 1.1.
			if s.Annotate(now, &o); !near(o.LatencySeconds, 0.15, 0.06) {
				t.Errorf("median: got %v, want 0.15", o.LatencySeconds)
			}
			again := series.Observation{Policy: "ns/p"}
			if s.Annotate(now, &again); again.LatencySeconds.Known() {
				t.Error("the same records were counted twice")
			}
		})
	}
}

func TestScrapeOfSeveralReplicas(t *testing.T) {
	first, firstBusy, firstURL := server(t, false)
	second, secondBusy, secondURL := server(t, false)
	s := newTestScraper(t)
	s.config.Labels = nil // the busy counter has no labels
	now := time.Unix(1000, 0)
	urls := []string{firstURL, secondURL}
	if err := s.Scrape(t.Context(), now, urls); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		first.Observe(0.15)
		second.Observe(0.3)
	}
	firstBusy.Add(10)
	secondBusy.Add(4)
	gone := "http://127.0.0.1:1/metrics"
	err := s.Scrape(t.Context(), now.Add(10*time.Second), append(urls, gone))
	if err == nil || !strings.Contains(err.Error(), gone) {
		t.Errorf("an endpoint that is gone: got %v", err)
	}
	o := series.Observation{Policy: "ns/p"}
	s.Annotate(now, &o)
	// 100 in (0.1, 0.2], 100 in (0.2, 0.4]: the median is the bound between.
	if !near(o.LatencySeconds, 0.2, 1e-9) {
		t.Errorf("median of both: got %v, want 0.2", o.LatencySeconds)
	}
	// 10 s and 4 s of 10 s each.
	if !near(o.BusyRatio, 0.7, 1e-9) {
		t.Errorf("busy ratio: got %v, want 0.7", o.BusyRatio)
	}
	if len(o.Problems) != 1 {
		t.Errorf("problems: got %q", o.Problems)
	}
}

// TestScrapeOfWork: two replicas did 3,000 tokens for 30 requests since the last look, whatever they had done before.
func TestScrapeOfWork(t *testing.T) {
	var tokens, requests []prometheus.Counter
	var urls []string
	for range 2 {
		registry := prometheus.NewRegistry()
		t, r := prometheus.NewCounter(prometheus.CounterOpts{Name: "tokens_total"}), prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests_total"}, []string{"result"})
		registry.MustRegister(t, r)
		tokens, requests = append(tokens, t), append(requests, r.WithLabelValues("ok"), r.WithLabelValues("failed"))
		s := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
		defer s.Close()
		urls = append(urls, s.URL)
	}
	config := DefaultScraperConfig()
	config.Policy, config.Work, config.Records, config.Busy = "ns/p", "tokens_total", "requests_total", "tokens_total"
	s, err := NewScraper(config, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	tokens[0].Add(1e6)
	now := time.Unix(1000, 0)
	for _, look := range []struct {
		did  func()
		want float64 // NaN where missing
	}{
		{func() {}, math.NaN()},
		{func() {
			tokens[0].Add(1000)
			tokens[1].Add(2000)
			requests[0].Add(5)
			requests[1].Add(5)
			requests[2].Add(20)
		}, 40 * 3000.0 / 30},
		{func() { tokens[0].Add(10) }, math.NaN()}, // work whose records are not done
	} {
		look.did()
		now = now.Add(10 * time.Second)
		if err := s.Scrape(t.Context(), now, urls); err != nil {
			t.Fatal(err)
		}
		o := series.Observation{Policy: "ns/p", ArrivalRecords: series.Of(40)}
		s.Annotate(now, &o)
		if got := o.ArrivalWork.NaN(); got != look.want && !(math.IsNaN(got) && math.IsNaN(look.want)) {
			t.Errorf("got %v, want %v", got, look.want)
		}
	}
	config.Records = ""
	if _, err := NewScraper(config, nil); err == nil {
		t.Error("work without records was taken")
	}
	config.Records = "answers_total"
	if s, err = NewScraper(config, s.client); err != nil {
		t.Fatal(err)
	}
	if err := s.Scrape(t.Context(), now, urls); err == nil || !strings.Contains(err.Error(), "it has not both counters tokens_total and answers_total") {
		t.Errorf("a counter that is not there: %v", err)
	}
}

func TestScrapeRefuses(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"no such histogram", "latency_seconds_other 1\n", "no histogram latency_seconds"},
		{"no such counter", "# TYPE busy_seconds_total counter\nbusy_seconds_total{topic=\"other\"} 1\n", "no counter busy_seconds_total with labels map[topic:requests]"},
		{"a counter without a number", "# TYPE busy_seconds_total counter\nbusy_seconds_total{topic=\"requests\"} NaN\n", "busy_seconds_total is NaN: want a number from 0"},
		{"one without end", "# TYPE busy_seconds_total counter\nbusy_seconds_total{topic=\"requests\"} +Inf\n", "busy_seconds_total is +Inf"},
		{"one below zero", "# TYPE busy_seconds_total counter\nbusy_seconds_total{topic=\"requests\"} -5\n", "busy_seconds_total is -5"},
		{"a gauge", "# TYPE latency_seconds gauge\nlatency_seconds{topic=\"requests\"} 1\n", "latency_seconds is of type gauge: want a histogram"},
		{"a counter of no type", "busy_seconds_total{topic=\"requests\"} 1\n", "busy_seconds_total is of type untyped: want a counter"},
		{"half an answer", "# TYPE busy_seconds_total counter\nbusy_seconds_total{topic=\"requests\"} 1", "read its answer: text format parsing error in line 2: unexpected end"},
		{"not metrics", "<html>\n", "read its answer"},
		{"buckets that fall", "# TYPE latency_seconds histogram\nlatency_seconds_bucket{topic=\"requests\",le=\"1\"} 5\n" +
			"latency_seconds_bucket{topic=\"requests\",le=\"2\"} 3\nlatency_seconds_bucket{topic=\"requests\",le=\"+Inf\"} 5\n" +
			"latency_seconds_count{topic=\"requests\"} 5\nlatency_seconds_sum{topic=\"requests\"} 5\n", "fewer than the one below"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			fmt.Fprint(w, tt.body)
		}))
		scraper := newTestScraper(t)
		if !strings.Contains(tt.body, "latency_seconds") {
			scraper.config.Histogram = ""
		}
		err := scraper.Scrape(t.Context(), time.Unix(0, 0), []string{s.URL})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		s.Close()
	}
}

// TestScrapeAfterAnOutage: what a replica did in the hour for which it did not answer is not what it did since the last tick.
func TestScrapeAfterAnOutage(t *testing.T) {
	histogram, busy, url := server(t, false)
	s := newTestScraper(t)
	s.config.Labels = nil // the busy counter has no labels
	now := time.Unix(1000, 0)
	tick := func(endpoint string) (o series.Observation) {
		now = now.Add(10 * time.Second)
		histogram.Observe(0.15)
		busy.Add(5)
		_ = s.Scrape(t.Context(), now, []string{endpoint}) // what fails is a problem of the observation
		o.Policy = "ns/p"
		s.Annotate(now, &o)
		return o
	}
	answers := s.client.Transport
	for _, outage := range []int{1, 2, 5} {
		tick(url)
		if o := tick(url); !near(o.BusyRatio, 0.5, 1e-9) {
			t.Fatalf("before an outage: got %v, want 0.5", o.BusyRatio)
		}
		s.client.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("away") }}
		for range outage {
			if o := tick(url); o.BusyRatio.Known() || len(o.Problems) != 1 {
				t.Errorf("in an outage: got %v and %q, want missing and a problem", o.BusyRatio, o.Problems)
			}
		}
		s.client.Transport = answers
		// A tick that was missed is made up for, as where one of the two looks of an interval fails.
		if o := tick(url); o.BusyRatio.Known() != (outage == 1) || o.LatencySeconds.Known() != (outage == 1) {
			t.Errorf("after %d ticks: got %v and %v", outage, o.BusyRatio, o.LatencySeconds)
		}
		if o := tick(url); !near(o.BusyRatio, 0.5, 1e-9) || !o.LatencySeconds.Known() {
			t.Errorf("two ticks after an outage: got %v and %v, want 0.5 and a latency", o.BusyRatio, o.LatencySeconds)
		}
	}
}

// TestScrapeFollowsNobody: a replica that sends the daemon elsewhere has nobody asked, and one that is slow is said to be.
func TestScrapeFollowsNobody(t *testing.T) {
	asked := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer elsewhere.Close()
	replica := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			return
		}
		http.Redirect(w, r, elsewhere.URL, http.StatusFound)
	}))
	defer replica.Close()
	s := newTestScraper(t)
	s.config.Timeout = 50 * time.Millisecond
	err := s.Scrape(t.Context(), time.Unix(0, 0), []string{replica.URL, replica.URL + "/slow"})
	for _, want := range []string{replica.URL + ": it answers 302 Found, to \"" + elsewhere.URL, replica.URL + "/slow: it takes longer than 50ms"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("not told %q: %v", want, err)
		}
	}
	if asked {
		t.Error("what a replica named was asked")
	}
}

// TestHeadersThatTellNothing: a latency of fifty years would ask for all the replicas that are allowed.
func TestHeadersThatTellNothing(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	for value, want := range map[string]string{
		"1700000000":       `"1700000000" is 54 years before the record: want milliseconds`,
		"1700000000000000": "after the record: clocks differ",
		"2023-11-14":       "is no number of milliseconds",
	} {
		m := meter{config: HeadersConfig{Header: "h"}, seen: distribution{}}
		m.take(&kgo.Record{Timestamp: at, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(value)}}})
		if m.records != 0 || m.bad != 1 || !strings.Contains(m.reason, want) {
			t.Errorf("%s: %d taken, %d refused: %q, want %q", value, m.records, m.bad, m.reason, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "predictions"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	config := HeadersConfig{Policy: "ns/p", Topic: "predictions", Header: "requested-at-ms", Quantile: 0.5}
	h, err := NewHeaders(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	h.SetPolicies([]HeadersConfig{config})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	send := func(value string) {
		at := time.UnixMilli(1_700_000_000_000)
		record := &kgo.Record{Topic: "predictions", Timestamp: at, Headers: []kgo.RecordHeader{{Key: "requested-at-ms", Value: []byte(value)}}}
		if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	// The consumer starts at the end of the topic as it is when it looks: send until it has seen some.
	var o series.Observation
	for deadline := time.Now().Add(time.Minute); !o.LatencySeconds.Known(); {
		if time.Now().After(deadline) {
			t.Fatal("no latency was seen")
		}
		send("1699999999750") // 250 ms before the record
		o = series.Observation{Policy: "ns/p"}
		h.Annotate(time.Now(), &o)
	}
	if !near(o.LatencySeconds, 0.25, 0.05) {
		t.Errorf("latency: got %v, want 0.25", o.LatencySeconds)
	}
	for deadline := time.Now().Add(time.Minute); len(o.Problems) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("a bad header was not noticed")
		}
		send("soon")
		o = series.Observation{Policy: "ns/p"}
		h.Annotate(time.Now(), &o)
	}
	if !strings.Contains(o.Problems[0], `"soon" is no number`) {
		t.Errorf("problem: got %q", o.Problems)
	}

	// Another policy comes, of a topic that is not there, and the first goes.
	h.SetPolicies([]HeadersConfig{{Policy: "ns/q", Topic: "nowhere", Header: "h", Quantile: 0.5}})
	if err := h.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	o = series.Observation{Policy: "ns/q"}
	h.Annotate(time.Now(), &o)
	if o.LatencySeconds.Known() || len(o.Problems) != 1 || !strings.Contains(o.Problems[0], "topic nowhere: UNKNOWN_TOPIC_OR_PARTITION") {
		t.Errorf("latency %v, problem %q", o.LatencySeconds, o.Problems)
	}
	send("1699999999750")
	o = series.Observation{Policy: "ns/p"}
	h.Annotate(time.Now(), &o)
	if o.LatencySeconds.Known() || len(o.Problems) > 0 {
		t.Errorf("a policy that went: %+v", o)
	}
}

// Both are sources of what offsets do not tell.
var (
	_ collector.Source = (*Headers)(nil)
	_ collector.Source = (*Scraper)(nil)
)
