//go:build integration

package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	externalclient "k8s.io/metrics/pkg/client/external_metrics"

	"github.com/prescale/prescale/hack/cluster/rig"
	"github.com/prescale/prescale/metrics/external"
	"github.com/prescale/prescale/metrics/external/certificate"
)

// values is a Source that a test sets: values by namespace and metric, or an error in their place.
type values struct {
	mu     sync.Mutex
	values map[string][]external.Value
	errs   map[string]error
}

func (v *values) set(namespace, metric string, items ...external.Value) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.values[namespace+"/"+metric], v.errs[namespace+"/"+metric] = items, nil
}

func (v *values) fail(namespace, metric string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.errs[namespace+"/"+metric] = err
}

func (v *values) Metrics() []external.Info {
	return []external.Info{{Name: "prescale_desired_replicas"}, {Name: "prescale_kafka_lag_records"}}
}

func (v *values) Query(namespace, metric string, selector labels.Selector) ([]external.Value, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if metric != "prescale_desired_replicas" && metric != "prescale_kafka_lag_records" {
		return nil, external.ErrUnknownMetric
	}
	if err := v.errs[namespace+"/"+metric]; err != nil {
		return nil, err
	}
	var found []external.Value
	for _, value := range v.values[namespace+"/"+metric] {
		if selector.Matches(value.Labels) {
			found = append(found, value)
		}
	}
	return found, nil
}

func (v *values) ObjectLabels(namespace, name string) (labels.Set, bool) {
	return labels.Set{"team": "search"}, namespace == "ns" && name == "inference"
}

// value is a value observed now, with labels in pairs.
func value(x float64, pairs ...string) external.Value {
	set := labels.Set{}
	for i := 0; i < len(pairs); i += 2 {
		set[pairs[i]] = pairs[i+1]
	}
	return external.Value{Labels: set, Value: x, At: time.Now()}
}

const adapterNamespace = "adapter"

var adapter struct {
	once   sync.Once
	source *values
	stop   func()
	server *external.Server
}

// registered runs our metrics API in this process, registers it with the cluster's aggregator as its users do, and returns
// what it answers from. All tests share it.
func registered(t testing.TB, c *rig.Cluster) *values {
	t.Helper()
	adapter.once.Do(func() { register(t, c) })
	if adapter.source == nil {
		t.Skip("the metrics API could not be registered: see the first test that needed it")
	}
	return adapter.source
}

