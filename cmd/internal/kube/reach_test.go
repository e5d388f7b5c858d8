package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
