//go:build integration

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/trace"
	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/metrics/collector/latency"
	"github.com/prescale/prescale/metrics/series"
)

// TestWorkOfTheInferenceService reads the work of a request, in seconds of a replica, from the counters that the inference service
// has: of as many requests, first light ones and then those that take eight times as long.
func TestWorkOfTheInferenceService(t *testing.T) {
	cluster, err := startKafka(1)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	opts := func(id string) []kgo.Opt { return clientOpts(cluster, id) }
	client, err := kgo.NewClient(opts("test")...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	examples := newStream(1, time.Hour)
	if err := publishFirstModel(t.Context(), client, examples, time.Now()); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	web := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer web.Close()
	config := latency.DefaultScraperConfig()
	config.Policy, config.Work, config.Records = "ai/inference", "prescale_inference_busy_seconds_total", "prescale_inference_requests_total"
	scraper, err := latency.NewScraper(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	const requests = 200
	// worth returns the work of one of the requests that a replica of the service time answers.
	worth := func(service time.Duration) (seconds float64) {
		ctx, stop := context.WithCancel(t.Context())
		ready, done := make(chan struct{}), make(chan error, 1)
		clock := trace.NewClock(time.Now(), time.Now(), 1)
		go func() {
			done <- inferenceReplica(opts, clock, service, registry, slog.New(slog.DiscardHandler))(ctx, 0, func() { close(ready) })
		}()
		defer func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		select {
		case <-ready:
		case err := <-done:
			t.Fatal(err)
		}
		at := time.Now()
		look := func() series.Observation {
			at = at.Add(time.Second)
			if err := scraper.Scrape(t.Context(), at, []string{web.URL}); err != nil {
				t.Fatal(err)
			}
			o := series.Observation{Policy: config.Policy, ArrivalRecords: series.Of(requests)}
			scraper.Annotate(at, &o)
			return o
		}
		scraper.Forget()
		look()
		for i := range requests {
			features, _ := examples.example(i, 0)
			value := event.Request{ID: fmt.Sprintf("%v-%d", service, i), RequestedAt: time.Now(), Features: features}.Append(nil)
			client.Produce(t.Context(), &kgo.Record{Topic: event.TopicRequests, Value: value}, nil)
		}
		if err := client.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			if o := look(); o.ArrivalWork.Known() {
				return o.ArrivalWork.Or(0) / requests
			}
		}
		t.Fatal("nothing was answered within two minutes")
		return 0
	}
	light, heavy := worth(5*time.Millisecond), worth(40*time.Millisecond)
	t.Logf("a light request is %.4f s of a replica, a heavy one %.4f", light, heavy)
	// A request takes at least its service time; what a transaction takes besides is shared by its batch.
	if light < 0.005 || heavy < 0.04 || heavy <= light {
		t.Errorf("a light request is %.4f s of a replica, a heavy one %.4f; want at least 0.005 and 0.04, and the second more", light, heavy)
	}
}
