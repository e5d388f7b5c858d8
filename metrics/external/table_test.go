package external_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	customclient "k8s.io/metrics/pkg/client/custom_metrics"

	"github.com/prescale/prescale/metrics/external"
)

const (
	em  = "/apis/external.metrics.k8s.io/v1beta1"
	cm1 = "/apis/custom.metrics.k8s.io/v1beta1"
	cm2 = "/apis/custom.metrics.k8s.io/v1beta2"
)

// TestHTTPTable is the table of custom-metrics-apiserver's own pkg/apiserver/installer/apiserver_test.go
// (TestCustomMetricsAPI, TestExternalMetricsAPI) over the wire, with our resource in the place of its nodes and pods, and
// the cases that are ours below it. -1 items: the body is not a list.
func TestHTTPTable(t *testing.T) {
	server := start(t, external.DefaultConfig(), newMemory())
	object := "/namespaces/ai/scalepolicies.prescale.dev/"
	for _, test := range []struct {
		path   string
		status int
		items  int
	}{
		{"/apis/", 200, -1}, // theirs has no discovery root
		{em + "/nonexistent-metric", 404, -1},
		{em + "/namespaces/foo", 404, -1},
		{em + "/namespaces/foo/group/metric", 404, -1},
		{em + "/namespaces/ai/lag", 200, 3},
		{em + "/namespaces/ai/lag?labelSelector=policy%3Dinference", 200, 2},
		{em + "/namespaces/foo/nonexistent-metric", 200, 0},
		{cm1 + "/blah", 404, -1},
		{cm1 + "/nodes/foo", 404, -1},
		{cm1 + "/namespaces/ns/pods/bar", 404, -1},
		{cm1 + object + "*/desired", 200, 2},
		{cm1 + object + "*/desired?labelSelector=tier%3Dgpu", 200, 1},
		{cm1 + object + "inference/desired", 200, 1},

		{em, 200, -1},
		{cm1, 200, -1},
		{cm2, 200, -1},
		{em + "/namespaces/ai/lag?labelSelector=%3D%3D", 400, -1},
		{em + "/namespaces/ai/gone", 503, -1},
		{em + "/namespaces/ai/warming", 503, -1},
		{cm2 + object + "inference/desired", 200, 1},
		{cm2 + object + "*/desired?labelSelector=tier+in+(gpu,cpu)", 200, 2},
		{cm2 + object + "*/desired?labelSelector=!tier", 200, 0},
		{cm2 + object + "nobody/desired", 404, -1},
		{cm2 + object + "inference/unknown", 404, -1},
		{cm2 + object + "*/unknown", 404, -1},
		{cm2 + object + "inference/gone", 503, -1},
		{cm2 + object + "inference/forecast", 400, -1}, // two quantiles: which?
		{cm2 + object + "inference/forecast?metricLabelSelector=quantile%3D0.9", 200, 1},
		{cm2 + "/namespaces/ai/pods/inference/desired", 404, -1},
		{cm2 + "/scalepolicies.prescale.dev/inference/desired", 404, -1}, // not of the cluster
		{cm2 + "/namespaces/shop/scalepolicies.prescale.dev/inference/desired", 404, -1},
		{"/openapi/v2", 200, -1},
		{"/openapi/v3", 200, -1},
		{"/readyz", 200, -1},
		{"/debug/pprof/", 404, -1},
	} {
		response, body := get(t, server, test.path)
		if response.StatusCode != test.status {
			t.Errorf("GET %s: got %d, want %d: %s", test.path, response.StatusCode, test.status, body)
			continue
		}
		if test.items < 0 {
			continue
		}
		var list struct{ Items []any }
		if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Items) != test.items {
			t.Errorf("GET %s: got %d items, want %d: %s", test.path, len(list.Items), test.items, body)
		}
	}
}

func TestDiscoveryIsConstant(t *testing.T) {
	source := newMemory()
	server := start(t, external.DefaultConfig(), source)
	_, before := get(t, server, em)
	source.mu.Lock()
	source.values, source.errs = nil, nil
	source.mu.Unlock()
	if _, after := get(t, server, em); after != before || !strings.Contains(before, `"name":"lag"`) {
		t.Errorf("discovery changed with the policies:\n%s\n%s", before, after)
	}
}

