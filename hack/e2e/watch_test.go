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

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/hack/cluster/rig"
)

// sample is what was seen at one moment; NaN is a value that was not to be had.
type sample struct {
	at          time.Duration // since the watch began
	spec, ready float64
	lagSeconds  float64
	arrival     float64
	forecast    float64
	desired     float64
}

// note marks a moment of the run.
type note struct {
	at   time.Duration
	text string
}

// count is how many replicas the deployment was asked to have from a moment on.
type count struct {
	at       time.Duration
	replicas int
}

// watch samples the run once a second, follows the HPA and what it does, and asks for its metric ten times a second as a client
// of the aggregator.
type watch struct {
	began  time.Time
	client kubernetes.Interface
	kafka  *kgo.Client
	http   *http.Client
	host   string

	mu      sync.Mutex
	samples []sample
	answers []answer
	counts  []count
	// notes are the marked moments, hpa what the HPA's status said at each change, changes those of the replicas, in words.
	notes, hpa, changes []note
}

// startWatch watches until the test's end or stop.
func startWatch(t testing.TB, c *rig.Cluster, kafka *kgo.Client) (w *watch, stop func()) {
	t.Helper()
	config := restConfig(t, c.Kubeconfig)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	w = &watch{began: time.Now(), client: kubernetes.NewForConfigOrDie(config), kafka: kafka, http: client, host: config.Host}
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
	every(200*time.Millisecond, func() { w.follow(ctx) })
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
	value, _, err := w.query(ctx, name)
	return value, err
}

// query is metric with the time at which the value was observed.
func (w *watch) query(ctx context.Context, name string) (value float64, observed time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	path := "/apis/external.metrics.k8s.io/v1beta1/namespaces/ai/" + name + "?labelSelector=" + url.QueryEscape("policy=inference")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.host+path, nil)
	if err != nil {
		return 0, time.Time{}, err
	}
	response, err := w.http.Do(request)
	if err != nil {
		return 0, time.Time{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, time.Time{}, err
	}
	if response.StatusCode != http.StatusOK {
		var status metav1.Status
		if json.Unmarshal(body, &status) == nil && status.Message != "" {
			body = []byte(status.Message)
		}
		return 0, time.Time{}, fmt.Errorf("%s: %s", response.Status, body)
	}
	var list struct {
		Items []struct {
			Value     quantity  `json:"value"`
			Timestamp time.Time `json:"timestamp"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return 0, time.Time{}, err
	}
	if len(list.Items) == 0 {
		return 0, time.Time{}, fmt.Errorf("no values")
	}
	value = math.Inf(-1)
	for _, item := range list.Items {
		value, observed = max(value, float64(item.Value)), item.Timestamp
	}
	return value, observed, nil
}

func (w *watch) poll(ctx context.Context) {
	a := answer{asked: time.Since(w.began)}
	var err error
	a.value, a.observed, err = w.query(ctx, "prescale_desired_replicas")
	if ctx.Err() != nil {
		return
	}
	a.came = time.Since(w.began)
	if err != nil {
		a.value, a.problem = math.NaN(), err.Error()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers = append(w.answers, a)
}

// follow notes what changed of the deployment's replicas and of the HPA's status.
func (w *watch) follow(ctx context.Context) {
	d, err := w.client.AppsV1().Deployments("ai").Get(ctx, "inference", metav1.GetOptions{})
	if err != nil || d.Spec.Replicas == nil {
		return
	}
	h, err := w.client.AutoscalingV2().HorizontalPodAutoscalers("ai").Get(ctx, "inference", metav1.GetOptions{})
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Since(w.began)
	n := int(*d.Spec.Replicas)
	if last := len(w.counts) - 1; last < 0 || w.counts[last].replicas != n {
		w.counts = append(w.counts, count{now, n})
		w.changes = append(w.changes, note{now, fmt.Sprintf("the deployment is asked for %d replicas", n)})
	}
	said := sayHPA(h)
	if last := len(w.hpa) - 1; last < 0 || w.hpa[last].text != said {
		w.hpa = append(w.hpa, note{now, said})
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

// between returns the samples of a span, and the queries made in it that failed.
func (w *watch) between(from, to time.Duration) (samples []sample, refused []answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.samples {
		if s.at >= from && s.at <= to {
			samples = append(samples, s)
		}
	}
	for _, a := range w.answers {
		if a.asked >= from && a.asked <= to && a.problem != "" {
			refused = append(refused, a)
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

// report writes the run's picture and what the parts said to the directory artefacts.
func (w *watch) report(t testing.TB, c *rig.Cluster) {
	t.Helper()
	dir := "../../artefacts/e2e"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	story := w.story(0, math.MaxInt64)
	_, refused := w.between(0, math.MaxInt64)
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "# End-to-end run\n\n%d queries of the HPA's metric through the aggregator, %d failed.\n\n## Moments\n\n", len(w.answers), len(refused))
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
	fmt.Fprintf(&b, "\n## What happened\n\n```\n%s```\n", story)
	picture := filepath.Join(dir, "run.svg")
	if err := os.WriteFile(filepath.Join(dir, "run.md"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(picture, []byte(draw(w.samples, w.notes)), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("the run's picture is artefacts/e2e/run.svg, its report run.md beside it")
}
