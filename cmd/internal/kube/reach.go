package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// reach knows since when the API server gives no answer. The caches then stay as they were and say nothing of it: the client tries
// again by itself. The zero value is of a server that answers, and so is nil.
type reach struct {
	mu    sync.Mutex
	since time.Time
	err   error
}

// silentFor is how long the API server must give no answer before it is told: a connection that is lost is made again within it.
const silentFor = 10 * time.Second

// problem says since when there is no answer, empty where there is one.
func (r *reach) problem(now time.Time) string {
	if r == nil {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil || now.Sub(r.since) < silentFor {
		return ""
	}
	return fmt.Sprintf("the Kubernetes API server gives no answer since %s, and replicas are as they were then: %v",
		r.since.UTC().Format(time.RFC3339), r.err)
}

// wrap returns a transport that tells r what becomes of its requests.
func (r *reach) wrap(next http.RoundTripper) http.RoundTripper { return &reachTransport{r, next} }

type reachTransport struct {
	reach *reach
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper. A request that its caller gave up tells nothing; one whose time ran out was not answered.
func (t *reachTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.next.RoundTrip(request)
	t.reach.mu.Lock()
	defer t.reach.mu.Unlock()
	switch {
	case err == nil:
		t.reach.err = nil
	case t.reach.err == nil && !errors.Is(request.Context().Err(), context.Canceled):
		t.reach.err, t.reach.since = err, time.Now() //nolint:forbidigo // a transport has no other clock
	}
	return response, err
}

// WrappedRoundTripper lets client-go find the transport below.
func (t *reachTransport) WrappedRoundTripper() http.RoundTripper { return t.next }
