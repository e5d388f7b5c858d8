package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/prescale/prescale/metrics/series"
)

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestAnAPIServerThatGivesNoAnswerIsTold: the caches go on telling how many replicas there were.
func TestAnAPIServerThatGivesNoAnswerIsTold(t *testing.T) {
	var answer error
	r := newRig(t, nil, policyObject(t, "a", time.Hour, goodSpec+", scaleTargetRef: {kind: Deployment, name: web}"), policyObject(t, "b", time.Hour, goodSpec))
	transport := r.cfg.Clients.reach.wrap(transportFunc(func(*http.Request) (*http.Response, error) { return nil, answer }))
	ask := func(ctx context.Context, err error) {
		answer = err
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api/pods", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = transport.RoundTrip(request) //nolint:bodyclose // there is none
	}
	r.step(t, 0)
	told := func(policy string, after time.Duration) bool {
		o := series.Observation{Policy: policy}
		r.workloads.Annotate(time.Now().Add(after), &o)
		return strings.Contains(strings.Join(o.Problems, ";"), "the Kubernetes API server gives no answer since")
	}
	given, cancel := context.WithCancel(t.Context())
	cancel()
	ask(given, context.Canceled)
	if told("ai/a", time.Hour) {
		t.Error("a request that was given up is told")
	}
	ask(t.Context(), errors.New("connection refused"))
	if told("ai/a", 0) || !told("ai/a", time.Minute) || told("ai/b", time.Minute) {
		t.Error("no answer: want it told after some seconds, and of policies with a target alone")
	}
	ask(t.Context(), nil)
	if told("ai/a", time.Minute) {
		t.Error("it is told of a server that answers again")
	}
}

// TestConnectedClientsKnowOfSilence: each of their requests goes through what watches for it.
func TestConnectedClientsKnowOfSilence(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	path := filepath.Join(t.TempDir(), "config")
	config := fmt.Sprintf(`{clusters: [{name: c, cluster: {server: %q}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}`, server.URL)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	clients, err := Connect(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clients.Kubernetes.Discovery().ServerVersion(); err == nil {
		t.Fatal("a server that is gone answered")
	}
	if problem := clients.reach.problem(time.Now().Add(time.Minute)); !strings.Contains(problem, "connection refused") {
		t.Errorf("got %q", problem)
	}
}

// TestAnOutageIsLoggedOnce for each policy, and not at every try: for minutes there would be little else in the log.
func TestAnOutageIsLoggedOnce(t *testing.T) {
	r := newRig(t, nil, policyObject(t, "a", time.Hour, goodSpec), policyObject(t, "b", time.Hour, goodSpec))
	var logged bytes.Buffer
	r.cfg.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	var away error
	r.cfg.Clients.Dynamic.(*dynamicfake.FakeDynamicClient).PrependReactor("patch", "scalepolicies", func(clienttesting.Action) (bool, runtime.Object, error) {
		return away != nil, nil, away
	})
	tries := func(n int, err error) {
		away = err
		for range n {
			r.now = r.now.Add(time.Minute)
			r.publish("ai/a", r.now.Minute()%5+1, 1200)
			r.publish("ai/b", r.now.Minute()%5+1, 1200)
			r.tick(t.Context(), r.now)
		}
	}
	for range 2 {
		tries(10, errors.New("connection refused"))
		tries(3, nil)
	}
	if failed, well := strings.Count(logged.String(), "writing a status failed"), strings.Count(logged.String(), "writing a status works again"); failed != 4 || well != 4 {
		t.Errorf("%d failures and %d ends of one were logged, want 4 of two policies in two outages:\n%s", failed, well, logged.String())
	}
}
