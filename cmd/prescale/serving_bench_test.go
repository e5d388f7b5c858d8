package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/prescale/prescale/cmd/internal/metricsapi"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/hack/openloop"
	"github.com/prescale/prescale/metrics/external"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// fill publishes one tick for every policy and returns how many metrics there are then.
func fill(store *readmodel.Store, policies int) int {
	metrics := 0
	for i := range policies {
		e := readmodel.Entry{
			Policy: fmt.Sprintf("ns%d/policy%d", i%50, i), At: time.Now(), Interval: time.Hour, Usable: true,
			Labels: map[string]string{"cluster": "main", "group": "g" + strconv.Itoa(i), "topic": "t" + strconv.Itoa(i)},
			Observation: series.Observation{
				Interval: 15 * time.Second, ArrivalRecords: series.Of(1500), LagRecords: series.Of(float64(i)), LagSeconds: series.Of(1.5), LatencySeconds: series.Of(0.02),
			},
			Decision: scaler.Decision{DesiredReplicas: 1 + i%40},
		}
		for _, level := range []float64{0.5, 0.8, 0.9, 0.95, 0.99} {
			e.Decision.ArrivalForecast = append(e.Decision.ArrivalForecast, scaler.QuantileValue{Level: level, Value: 100 * level})
		}
		metrics += len(e.Metrics())
		store.Publish(e)
	}
	return metrics
}

// BenchmarkServing asks the metrics API over TLS 200 times a second, as the HPAs of a large cluster do, and reports the memory of the
// whole process besides the latencies (hack/bench/serving.sh).
func BenchmarkServing(b *testing.B) {
	for _, policies := range []int{500, 3000} {
		store := readmodel.NewStore(time.Now)
		metrics := fill(store, policies)
		b.Run(fmt.Sprintf("policies=%d/metrics=%d", policies, metrics), func(b *testing.B) {
			server, err := external.New(external.DefaultConfig(), metricsapi.Source{Store: store}, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- server.Run(ctx) }()
			defer func() {
				cancel()
				if err := <-done; err != nil {
					b.Error(err)
				}
			}()
			client, err := rest.HTTPClientFor(server.ClientConfig())
			if err != nil {
				b.Fatal(err)
			}
			ask := func(i int) error {
				path := fmt.Sprintf("/apis/external.metrics.k8s.io/v1beta1/namespaces/ns%d/%s?labelSelector=policy%%3Dpolicy%d", i%policies%50, readmodel.DesiredReplicas, i%policies)
				response, err := client.Get("https://" + server.Addr() + path)
				if err != nil {
					return err
				}
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				if err == nil && (response.StatusCode != http.StatusOK || strings.Count(string(body), `"metricName"`) != 1) {
					err = fmt.Errorf("%s: %s", response.Status, body)
				}
				return err
			}
			for ask(0) != nil { // until it serves
				time.Sleep(time.Millisecond)
			}
			openloop.Bench(b, 200, 15*time.Second, ask)
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
			b.ReportMetric(rss(b)/(1<<20), "rss-MiB")
		})
	}
}

// rss returns the resident memory of this process in bytes, the client's included.
func rss(b *testing.B) float64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skipf("memory is only measured on Linux: %v", err)
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(data))[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * float64(os.Getpagesize())
}
