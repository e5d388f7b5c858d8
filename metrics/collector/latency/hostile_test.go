package latency

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// TestAnAnswerThatGoesWrong lets a replica answer well once and then in every way that it should not: each is a problem that names it, and
// neither a value nor zero.
func TestAnAnswerThatGoesWrong(t *testing.T) {
	const text, protobuf = "text/plain; version=0.0.4", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	const busy = "# TYPE busy_seconds_total counter\nbusy_seconds_total{topic=\"requests\"} "
	// raw answers over the connection itself and closes it.
	raw := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			connection, to, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer connection.Close()
			_, _ = fmt.Fprintf(to, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%s", text, answer)
			_ = to.Flush()
		}
	}
	sized := func(kind string, size uint64) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write(binary.AppendUvarint(nil, size))
		}
	}
	for _, tt := range []struct {
		name  string
		wrong http.HandlerFunc
		want  string
	}{
		{"it dies mid-answer", raw("Content-Length: 1000\r\n\r\n" + busy + "7\n"), "unexpected EOF"},
		{"it dies between chunks", raw("Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s7\n\r\n", len(busy)+2, busy)), "unexpected EOF"},
		{"it dies within a line", raw("\r\n" + busy + "7"), "unexpected end"},
		{"it hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "takes longer than"},
		{"it hangs mid-answer", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, busy)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "takes longer than"},
		{"fifty megabytes", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", text)
			to := bufio.NewWriterSize(w, 1<<20)
			for range 50 << 20 / 64 {
				_, _ = fmt.Fprintf(to, "# %s\n", strings.Repeat("x", 61))
			}
			_ = to.Flush()
		}, "is larger than 16777216 bytes"},
		{"a message larger than memory", sized(protobuf, 1<<61), "message size 2305843009213693952 exceeded"},
		{"a message larger than it may be", sized(protobuf, 1<<34), "message size 17179869184 exceeded"},
		{"a message that ends", sized(protobuf, 1<<20), "unexpected EOF"},
		{"a number that is none", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, busy+"NaN\n") }, "is NaN: want a number from 0"},
		{"another name", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.ReplaceAll(busy, "busy_", "working_")+"7\n")
		}, "no counter busy_seconds_total"},
		{"nothing", func(http.ResponseWriter, *http.Request) {}, "no counter busy_seconds_total"},
	} {
		well := true
		endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !well {
				tt.wrong(w, r)
				return
			}
			w.Header().Set("Content-Type", text)
			fmt.Fprint(w, busy+"5\n")
		}))
		s := newTestScraper(t)
		s.config.Histogram = ""
		now := time.Unix(1000, 0)
		if err := s.Scrape(t.Context(), now, []string{endpoint.URL}); err != nil {
			t.Fatal(err)
		}
		s.Annotate(now, &series.Observation{Policy: "ns/p"})
		well, s.config.Timeout = false, time.Minute // for those that are not to take too long, however busy the machine is
		if strings.Contains(tt.want, "longer") {
			s.config.Timeout = 50 * time.Millisecond
		}
		_ = s.Scrape(t.Context(), now.Add(5*time.Second), []string{endpoint.URL}) // a problem of the observation
		o := series.Observation{Policy: "ns/p"}
		s.Annotate(now, &o)
		if o.BusyRatio.Known() || len(o.Problems) != 1 || !strings.Contains(o.Problems[0], tt.want) || !strings.Contains(o.Problems[0], endpoint.URL) {
			t.Errorf("%s: got %v and %.200q, want missing and %q", tt.name, o.BusyRatio, o.Problems, tt.want)
		}
		endpoint.CloseClientConnections()
		endpoint.Close()
	}
}

