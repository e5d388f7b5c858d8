//go:build integration

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prescale/prescale/hack/cluster/rig"
)

// callers ask inference over HTTP, each on a connection of its own that it keeps, callPause after each answer.
const (
	callers   = 4
	callPause = 20 * time.Millisecond
)

// startCalls asks inference's service from outside the cluster until the returned stop is called, which fails the test if a call failed.
func startCalls(t testing.TB, c *rig.Cluster) (stop func()) {
	t.Helper()
	port := kubectl(t, c, "get", "service", "inference", "-n", "ai", "-o", "jsonpath={.spec.ports[0].nodePort}")
	url := fmt.Sprintf("http://%s:%s/v2/models/default/infer", c.NodeIP, port)
	const body = `{"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}`
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var answered atomic.Int64
	for range callers {
		client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
		group.Go(func() {
			defer client.CloseIdleConnections()
			for ; ctx.Err() == nil; time.Sleep(callPause) {
				response, err := client.Post(url, "application/json", strings.NewReader(body))
				if err != nil {
					t.Errorf("a call after %d that were answered: %v", answered.Load(), err)
					continue
				}
				text, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != http.StatusOK {
					t.Errorf("a call after %d that were answered: %s, %v: %s", answered.Load(), response.Status, err, text)
				}
				answered.Add(1)
			}
		})
	}
	return func() {
		cancel()
		group.Wait()
		t.Logf("%d calls were answered", answered.Load())
		if answered.Load() < callers {
			t.Errorf("only %d calls were answered", answered.Load())
		}
	}
}
