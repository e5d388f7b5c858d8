//go:build integration

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/prescale/prescale/hack/cluster/rig"
)

// sample is what was seen at one moment; NaN is a value that was not to be had.
type sample struct {
	at             time.Duration // since the watch began
	spec, ready    float64
	lagSeconds     float64
	arrival        float64
	forecast       float64
	desired        float64
	desiredProblem string
}

// note marks a moment of the run.
type note struct {
	at   time.Duration
	text string
}

// watch samples the run once a second, and asks for the HPA's metric ten times a second as a client of the aggregator.
type watch struct {
	began  time.Time
	client kubernetes.Interface
	http   *http.Client
	host   string

	mu      sync.Mutex
	samples []sample
	notes   []note
	asked   int
	refused []note // queries that failed, and why
}

// startWatch watches until the test's end or stop.
func startWatch(t testing.TB, c *rig.Cluster) (w *watch, stop func()) {
	t.Helper()
	config := restConfig(t, c.Kubeconfig)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	w = &watch{began: time.Now(), client: kubernetes.NewForConfigOrDie(config), http: client, host: config.Host}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	every := func(interval time.Duration, tick func()) {
		wait.Go(func() {
			ticker := time.NewTicker(interval)
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
					tick()
				}
			}
		})
	}
	every(time.Second, func() { w.sample(ctx) })
	every(100*time.Millisecond, func() { w.poll(ctx) })
	stop = sync.OnceFunc(func() { cancel(); wait.Wait() })
	t.Cleanup(stop)
	return w, stop
}

func (w *watch) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, note{time.Since(w.began), fmt.Sprintf(format, args...)})
}

// metric asks for a policy's metric through the aggregator and returns the largest value.
func (w *watch) metric(ctx context.Context, name string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	path := "/apis/external.metrics.k8s.io/v1beta1/namespaces/ai/" + name + "?labelSelector=" + url.QueryEscape("policy=inference")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.host+path, nil)
	if err != nil {
		return 0, err
	}
	response, err := w.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", response.Status, body)
	}
	var list struct {
		Items []struct {
			Value quantity `json:"value"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return 0, err
	}
	if len(list.Items) == 0 {
		return 0, fmt.Errorf("no values")
	}
	largest := math.Inf(-1)
	for _, item := range list.Items {
		largest = max(largest, float64(item.Value))
	}
	return largest, nil
}

func (w *watch) poll(ctx context.Context) {
	_, err := w.metric(ctx, "prescale_desired_replicas")
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	if err != nil {
		w.refused = append(w.refused, note{time.Since(w.began), err.Error()})
	}
}

func (w *watch) sample(ctx context.Context) {
	orNaN := func(name string) float64 {
		x, err := w.metric(ctx, name)
		if err != nil {
			return math.NaN()
		}
		return x
	}
	s := sample{at: time.Since(w.began), spec: math.NaN(), ready: math.NaN()}
	if d, err := w.client.AppsV1().Deployments("ai").Get(ctx, "inference", metav1.GetOptions{}); err == nil && d.Spec.Replicas != nil {
		s.spec, s.ready = float64(*d.Spec.Replicas), float64(d.Status.ReadyReplicas)
	}
	s.desired = orNaN("prescale_desired_replicas")
	s.lagSeconds = orNaN("prescale_kafka_lag_seconds")
	s.arrival = orNaN("prescale_kafka_arrival_records_per_second")
	s.forecast = orNaN("prescale_forecast_arrival_records_per_second")
	if ctx.Err() == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.samples = append(w.samples, s)
	}
}

// between returns the samples and the failed queries of a span.
func (w *watch) between(from, to time.Duration) (samples []sample, refused []note) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.samples {
		if s.at >= from && s.at <= to {
			samples = append(samples, s)
		}
	}
	for _, r := range w.refused {
		if r.at >= from && r.at <= to {
			refused = append(refused, r)
		}
	}
	return samples, refused
}

// highest returns the largest of a value over samples, ignoring what was not to be had.
func highest(samples []sample, of func(sample) float64) float64 {
	top := math.Inf(-1)
	for _, s := range samples {
		if x := of(s); !math.IsNaN(x) {
			top = max(top, x)
		}
	}
	return top
}

// checkNeverFewer fails the test if the deployment was ever asked for fewer replicas than before within the samples.
func checkNeverFewer(t testing.TB, what string, samples []sample) {
	t.Helper()
	last := math.NaN()
	for _, s := range samples {
		if s.spec < last {
			t.Errorf("%s: the HPA went from %v to %v replicas after %s", what, last, s.spec, s.at.Round(time.Second))
		}
		if !math.IsNaN(s.spec) {
			last = s.spec
		}
	}
}

// report writes the run's picture and what the parts said to the directory artefacts.
func (w *watch) report(t testing.TB, c *rig.Cluster) {
	t.Helper()
	dir := "../../artefacts/e2e"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "# End-to-end run\n\n%d queries of the HPA's metric through the aggregator, %d failed.\n\n## Moments\n\n", w.asked, len(w.refused))
	for _, n := range w.notes {
		fmt.Fprintf(&b, "- %s: %s\n", n.at.Round(time.Second), n.text)
	}
	section := func(title string, args ...string) {
		out, err := c.Kubectl(context.Background(), args...)
		if err != nil {
			out += err.Error()
		}
		fmt.Fprintf(&b, "\n## %s\n\n```\n%s```\n", title, out)
	}
	section("Policies", "get", "scalepolicies", "-A", "-o", "wide")
	section("Events of the policy", "get", "events", "-n", "ai", "--field-selector=involvedObject.kind=ScalePolicy", "--sort-by=.lastTimestamp")
	section("Events of the HPA", "get", "events", "-n", "ai", "--field-selector=involvedObject.kind=HorizontalPodAutoscaler", "--sort-by=.lastTimestamp")
	section("Status of the policy", "get", "scalepolicy", "inference", "-n", "ai", "-o", "yaml")
	section("Pods", "get", "pods", "-A", "-o", "wide")
	picture := filepath.Join(dir, "run.svg")
	if err := os.WriteFile(filepath.Join(dir, "run.md"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(picture, []byte(draw(w.samples, w.notes)), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("the run's picture is artefacts/e2e/run.svg, its report run.md beside it")
}
