package externalscaler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/prescale/prescale/metrics/externalscaler/protocol"
)

// counts is a Source: wanted replicas by namespace/policy; a policy that is listed without a count is stale.
type counts struct {
	mu    sync.Mutex
	of    map[string]*float64
	asked chan struct{} // where there is one, each question sends to it
}

func (c *counts) set(policy string, n float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[policy] = &n
}

func (c *counts) Desired(namespace, policy, pool string) (float64, error) {
	if c.asked != nil {
		c.asked <- struct{}{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if pool != "" {
		policy += "/" + pool
		if _, ok := c.of[namespace+"/"+policy]; !ok {
			return 0, fmt.Errorf("%w %s", ErrUnknownPool, pool)
		}
	}
	n, ok := c.of[namespace+"/"+policy]
	switch {
	case !ok:
		return 0, ErrUnknownPolicy
	case n == nil:
		return 0, errors.New("stale: the last sample is 61s old")
	}
	return *n, nil
}

// start runs a server until the test ends.
func start(t *testing.T, cfg Config, source Source, transport credentials.TransportCredentials) protocol.ExternalScalerClient {
	t.Helper()
	client, stop := startUntil(t, cfg, source, transport)
	t.Cleanup(stop)
	return client
}

// startUntil runs a server until stop, which waits for its end.
func startUntil(t *testing.T, cfg Config, source Source, transport credentials.TransportCredentials) (client protocol.ExternalScalerClient, stop func()) {
	t.Helper()
	cfg.Address = "127.0.0.1:0"
	server, err := New(cfg, source, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	connection, err := grpc.NewClient(server.Addr(), grpc.WithTransportCredentials(transport))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return protocol.NewExternalScalerClient(connection), func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func plaintext() Config {
	cfg := DefaultConfig()
	cfg.Plaintext, cfg.Poll = true, time.Millisecond
	return cfg
}

func ref(name string, metadata ...string) *protocol.ScaledObjectRef {
	r := &protocol.ScaledObjectRef{Name: name, Namespace: "ai", ScalerMetadata: map[string]string{"scalerAddress": "x"}}
	if len(metadata) > 0 {
		r.ScalerMetadata["policy"] = metadata[0]
	}
	if len(metadata) > 1 {
		r.ScalerMetadata["pool"] = metadata[1]
	}
	return r
}

func TestKEDAsCalls(t *testing.T) {
	source := &counts{of: map[string]*float64{"ai/stale": nil}}
	source.set("ai/inference", 7)
	source.set("ai/idle", 0)
	source.set("ai/inference/gpu", 5)
	client := start(t, plaintext(), source, insecure.NewCredentials())
	for _, test := range []struct {
		ref    *protocol.ScaledObjectRef
		code   codes.Code
		value  float64
		active bool
	}{
		{ref("web", "inference"), codes.OK, 7, true},
		{ref("inference"), codes.OK, 7, true}, // the ScaledObject's own name
		{ref("web", "idle"), codes.OK, 0, false},
		{ref("web", "stale"), codes.Unavailable, 0, false},
		{ref("web", "nobody"), codes.NotFound, 0, false},
		{ref("web", "inference", "gpu"), codes.OK, 5, true},
		{ref("web", "inference", "tpu"), codes.NotFound, 0, false},
		{ref(""), codes.InvalidArgument, 0, false},
		{&protocol.ScaledObjectRef{Name: "inference"}, codes.InvalidArgument, 0, false}, // without a namespace
	} {
		metrics, err := client.GetMetrics(t.Context(), &protocol.GetMetricsRequest{ScaledObjectRef: test.ref, MetricName: MetricName})
		if status.Code(err) != test.code || err == nil && (metrics.MetricValues[0].MetricValueFloat != test.value || metrics.MetricValues[0].MetricValue != int64(test.value)) {
			t.Errorf("GetMetrics %v: got %v, %v", test.ref, metrics, err)
		}
		active, err := client.IsActive(t.Context(), test.ref)
		if status.Code(err) != test.code || err == nil && active.Result != test.active {
			t.Errorf("IsActive %v: got %v, %v", test.ref, active, err)
		}
		// What is asked for does not depend on there being an answer, or on the policy being there already.
		spec, err := client.GetMetricSpec(t.Context(), test.ref)
		if test.code == codes.InvalidArgument {
			if status.Code(err) != test.code {
				t.Errorf("GetMetricSpec %v: got %v", test.ref, err)
			}
		} else if err != nil || len(spec.MetricSpecs) != 1 || spec.MetricSpecs[0].MetricName != MetricName || spec.MetricSpecs[0].TargetSizeFloat != 1 || spec.MetricSpecs[0].TargetSize != 1 {
			t.Errorf("GetMetricSpec %v: got %v, %v", test.ref, spec, err)
		}
	}
	if _, err := client.GetMetrics(t.Context(), &protocol.GetMetricsRequest{ScaledObjectRef: ref("web", "inference"), MetricName: "other"}); status.Code(err) != codes.NotFound {
		t.Errorf("another metric: got %v", err)
	}
}

func TestStreamsSendChangesOnly(t *testing.T) {
	source := &counts{of: map[string]*float64{"ai/p": nil}, asked: make(chan struct{})}
	client := start(t, plaintext(), source, insecure.NewCredentials())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := client.StreamIsActive(ctx, ref("p"))
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan bool, 10)
	go func() {
		defer close(received)
		for got, err := stream.Recv(); err == nil; got, err = stream.Recv() {
			received <- got.Result
		}
	}()
	// The stream begins with a stale policy and is silent; each change is then received in order, and nothing in between.
	look := func() {
		for range 3 { // the third question comes after all that the first had for an answer
			<-source.asked
		}
	}
	look()
	for _, n := range []float64{3, 4, 0, 0, 2} {
		source.set("ai/p", n)
		look()
	}
	source.mu.Lock()
	source.of["ai/p"] = nil
	source.mu.Unlock()
	look()
	go func() {
		for range source.asked { // the stream ends as the policy does
		}
	}()
	source.mu.Lock()
	delete(source.of, "ai/p")
	source.mu.Unlock()
	var got []bool
	for active := range received {
		got = append(got, active)
	}
	close(source.asked)
	if want := []bool{true, false, true}; !slices.Equal(got, want) {
		t.Errorf("received %v, want %v", got, want)
	}
}

// TestStreamsEndWithTheServer, and keep it from ending no longer.
func TestStreamsEndWithTheServer(t *testing.T) {
	source := &counts{of: map[string]*float64{}}
	source.set("ai/p", 1)
	client, stop := startUntil(t, plaintext(), source, insecure.NewCredentials())
	active, err := client.StreamIsActive(t.Context(), ref("p"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := active.Recv(); err != nil || !got.Result {
		t.Errorf("got %v, %v", got, err)
	}
	specs, err := client.StreamMetricSpec(t.Context(), ref("p"))
	if err != nil {
		t.Fatal(err)
	}
	if spec, err := specs.Recv(); err != nil || spec.MetricSpecs[0].MetricName != MetricName {
		t.Errorf("got %v, %v", spec, err)
	}
	if unnamed, err := client.StreamMetricSpec(t.Context(), ref("")); err == nil {
		if _, err = unnamed.Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("a stream without a policy: got %v", err)
		}
	}
	stop()
	if _, err := active.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("whether it is active: got %v, want the end", err)
	}
	if _, err := specs.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("what is measured: got %v, want the end", err)
	}
}

// TestAPolicyThatIsMadeAgainIsStreamedAgain: a stream ends with its policy, and the next one, which KEDA opens, begins with the new.
func TestAPolicyThatIsMadeAgainIsStreamedAgain(t *testing.T) {
	source := &counts{of: map[string]*float64{}}
	client := start(t, plaintext(), source, insecure.NewCredentials())
	for round, n := range []float64{3, 0, 2} {
		source.set("ai/p", n)
		stream, err := client.StreamIsActive(t.Context(), ref("p"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := stream.Recv(); err != nil || got.Result != (n > 0) {
			t.Errorf("round %d: got %v, %v", round, got, err)
		}
		source.mu.Lock()
		delete(source.of, "ai/p")
		source.mu.Unlock()
		if _, err := stream.Recv(); status.Code(err) != codes.NotFound {
			t.Errorf("round %d: got %v, want the policy's end", round, err)
		}
		if early, err := client.StreamIsActive(t.Context(), ref("p")); err == nil {
			if _, err = early.Recv(); status.Code(err) != codes.NotFound {
				t.Errorf("round %d, before it is made again: got %v", round, err)
			}
		}
	}
}

// TestAStreamThatIsNeverReadDoesNotHoldUpTheEnd: once what waits for its client is all that may, a send of it waits as well.
func TestAStreamThatIsNeverReadDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	cfg := plaintext()
	cfg.Poll = time.Nanosecond
	source := &changing{asked: make(chan struct{})}
	client, stop := startUntil(t, cfg, source, insecure.NewCredentials())
	if _, err := client.StreamIsActive(t.Context(), ref("p")); err != nil {
		t.Fatal(err)
	}
	<-source.asked
	// It asks before each send, so it waits in one when it asks no more.
	for sending := true; sending; {
		select {
		case <-source.asked:
		case <-time.After(time.Second):
			sending = false
		}
	}
	ended := make(chan struct{})
	go func() { stop(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(stopWithin + 5*time.Second):
		t.Error("Run did not return")
	}
}

// changing is a Source whose answer changes with each question between none and one.
type changing struct {
	asked chan struct{}
	n     float64
}

func (c *changing) Desired(string, string, string) (float64, error) {
	c.asked <- struct{}{}
	c.n = 1 - c.n
	return c.n, nil
}

// TestASilentConnectionDoesNotHoldUpTheEnd: who connects and never speaks, as a load balancer's check does, is not waited for longer than a
// handshake may take.
func TestASilentConnectionDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	cfg := plaintext()
	cfg.Address = "127.0.0.1:0"
	server, err := New(cfg, &counts{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	silent, err := net.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := io.ReadFull(silent, make([]byte, 1)); err != nil { // the server's settings: it was accepted
		t.Fatal(err)
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(handshakeTimeout + 5*time.Second):
		silent.Close()
		t.Errorf("Run did not return before the connection ended: %v", <-done)
	}
}