// TestACounterThatLosesSeries, such as one by partition in a rebalance, has not begun anew: what is left of it was not all done since the
// last look.
func TestACounterThatLosesSeries(t *testing.T) {
	for _, tt := range []struct {
		name, after string
		want        series.Value
	}{
		{"it goes on", `{topic="requests",partition="0"} 503|{topic="requests",partition="1"} 503`, series.Of(0.6)},
		{"it loses one", `{topic="requests",partition="0"} 503`, series.Missing},
		{"it begins anew", `{topic="requests",partition="0"} 4`, series.Of(0.4)},
	} {
		answer := `{topic="requests",partition="0"} 500|{topic="requests",partition="1"} 500`
		endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			fmt.Fprintln(w, "# TYPE busy_seconds_total counter")
			for line := range strings.SplitSeq(answer, "|") {
				fmt.Fprintln(w, "busy_seconds_total"+line)
			}
		}))
		s := newTestScraper(t)
		s.config.Histogram = ""
		now := time.Unix(1000, 0)
		for range 2 {
			if err := s.Scrape(t.Context(), now, []string{endpoint.URL}); err != nil {
				t.Fatal(err)
			}
			now, answer = now.Add(10*time.Second), tt.after
		}
		o := series.Observation{Policy: "ns/p"}
		if s.Annotate(now, &o); o.BusyRatio != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, o.BusyRatio, tt.want)
		}
		endpoint.Close()
	}
}

// TestAHistogramThatLosesASeries: what the others have counted since the start is not of this tick.
func TestAHistogramThatLosesASeries(t *testing.T) {
	histogram := func(partition int, quick, slow int) string {
		return fmt.Sprintf("latency_seconds_bucket{partition=\"%[1]d\",le=\"0.1\"} %[2]d\nlatency_seconds_bucket{partition=\"%[1]d\",le=\"10\"} %[3]d\n"+
			"latency_seconds_bucket{partition=\"%[1]d\",le=\"+Inf\"} %[3]d\nlatency_seconds_count{partition=\"%[1]d\"} %[3]d\nlatency_seconds_sum{partition=\"%[1]d\"} 1\n",
			partition, quick, quick+slow)
	}
	counter := func(name string, partition, value int) string {
		return fmt.Sprintf("# TYPE %[1]s counter\n%[1]s{partition=\"%[2]d\"} %[3]d\n", name, partition, value)
	}
	var text string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprint(w, "# TYPE latency_seconds histogram\n", text)
	}))
	defer server.Close()
	config := DefaultScraperConfig()
	config.Policy, config.Histogram, config.Quantile, config.Work, config.Records = "ns/p", "latency_seconds", 0.5, "tokens_total", "requests_total"
	s, err := NewScraper(config, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	tick := func(next string) series.Observation {
		t.Helper()
		text = next
		now = now.Add(10 * time.Second)
		if err := s.Scrape(t.Context(), now, []string{server.URL}); err != nil {
			t.Fatal(err)
		}
		o := series.Observation{Policy: "ns/p", ArrivalRecords: series.Of(1)}
		s.Annotate(now, &o)
		return o
	}
	// An hour of slow answers to large requests, and then ten that are quick and small, while the other partition goes to another replica.
	tick(histogram(0, 0, 5000) + histogram(1, 0, 5000) + counter("tokens_total", 0, 500000) + counter("requests_total", 0, 5000))
	o := tick(histogram(0, 10, 5000) + counter("tokens_total", 0, 500010) + counter("requests_total", 0, 5010))
	if !near(o.LatencySeconds, 0.05, 1e-9) || !near(o.ArrivalWork, 1, 1e-9) {
		t.Errorf("with a series less: latency %v and work %v, want those of the last ten, 0.05 and 1", o.LatencySeconds, o.ArrivalWork)
	}
	// One that comes counts from zero, and one that starts anew too.
	o = tick(histogram(0, 10, 5000) + histogram(2, 0, 3) + counter("tokens_total", 0, 30) + counter("requests_total", 0, 10))
	if !near(o.LatencySeconds, 0.1+9.9/2, 1e-9) || !near(o.ArrivalWork, 3, 1e-9) {
		t.Errorf("with a new one: latency %v and work %v", o.LatencySeconds, o.ArrivalWork)
	}
	o = tick(histogram(0, 4, 0) + histogram(2, 0, 3) + counter("tokens_total", 0, 60) + counter("requests_total", 0, 20))
	if !near(o.LatencySeconds, 0.05, 1e-9) {
		t.Errorf("begun anew: latency %v, want 0.05", o.LatencySeconds)
	}
}
