package latency

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"github.com/prescale/prescale/metrics/series"
)

// TestAReplicaThatStartsAnew: its counters begin at zero, and what they are at is what it did since. What was read before Forget says
// nothing of what comes after.
func TestAReplicaThatStartsAnew(t *testing.T) {
	var fast, slow, busy, tokens, requests int
	replica := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "# TYPE latency_seconds histogram\n"+
			"latency_seconds_bucket{le=\"1\"} %d\nlatency_seconds_bucket{le=\"2\"} %d\nlatency_seconds_bucket{le=\"+Inf\"} %d\n"+
			"latency_seconds_sum 1\nlatency_seconds_count %d\n"+
			"# TYPE busy_seconds_total counter\nbusy_seconds_total %d\n# TYPE tokens_total counter\ntokens_total %d\n"+
			"# TYPE requests_total counter\nrequests_total %d\n", fast, fast+slow, fast+slow, fast+slow, busy, tokens, requests)
	}))
	defer replica.Close()
	s := newTestScraper(t)
	s.config.Labels, s.config.Work, s.config.Records = nil, "tokens_total", "requests_total"
	now := time.Unix(1000, 0)
	look := func() (o series.Observation) {
		now = now.Add(10 * time.Second)
		if err := s.Scrape(t.Context(), now, []string{replica.URL}); err != nil {
			t.Fatal(err)
		}
		o = series.Observation{Policy: "ns/p", ArrivalRecords: series.Of(1)}
		s.Annotate(now, &o)
		return o
	}
	fast, slow, busy, tokens, requests = 1000, 50, 500, 10000, 1000
	look()
	// Four slow ones since the restart: the median is the middle of (1, 2]. Had the 50 of before been taken off, it would not be known.
	fast, slow, busy, tokens, requests = 0, 4, 5, 60, 4
	if o := look(); !near(o.LatencySeconds, 1.5, 1e-9) || !near(o.BusyRatio, 0.5, 1e-9) || !near(o.ArrivalWork, 15, 1e-9) {
		t.Errorf("started anew: latency %v, busy %v, work %v; want 1.5, 0.5 and 15", o.LatencySeconds, o.BusyRatio, o.ArrivalWork)
	}
	slow, busy, tokens, requests = 8, 9, 100, 8
	now = now.Add(10 * time.Second)
	if err := s.Scrape(t.Context(), now, []string{replica.URL}); err != nil {
		t.Fatal(err)
	}
	s.Forget()
	if o := look(); o.LatencySeconds.Known() || o.BusyRatio.Known() || o.ArrivalWork.Known() {
		t.Errorf("forgotten: latency %v, busy %v, work %v; want none", o.LatencySeconds, o.BusyRatio, o.ArrivalWork)
	}
}

