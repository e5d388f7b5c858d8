//go:build integration

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/prescale/prescale/hack/cluster/rig"
	"github.com/prescale/prescale/metrics/external/certificate"
)

// usage serves metrics.k8s.io for the pods of the real node, in place of metrics-server: what the kubelet measured, a rate
// between its two latest samples of a container.
type usage struct {
	client kubernetes.Interface
	mu     sync.Mutex
	last   map[string]measured // by namespace/pod/container
}

// measured is one sample of a container's CPU time, and the rate that led to it.
type measured struct {
	at      time.Time
	seconds float64
	cores   float64
	known   bool // whether cores is
	bytes   float64
}

var usageLine = regexp.MustCompile(`(?m)^container_(cpu_usage_seconds_total|memory_working_set_bytes)\{container="([^"]+)",namespace="([^"]+)",pod="([^"]+)"\} (\S+) (\d+)$`)

// read takes over what the kubelet says now.
func (u *usage) read(ctx context.Context) error {
	text, err := u.client.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/" + rig.NodeName + "/proxy/metrics/resource").DoRaw(ctx)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, m := range usageLine.FindAllStringSubmatch(string(text), -1) {
		key := m[3] + "/" + m[4] + "/" + m[2]
		value, err := strconv.ParseFloat(m[5], 64)
		if err != nil {
			return err
		}
		millis, err := strconv.ParseInt(m[6], 10, 64)
		if err != nil {
			return err
		}
		now := u.last[key]
		if m[1] == "memory_working_set_bytes" {
			now.bytes = value
		} else if at := time.UnixMilli(millis); at.After(now.at) {
			if !now.at.IsZero() {
				now.cores, now.known = (value-now.seconds)/at.Sub(now.at).Seconds(), true
			}
			now.at, now.seconds = at, value
		}
		u.last[key] = now
	}
	return nil
}

func (u *usage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const root = "/apis/metrics.k8s.io/v1beta1"
	var answer any
	var namespace string
	if _, err := fmt.Sscanf(r.URL.Path, root+"/namespaces/%s", &namespace); err == nil && len(namespace) > len("/pods") {
		list, err := u.pods(r.Context(), namespace[:len(namespace)-len("/pods")], r.URL.Query().Get("labelSelector"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		answer = list
	} else {
		answer = metav1.APIResourceList{
			TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "metrics.k8s.io/v1beta1",
			APIResources: []metav1.APIResource{{Name: "pods", Namespaced: true, Kind: "PodMetrics", Verbs: metav1.Verbs{"get", "list"}}},
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a caller that has gone needs no answer
}

func (u *usage) pods(ctx context.Context, namespace, selector string) (*metricsv1beta1.PodMetricsList, error) {
	pods, err := u.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	list := &metricsv1beta1.PodMetricsList{TypeMeta: metav1.TypeMeta{Kind: "PodMetricsList", APIVersion: "metrics.k8s.io/v1beta1"}}
	for _, pod := range pods.Items {
		m := metricsv1beta1.PodMetrics{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: namespace, Labels: pod.Labels}}
		for _, container := range pod.Spec.Containers {
			s, ok := u.last[namespace+"/"+pod.Name+"/"+container.Name]
			if !ok || !s.known {
				continue
			}
			m.Timestamp = metav1.NewTime(s.at)
			m.Containers = append(m.Containers, metricsv1beta1.ContainerMetrics{Name: container.Name, Usage: corev1.ResourceList{
				corev1.ResourceCPU:    *resource.NewMilliQuantity(int64(s.cores*1000), resource.DecimalSI),
				corev1.ResourceMemory: *resource.NewQuantity(int64(s.bytes), resource.BinarySI),
			}})
		}
		if len(m.Containers) > 0 {
			list.Items = append(list.Items, m)
		}
	}
	return list, nil
}

// serveUsage registers metrics.k8s.io until the returned stop.
func serveUsage(t testing.TB, c *rig.Cluster) (stop func()) {
	t.Helper()
	authority, err := certificate.NewAuthority("usage", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := authority.Issue([]string{"usage.hot.svc"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	serving, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(c.HostIP, "0"))
	if err != nil {
		t.Fatal(err)
	}
	u := &usage{client: clientset(t, c), last: map[string]measured{}}
	server := &http.Server{Handler: u, TLSConfig: &tls.Config{Certificates: []tls.Certificate{serving}}}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			fmt.Println("usage:", err)
		}
	})
	running.Go(func() {
		for ctx.Err() == nil {
			_ = u.read(ctx) // the API server may be away: the next time will do
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
			}
		}
	})
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	apply(t, c, fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: hot}
---
apiVersion: v1
kind: Service
metadata: {name: usage, namespace: hot}
spec: {ports: [{name: https, port: 443, targetPort: %[1]s}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: usage, namespace: hot, labels: {kubernetes.io/service-name: usage}}
addressType: IPv4
ports: [{name: https, port: %[1]s, protocol: TCP}]
endpoints: [{addresses: [%[2]s], conditions: {ready: true}}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  caBundle: %[3]s
  service: {name: usage, namespace: hot, port: 443}
`, port, c.HostIP, base64.StdEncoding.EncodeToString(authority.CertPEM())))
	return sync.OnceFunc(func() { cancel(); server.Close(); running.Wait() })
}
