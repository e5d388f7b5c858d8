//go:build integration

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/prescale/prescale/metrics/external"
)

// BenchmarkServingThroughTheAggregator asks the real API server, which authenticates, authorizes and proxies, for 5,000 metrics 200
// times a second on a schedule that does not wait for answers. The latency counts from the moment at which a query was due. Run it
// with -benchtime=1x on a machine that does nothing else: the control plane is on it too.
func BenchmarkServingThroughTheAggregator(b *testing.B) {
	const (
		rate, span           = 200, 15 * time.Second
		namespaces, policies = 50, 5000
	)
	c := cluster(b)
	source := registered(b, c)
	byNamespace := make([][]external.Value, namespaces)
	for i := range policies {
		n := i % namespaces
		byNamespace[n] = append(byNamespace[n], value(float64(1+i%40), "policy", fmt.Sprintf("policy%d", i)))
	}
	for n, values := range byNamespace {
		source.set(fmt.Sprintf("ns%d", n), "prescale_desired_replicas", values...)
	}
	config := rest.CopyConfig(restConfig(b, c.Kubeconfig))
	config.QPS = -1
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		b.Fatal(err)
	}
	ask := func(i int) error {
		path := fmt.Sprintf("%s/namespaces/ns%d/prescale_desired_replicas?labelSelector=policy%%3Dpolicy%d", externalAPI, i%policies%namespaces, i%policies)
		response, err := client.Get(strings.TrimSuffix(config.Host, "/") + path)
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
	for i := range rate {
		if err := ask(i); err != nil { // connections and caches of authorization are there then
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for range b.N {
		latencies := make([]time.Duration, int(span.Seconds()*rate))
		errs := make([]error, len(latencies))
		begin := time.Now()
		var asked sync.WaitGroup
		for i := range latencies {
			due := begin.Add(time.Duration(i) * time.Second / rate)
			time.Sleep(time.Until(due))
			asked.Go(func() {
				errs[i] = ask(i * 7)
				latencies[i] = time.Since(due)
			})
		}
		asked.Wait()
		for _, err := range errs {
			if err != nil {
				b.Fatal(err)
			}
		}
		slices.Sort(latencies)
		at := func(q float64) float64 {
			return float64(latencies[int(q*float64(len(latencies)-1))]) / float64(time.Millisecond)
		}
		b.ReportMetric(at(0.5), "p50-ms")
		b.ReportMetric(at(0.99), "p99-ms")
		b.ReportMetric(at(1), "max-ms")
	}
	b.ReportMetric(0, "ns/op")
}