// TestCustomMetricsClient reads an Object metric as the HPA controller does: discovery, REST mapping, versioned client.
func TestCustomMetricsClient(t *testing.T) {
	server := start(t, external.DefaultConfig(), newMemory())
	cfg := server.ClientConfig()
	found, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	// A client of today asks for the aggregated document, where every version must be.
	groups, resources, err := found.ServerGroupsAndResources()
	if err != nil || len(groups) != 2 || len(resources) != 3 {
		t.Fatalf("discovery: %d groups, %d lists of resources, %v", len(groups), len(resources), err)
	}
	// The mapper knows ScalePolicy from the main API server; here it is told.
	mapper := restmapper.NewDiscoveryRESTMapper([]*restmapper.APIGroupResources{scalePolicyResources()})
	client := customclient.NewForConfig(cfg, mapper, customclient.NewAvailableAPIsGetter(found))
	kind := schema.GroupKind{Group: "prescale.dev", Kind: "ScalePolicy"}
	value, err := client.NamespacedMetrics("ai").GetForObject(kind, "inference", "forecast", selector(t, "quantile=0.9"))
	if err != nil {
		t.Fatal(err)
	}
	if value.Value.Value() != 20 || value.DescribedObject.Name != "inference" || value.DescribedObject.Kind != "ScalePolicy" ||
		value.DescribedObject.APIVersion != "prescale.dev/v1alpha1" || !value.Timestamp.Time.Equal(observed) || value.Metric.Selector.MatchLabels["quantile"] != "0.9" {
		t.Errorf("got %+v", value)
	}
	if _, err := client.NamespacedMetrics("ai").GetForObject(kind, "inference", "warming", labels.Everything()); err == nil {
		t.Error("a metric that is not ready gave a value")
	} else if cause, ok := external.CauseOf(err); !ok || cause != external.CauseNotReady {
		t.Errorf("not ready: got %v", err)
	}
	// Of all objects, those whose own labels match; an object of another kind has no such metric.
	list, err := client.NamespacedMetrics("ai").GetForObjects(kind, selector(t, "tier=cpu"), "desired", labels.Everything())
	if err != nil || len(list.Items) != 1 || list.Items[0].DescribedObject.Name != "feedback" || list.Items[0].Value.Value() != 3 {
		t.Errorf("by the objects' labels: got %+v, %v", list, err)
	}
	list, err = client.NamespacedMetrics("ai").GetForObjects(kind, labels.Everything(), "desired", labels.Everything())
	if err != nil || len(list.Items) != 2 || list.Items[0].Metric.Selector != nil {
		t.Errorf("all objects: got %+v, %v", list, err)
	}
	if _, err := client.NamespacedMetrics("ai").GetForObject(kind, "inference", "forecast", labels.Everything()); err == nil || !strings.Contains(err.Error(), "metricLabelSelector=quantile=0.5") {
		t.Errorf("two values for one object: got %v, want a selector that chooses", err)
	}
}

func TestOnlyJSONYAMLAndProtobufOfTheRightVersion(t *testing.T) {
	server := start(t, external.DefaultConfig(), newMemory())
	cfg := rest.CopyConfig(server.ClientConfig())
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for accept, status := range map[string]int{
		"application/json": 200, "application/yaml": 200, "application/vnd.kubernetes.protobuf": 200, "text/html": 406,
	} {
		request, err := http.NewRequest(http.MethodGet, "https://"+server.Addr()+em+"/namespaces/ai/desired", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", accept)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != status {
			t.Errorf("Accept %s: got %d, want %d", accept, response.StatusCode, status)
		}
	}
}

// scalePolicyResources is what discovery says of our type in the main API server.
func scalePolicyResources() *restmapper.APIGroupResources {
	version := metav1.GroupVersionForDiscovery{GroupVersion: "prescale.dev/v1alpha1", Version: "v1alpha1"}
	return &restmapper.APIGroupResources{
		Group: metav1.APIGroup{Name: "prescale.dev", Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version},
		VersionedResources: map[string][]metav1.APIResource{
			"v1alpha1": {{Name: "scalepolicies", SingularName: "scalepolicy", Kind: "ScalePolicy", Namespaced: true, Verbs: metav1.Verbs{"get"}}},
		},
	}
}
