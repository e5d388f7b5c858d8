//go:build integration

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/prescale/prescale/hack/openloop"
	"github.com/prescale/prescale/metrics/external"
)

// BenchmarkServingThroughTheAggregator asks the real API server, which authenticates, authorizes and proxies, for 5,000 metrics 200
// times a second. Run it on a machine that does nothing else: the control plane is on it too.
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
	openloop.Bench(b, rate, span, ask)
}