// TestHistogramsInAllTheirForms: bucket i of schema s ends at 2^(i × 2^-s); of the second span the offset counts from the end of the
// first (Prometheus native histogram specification, "Buckets").
func TestHistogramsInAllTheirForms(t *testing.T) {
	inf := math.Inf(1)
	spans := []*dto.BucketSpan{{Offset: proto.Int32(1), Length: proto.Uint32(2)}, {Offset: proto.Int32(2), Length: proto.Uint32(1)}}
	for name, tt := range map[string]struct {
		h    *dto.Histogram
		want distribution
	}{
		"without a last bucket": {
			&dto.Histogram{SampleCount: proto.Uint64(9), Bucket: []*dto.Bucket{
				{UpperBound: proto.Float64(1), CumulativeCount: proto.Uint64(4)}, {UpperBound: proto.Float64(2), CumulativeCount: proto.Uint64(6)}}},
			distribution{1: 4, 2: 2, inf: 3}},
		"native, of deltas": {
			&dto.Histogram{Schema: proto.Int32(0), ZeroThreshold: proto.Float64(0.001), ZeroCount: proto.Uint64(7),
				PositiveSpan: spans, PositiveDelta: []int64{3, 2, -4}},
			distribution{0.001: 7, 1: 0, 2: 3, 4: 5, 16: 0, 32: 1, inf: 0}},
		"native, of floats": {
			&dto.Histogram{Schema: proto.Int32(0), ZeroThreshold: proto.Float64(0.001), ZeroCountFloat: proto.Float64(7),
				PositiveSpan: spans, PositiveCount: []float64{3, 5, 1}},
			distribution{0.001: 7, 1: 0, 2: 3, 4: 5, 16: 0, 32: 1, inf: 0}},
	} {
		if got, err := fromHistogram(tt.h); err != nil || !maps.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v; %v", name, got, tt.want, err)
		}
	}
	for want, h := range map[string]*dto.Histogram{
		"schema 9 is not known":           {Schema: proto.Int32(9)},
		"negative observations":           {Schema: proto.Int32(0), NegativeSpan: spans},
		"fewer buckets than its spans":    {Schema: proto.Int32(0), PositiveSpan: spans, PositiveDelta: []int64{1, 2}},
		"a bucket counts 6 of 5 observat": {SampleCount: proto.Uint64(5), Bucket: []*dto.Bucket{{UpperBound: proto.Float64(1), CumulativeCount: proto.Uint64(6)}}},
	} {
		if _, err := fromHistogram(h); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestValidateTellsEveryFault: of both kinds, at once.
func TestValidateTellsEveryFault(t *testing.T) {
	for _, tt := range []struct {
		config interface{ Validate() error }
		want   string
	}{
		{ScraperConfig{Quantile: 1}, "histogram: neither it nor busy nor work is given\nquantile: 1 is not between 0 and 1\n" +
			"timeout: 0s is not above zero\nmaxBytes: 0 is not above zero"},
		{ScraperConfig{Busy: "b", Records: "r", Quantile: 0.5, Timeout: 1, MaxBytes: 1}, `work: "" with records "r": want both or neither`},
		{ScraperConfig{Histogram: "h", Quantile: 0.5, Timeout: 1, MaxBytes: 1}, ""},
		{ScraperConfig{Busy: "b", Quantile: 0.5, Timeout: 1, MaxBytes: 1}, ""},
		{ScraperConfig{Work: "w", Records: "r", Quantile: 0.5, Timeout: 1, MaxBytes: 1}, ""},
		{HeadersConfig{}, "topic: is empty\nheader: is empty\nquantile: 0 is not between 0 and 1"},
		{HeadersConfig{Topic: "t", Header: "h", Quantile: 1}, "quantile: 1 is not between 0 and 1"},
		{HeadersConfig{Topic: "t", Header: "h", Quantile: 0.5}, ""},
	} {
		got := ""
		if err := tt.config.Validate(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.config, got, tt.want)
		}
	}
}

// TestHeadersAmongOthers: a record has other headers too, a topic may be of several policies, and a policy that asks for something else
// begins anew.
func TestHeadersAmongOthers(t *testing.T) {
	h, err := NewHeaders()
	if err != nil {
		t.Fatal(err)
	}
	defer h.client.Close()
	p, q := HeadersConfig{Policy: "ns/p", Topic: "t", Header: "h", Quantile: 0.5}, HeadersConfig{Policy: "ns/q", Topic: "t", Header: "i", Quantile: 0.5}
	h.SetPolicies([]HeadersConfig{p, q})
	record := &kgo.Record{Timestamp: time.UnixMilli(5000), Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("x")}, {Key: "h", Value: []byte("1000")}}}
	latencies := func() (all []series.Observation) {
		for _, policy := range []string{"ns/p", "ns/q"} {
			o := series.Observation{Policy: policy}
			h.Annotate(time.Time{}, &o)
			all = append(all, o)
		}
		return all
	}
	h.meters["ns/p"].take(record)
	h.meters["ns/q"].take(record)
	if got := latencies(); !near(got[0].LatencySeconds, 4, 0.03) || got[1].LatencySeconds.Known() || len(got[0].Problems) > 0 ||
		len(got[1].Problems) != 1 || !strings.Contains(got[1].Problems[0], "1 of 1 records of t do not tell it: no header i") {
		t.Errorf("got %+v, want 4 s and no header i", got)
	}
	if got := latencies(); got[0].LatencySeconds.Known() || len(got[1].Problems) > 0 {
		t.Errorf("asked again: got %+v, want nothing", got)
	}
	h.meters["ns/p"].take(record)
	h.meters["ns/q"].take(record)
	p.Quantile = 0.9
	h.SetPolicies([]HeadersConfig{p, q})
	if got := latencies(); got[0].LatencySeconds.Known() || len(got[1].Problems) != 1 {
		t.Errorf("of another quantile: got %+v, want nothing of ns/p and the same of ns/q", got)
	}
	h.SetPolicies(nil)
	if got := h.client.GetConsumeTopics(); len(got) > 0 {
		t.Errorf("still reads %q", got)
	}
}
