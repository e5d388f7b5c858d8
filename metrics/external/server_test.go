package external_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	externalclient "k8s.io/metrics/pkg/client/external_metrics"

	"github.com/prescale/prescale/metrics/external"
)

// memory is a Source for tests: values by namespace and metric, or an error in their place.
type memory struct {
	mu      sync.Mutex
	names   []string
	values  map[string][]external.Value
	errs    map[string]error
	objects map[string]labels.Set
}

func (m *memory) Metrics() []external.Info {
	var infos []external.Info
	for _, name := range m.names {
		infos = append(infos, external.Info{Name: name})
	}
	return infos
}

func (m *memory) Query(namespace, metric string, selector labels.Selector) ([]external.Value, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := false
	for _, name := range m.names {
		known = known || name == metric
	}
	if !known {
		return nil, external.ErrUnknownMetric
	}
	if err := m.errs[namespace+"/"+metric]; err != nil {
		return nil, err
	}
	var found []external.Value
	for _, v := range m.values[namespace+"/"+metric] {
		if selector.Matches(v.Labels) {
			found = append(found, v)
		}
	}
	return found, nil
}

func (m *memory) ObjectLabels(namespace, name string) (labels.Set, bool) {
	set, ok := m.objects[namespace+"/"+name]
	return set, ok
}

var observed = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func newMemory() *memory {
	of := func(x float64, pairs ...string) external.Value {
		set := labels.Set{}
		for i := 0; i < len(pairs); i += 2 {
			set[pairs[i]] = pairs[i+1]
		}
		return external.Value{Labels: set, Value: x, At: observed}
	}
	return &memory{
		names: []string{"desired", "forecast", "gone", "lag", "warming"},
		values: map[string][]external.Value{
			"ai/lag":       {of(1234.5, "policy", "inference", "topic", "b"), of(0, "policy", "inference", "topic", "a"), of(7, "policy", "feedback", "topic", "c")},
			"ai/desired":   {of(12, "policy", "inference"), of(3, "policy", "feedback")},
			"ai/forecast":  {of(10, "policy", "inference", "quantile", "0.5"), of(20, "policy", "inference", "quantile", "0.9")},
			"ai/gone":      {{Labels: labels.Set{"policy": "inference"}, Value: 5, At: observed, Expires: observed.Add(45 * time.Second)}},
			"shop/desired": {of(99, "policy", "orders")},
		},
		errs: map[string]error{
			"ai/warming": &external.UnavailableError{Cause: external.CauseNotReady, Detail: "policy ai/inference has no observation yet", RetryAfter: 15 * time.Second},
		},
		objects: map[string]labels.Set{"ai/inference": {"tier": "gpu"}, "ai/feedback": {"tier": "cpu"}},
	}
}

// start runs a server on a free loopback port until the test ends.
func start(tb testing.TB, cfg external.Config, source external.Source) *external.Server {
	tb.Helper()
	server, err := external.New(cfg, source, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	client := httpClient(tb, server)
	for {
		response, err := client.Get("https://" + server.Addr() + "/livez")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return server
			}
		}
		if tb.Context().Err() != nil {
			tb.Fatalf("not live: %v", err)
		}
	}
}

func httpClient(tb testing.TB, server *external.Server) *http.Client {
	tb.Helper()
	client, err := rest.HTTPClientFor(server.ClientConfig())
	if err != nil {
		tb.Fatal(err)
	}
	return client
}

// get returns the status and body of a GET.
func get(t *testing.T, server *external.Server, path string) (*http.Response, string) {
	t.Helper()
	response, err := httpClient(t, server).Get("https://" + server.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func selector(t *testing.T, text string) labels.Selector {
	t.Helper()
	s, err := labels.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestExternalMetricsClient(t *testing.T) {
	server := start(t, external.DefaultConfig(), newMemory())
	client, err := externalclient.NewForConfig(server.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ namespace, metric, selector, want string }{
		{"ai", "desired", "policy=inference", "12{policy=inference}"},
		{"ai", "lag", "", "7{policy=feedback,topic=c} 0{policy=inference,topic=a} 1234500m{policy=inference,topic=b}"},
		{"ai", "lag", "policy=inference,topic!=a", "1234500m{policy=inference,topic=b}"},
		{"ai", "lag", "topic in (a,c)", "7{policy=feedback,topic=c} 0{policy=inference,topic=a}"},
		{"ai", "lag", "topic notin (a,c)", "1234500m{policy=inference,topic=b}"},
		{"ai", "forecast", "quantile", "10{policy=inference,quantile=0.5} 20{policy=inference,quantile=0.9}"},
		{"ai", "forecast", "!quantile", ""},
		{"ai", "lag", "policy=nobody", ""},
		{"ai", "unknown", "", ""},
		{"shop", "desired", "", "99{policy=orders}"}, // a namespace sees its own values only
		{"other", "desired", "", ""},
	} {
		list, err := client.NamespacedMetrics(test.namespace).List(test.metric, selector(t, test.selector))
		if err != nil {
			t.Errorf("%+v: %v", test, err)
			continue
		}
		var got []string
		for _, item := range list.Items {
			got = append(got, item.Value.String()+"{"+labels.Set(item.MetricLabels).String()+"}")
			if item.MetricName != test.metric || !item.Timestamp.Time.Equal(observed) {
				t.Errorf("%+v: got metric %s at %v, want %s at %v", test, item.MetricName, item.Timestamp, test.metric, observed)
			}
		}
		if joined := strings.Join(got, " "); joined != test.want {
			t.Errorf("%+v: got %s", test, joined)
		}
		if list.Items == nil {
			t.Errorf("%+v: items is null, want a list", test)
		}
	}
}

func TestStaleAndNotReadyAreErrorsThatSayWhich(t *testing.T) {
	server := start(t, external.DefaultConfig(), newMemory())
	// The transport counts, because client-go would follow a Retry-After header by asking ten more times.
	requests := 0
	cfg := server.ClientConfig()
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			requests++
			return next.RoundTrip(r)
		})
	})
	client, err := externalclient.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		metric string
		cause  external.Cause
		words  string
	}{
		{"gone", external.CauseStale, "stale"},
		{"warming", external.CauseNotReady, "not ready: policy ai/inference has no observation yet"},
	} {
		requests = 0
		_, err := client.NamespacedMetrics("ai").List(test.metric, labels.Everything())
		if cause, ok := external.CauseOf(err); !ok || cause != test.cause || !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%s: got %v", test.metric, err)
		}
		if requests != 1 {
			t.Errorf("%s: the client asked %d times, want once", test.metric, requests)
		}
		response, body := get(t, server, "/apis/external.metrics.k8s.io/v1beta1/namespaces/ai/"+test.metric)
		if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
			t.Errorf("%s: got %s with Retry-After %q: %s", test.metric, response.Status, response.Header.Get("Retry-After"), body)
		}
		var status metav1.Status
		if err := json.Unmarshal([]byte(body), &status); err != nil || status.Kind != "Status" || status.Details.RetryAfterSeconds == 0 {
			t.Errorf("%s: got %s", test.metric, body)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