func register(t testing.TB, c *rig.Cluster) {
	t.Helper()
	authority, err := certificate.NewAuthority("e2e", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := authority.Issue([]string{"prescale." + adapterNamespace + ".svc"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	serving, err := certificate.NewServing(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := external.DefaultConfig()
	cfg.Address = net.JoinHostPort(c.HostIP, "0")
	cfg.Access = external.AccessDelegated
	cfg.Kubeconfig = c.Kubeconfig
	cfg.Certificate = serving
	source := &values{values: map[string][]external.Value{}, errs: map[string]error{}}
	server, err := external.New(cfg, source, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Run(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "metrics API:", err)
		}
	}()
	adapter.stop = func() { cancel(); <-ended }
	adapter.server = server

	_, port, _ := net.SplitHostPort(server.Addr())
	var manifests strings.Builder
	fmt.Fprintf(&manifests, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", adapterNamespace)
	if c.RealNode {
		fmt.Fprintf(&manifests, `---
apiVersion: v1
kind: Service
metadata: {name: prescale, namespace: %[1]s}
spec: {ports: [{name: https, port: 443, targetPort: %[2]s}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: prescale, namespace: %[1]s, labels: {kubernetes.io/service-name: prescale}}
addressType: IPv4
ports: [{name: https, port: %[2]s, protocol: TCP}]
endpoints: [{addresses: [%[3]s], conditions: {ready: true}}]
`, adapterNamespace, port, c.HostIP)
	} else {
		// No endpoint may be on loopback; a name may.
		fmt.Fprintf(&manifests, `---
apiVersion: v1
kind: Service
metadata: {name: prescale, namespace: %[1]s}
spec: {type: ExternalName, externalName: localhost, ports: [{name: https, port: %[2]s}]}
`, adapterNamespace, port)
	}
	servicePort := "443"
	if !c.RealNode {
		servicePort = port
	}
	for _, api := range []struct{ group, version string }{
		{"external.metrics.k8s.io", "v1beta1"}, {"custom.metrics.k8s.io", "v1beta1"}, {"custom.metrics.k8s.io", "v1beta2"},
	} {
		fmt.Fprintf(&manifests, `---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: %[2]s.%[1]s}
spec:
  group: %[1]s
  version: %[2]s
  groupPriorityMinimum: 100
  versionPriority: 100
  caBundle: %[3]s
  service: {name: prescale, namespace: %[4]s, port: %[5]s}
`, api.group, api.version, base64.StdEncoding.EncodeToString(authority.CertPEM()), adapterNamespace, servicePort)
	}
	apply(t, c, manifests.String())
	for _, name := range []string{"v1beta1.external.metrics.k8s.io", "v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"} {
		eventually(t, "the APIService "+name, func() error {
			out, err := c.Kubectl(t.Context(), "get", "apiservice", name, "-o", `jsonpath={.status.conditions[?(@.type=="Available")]}`)
			if err == nil && !strings.Contains(out, `"status":"True"`) {
				err = fmt.Errorf("not available: %s", out)
			}
			return err
		})
	}
	adapter.source = source
}

// get asks the real API server as whoever a client configuration says, and returns status and body.
func get(t testing.TB, config *rest.Config, path string) (int, string) {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimSuffix(config.Host, "/")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

const externalAPI = "/apis/external.metrics.k8s.io/v1beta1"

// The cases of the upstream library's own installer test (custom-metrics-apiserver, pkg/apiserver/installer), asked of our
// server over the wire and through the aggregator. Our objects are namespaced ScalePolicies, so where the library's test has
// nodes and pods this has policies, and root scope finds nothing.
func TestHTTPTableThroughTheAggregator(t *testing.T) {
	c := cluster(t)
	source := registered(t, c)
	source.set("ns", "prescale_kafka_lag_records", value(3, "policy", "inference"), value(4, "policy", "feedback"))
	admin := restConfig(t, c.Kubeconfig)
	custom1, custom2 := "/apis/custom.metrics.k8s.io/v1beta1", "/apis/custom.metrics.k8s.io/v1beta2"
	policies := "/namespaces/ns/scalepolicies.prescale.dev"
	for _, row := range []struct {
		path   string
		status int
		items  int // -1: no list
	}{
		{externalAPI, 200, -1},
		{externalAPI + "/prescale_kafka_lag_records", 404, -1},                                                        // root scope
		{externalAPI + "/namespaces/ns", 404, -1},                                                                     // no metric's name
		{externalAPI + "/namespaces/ns/group/metric", 404, -1},                                                        // a slash in the name
		{externalAPI + "/namespaces/ns/prescale_kafka_lag_records", 200, 2},                                           //
		{externalAPI + "/namespaces/ns/prescale_kafka_lag_records?labelSelector=policy%3Dinference", 200, 1},          // =
		{externalAPI + "/namespaces/ns/prescale_kafka_lag_records?labelSelector=policy%21%3Dinference", 200, 1},       // !=
		{externalAPI + "/namespaces/ns/prescale_kafka_lag_records?labelSelector=policy+in+%28inference,x%29", 200, 1}, // in
		{externalAPI + "/namespaces/ns/prescale_kafka_lag_records?labelSelector=policy+notin+%28x%29", 200, 2},        // notin
		{externalAPI + "/namespaces/ns/prescale_kafka_lag_records?labelSelector=policy", 200, 2},                      // exists
		{externalAPI + "/namespaces/ns/prescale_kafka_lag_records?labelSelector=absent", 200, 0},                      //
		{externalAPI + "/namespaces/ns/nonexistent", 200, 0},                                                          //
		{externalAPI + "/namespaces/other/prescale_kafka_lag_records", 200, 0},                                        // another tenant's
		{custom1 + "/blah", 404, -1},                                                                                  //
		{custom2 + "/blah", 404, -1},                                                                                  //
		{custom2 + policies + "/inference", 404, -1},                                                                  // no metric's name
		{custom1 + policies + "/inference/prescale_kafka_lag_records", 200, 1},                                        //
		{custom2 + policies + "/inference/prescale_kafka_lag_records", 200, 1},                                        //
		{custom2 + policies + "/*/prescale_kafka_lag_records", 200, 2},                                                //
		{custom2 + policies + "/*/prescale_kafka_lag_records?labelSelector=team%3Dsearch", 200, 1},                    //
		{custom2 + policies + "/absent/prescale_kafka_lag_records", 404, -1},                                          //
		{custom2 + policies + "/inference/nonexistent", 404, -1},                                                      //
		{custom2 + "/scalepolicies.prescale.dev/inference/prescale_kafka_lag_records", 404, -1},                       // root scope
		{custom2 + "/namespaces/ns/pods/*/prescale_kafka_lag_records", 404, -1},                                       // not what we describe
	} {
		status, body := get(t, admin, row.path)
		if status != row.status {
			t.Errorf("GET %s: got %d, want %d: %s", row.path, status, row.status, body)
			continue
		}
		if row.items < 0 {
			continue
		}
		var list struct{ Items []json.RawMessage }
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Errorf("GET %s: %v in %s", row.path, err, body)
		} else if len(list.Items) != row.items {
			t.Errorf("GET %s: got %d items, want %d: %s", row.path, len(list.Items), row.items, body)
		}
	}
	if out := kubectl(t, c, "get", "--raw", externalAPI+"/namespaces/ns/prescale_kafka_lag_records?labelSelector="+url.QueryEscape("policy=feedback")); !strings.Contains(out, `"value":"4"`) {
		t.Errorf("kubectl get --raw: got %s, want a value of 4", out)
	}
	list, err := externalclient.NewForConfigOrDie(admin).NamespacedMetrics("ns").List("prescale_kafka_lag_records", labels.SelectorFromSet(labels.Set{"policy": "inference"}))
	if err != nil || len(list.Items) != 1 || list.Items[0].Value.Value() != 3 {
		t.Errorf("k8s.io/metrics client: got %+v, %v, want one value of 3", list, err)
	}
}

func TestWhoMayReadMetrics(t *testing.T) {
	c := cluster(t)
	source := registered(t, c)
	source.set("ns", "prescale_kafka_lag_records", value(3, "policy", "inference"))
	apply(t, c, `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: e2e-metrics-reader}
rules: [{apiGroups: [external.metrics.k8s.io], resources: ["*"], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: e2e-metrics-reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: e2e-metrics-reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: reader}]
`)
	path := externalAPI + "/namespaces/ns/prescale_kafka_lag_records"
	as := func(user string) *rest.Config {
		file, err := c.UserConfig(user)
		if err != nil {
			t.Fatal(err)
		}
		return restConfig(t, file)
	}
	eventually(t, "the reader's role", func() error {
		if status, body := get(t, as("reader"), path); status != 200 {
			return fmt.Errorf("reader: got %d, want 200: %s", status, body)
		}
		return nil
	})
	if status, body := get(t, as("stranger"), path); status != 403 || !strings.Contains(body, "stranger") {
		t.Errorf("stranger: got %d, want 403 that names the user: %s", status, body)
	}
	anonymous := rest.AnonymousClientConfig(restConfig(t, c.Kubeconfig))
	if status, body := get(t, anonymous, path); status != 401 && status != 403 {
		t.Errorf("anonymous: got %d, want 401 or 403: %s", status, body)
	}
	// Past the aggregator, straight at our server: identity headers count for nothing without the aggregator's certificate.
	direct := rest.CopyConfig(anonymous)
	direct.Host = "https://" + adapter.server.Addr()
	direct.TLSClientConfig = rest.TLSClientConfig{Insecure: true}
	client, err := rest.HTTPClientFor(direct)
	if err != nil {
		t.Fatal(err)
	}
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, direct.Host+path, nil)
	request.Header.Set("X-Remote-User", "admin")
	request.Header.Set("X-Remote-Group", "system:masters")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 401 && response.StatusCode != 403 {
		t.Errorf("forged identity headers: got %s, want 401 or 403", response.Status)
	}
}
