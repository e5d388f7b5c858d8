package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/kube"
)

// unavailable is an API server's answer for an aggregated API whose server is down.
const unavailable = `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "ServiceUnavailable", "message": "error trying to reach service", "code": 503}`

// apiServer serves what check asks of an API server, and returns the kubeconfig for it. An empty answer is a 404.
func apiServer(t *testing.T, policies, hpas string) string {
	t.Helper()
	return apiServerWith(t, policies, hpas, `{"kind": "APIResourceList", "resources": []}`)
}

// apiServerWith is apiServer with another answer of the metrics API.
func apiServerWith(t *testing.T, policies, hpas, metricsAPI string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := ""
		switch r.URL.Path {
		case "/version":
			answer = `{"major": "1", "minor": "34+", "gitVersion": "v1.34.1"}`
		case "/apis/external.metrics.k8s.io/v1beta1":
			answer = metricsAPI
		case "/apis/prescale.dev/v1alpha1/scalepolicies", "/apis/prescale.dev/v1alpha1/namespaces/shop/scalepolicies":
			answer = policies
		case "/apis/autoscaling/v2/horizontalpodautoscalers", "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers":
			answer = hpas
		}
		w.Header().Set("Content-Type", "application/json")
		switch {
		case answer == unavailable:
			w.WriteHeader(http.StatusServiceUnavailable)
		case answer == "":
			w.WriteHeader(http.StatusNotFound)
			answer = `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}`
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: %q}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n", server.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func policyList(items ...string) string {
	return `{"kind": "ScalePolicyList", "apiVersion": "prescale.dev/v1alpha1", "metadata": {}, "items": [` + strings.Join(items, ",") + `]}`
}

func policyItem(name, target string) string {
	return fmt.Sprintf(`{"kind": "ScalePolicy", "apiVersion": "prescale.dev/v1alpha1", "metadata": {"name": %q, "namespace": "shop"},
		"spec": {"scaleTargetRef": {"kind": "Deployment", "name": %q}, "kafka": {"group": "g"}, "objective": {"lagSeconds": 30}, "replicas": {"min": 1, "max": 24}},
		"status": {"partitions": 16}}`, name, target)
}

func hpaList(items ...string) string {
	return `{"kind": "HorizontalPodAutoscalerList", "apiVersion": "autoscaling/v2", "metadata": {}, "items": [` + strings.Join(items, ",") + `]}`
}

func hpaItem(policy string, most int, behavior string) string {
	return fmt.Sprintf(`{"metadata": {"name": %[1]q, "namespace": "shop"}, "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": %[1]q},
		"minReplicas": 1, "maxReplicas": %[2]d, "behavior": %[3]s, "metrics": [{"type": "External", "external": {"metric": {"name": "prescale_desired_replicas",
		"selector": {"matchLabels": {"policy": %[1]q}}}, "target": {"type": "AverageValue", "averageValue": "1"}}}]}}`, policy, most, behavior)
}

func TestCheckLooksAtACluster(t *testing.T) {
	const good = `{"scaleUp": {"tolerance": "0"}, "scaleDown": {"tolerance": "0"}}`
	orders := policyItem("orders", "orders")
	for _, test := range []struct {
		name           string
		policies, hpas string
		args           []string
		code           int
		words          string // in the output, or in the error where there is none
	}{
		{"narrow", policyList(orders), hpaList(hpaItem("orders", 16, good)), nil, 1, "may ask for 24"},
		{"followed", policyList(strings.Replace(orders, `"max": 24`, `"max": 16`, 1)), hpaList(hpaItem("orders", 16, good)), nil, 0, "shop/orders  ok     its HPA follows it"},
		{"tolerance on 1.34", policyList(orders), hpaList(hpaItem("orders", 24, `{}`)), []string{"-n", "shop"}, 1, "HPAConfigurableTolerance"},
		{"above partitions", policyList(orders), hpaList(hpaItem("orders", 24, good)), nil, 1, "the topics have 16 partitions"},
		{"no HPA", policyList(orders), hpaList(), nil, 1, "Broken  NoHPA"},
		{"two policies on one target", policyList(orders, policyItem("rush", "orders")), hpaList(hpaItem("orders", 24, good)), nil, 1, "Conflict: Deployment orders is scaled by the older policy orders"},
		{"no policies", policyList(), hpaList(), nil, 0, "no policies"},
		{"no definition", "", hpaList(), nil, 1, "manifests/crd"},
	} {
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), append([]string{"check", "--kubeconfig", apiServer(t, test.policies, test.hpas)}, test.args...), &stdout, &stderr)
		text := stdout.String()
		if err != nil {
			text += err.Error()
		}
		if code := command.ExitCode(err); code != test.code || !strings.Contains(text, test.words) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s", test.name, code, test.code, test.words, text)
		}
	}

	followed, sixteen := policyList(strings.Replace(orders, `"max": 24`, `"max": 16`, 1)), hpaList(hpaItem("orders", 16, good))
	for name, answer := range map[string]string{"which the cluster does not serve. Deploy": "", "which does not answer: ": unavailable} {
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), []string{"check", "--kubeconfig", apiServerWith(t, followed, sixteen, answer)}, &stdout, &stderr)
		if code := command.ExitCode(err); code != 1 || !strings.Contains(stdout.String(), "NoMetricsAPI: HPA orders: it reads external.metrics.k8s.io/v1beta1, "+name) {
			t.Errorf("metrics API: exit code %d, want 1 with %q:\n%s", code, name, stdout.String())
		}
	}

	var stdout, stderr bytes.Buffer
	err := run(t.Context(), []string{"check", "-o", "json", "--kubeconfig", apiServer(t, policyList(orders), hpaList())}, &stdout, &stderr)
	var report kube.Report
	if jsonErr := json.Unmarshal(stdout.Bytes(), &report); jsonErr != nil || command.ExitCode(err) != 1 || report.Version != "v1.34.1" ||
		len(report.Policies) != 1 || report.Policies[0].Policy != "shop/orders" || len(report.Policies[0].Findings) != 1 || report.Policies[0].Findings[0].Code != "NoHPA" {
		t.Errorf("as JSON: %v, %v, %s", err, jsonErr, stdout.String())
	}
}

func TestCheckOfTheFilesPoliciesInACluster(t *testing.T) {
	file := filepath.Join(t.TempDir(), "prescale.yaml")
	content := "clusters: {main: {brokers: ['kafka:9092']}}\npolicies: [{metadata: {name: orders, namespace: shop}, spec: {kafka: {group: g}, objective: {lagSeconds: 3}, replicas: {max: 4}}}]\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	// The cluster has no ScalePolicy, which is well where the file has the policies.
	err := run(t.Context(), []string{"check", "--config", file, "--kubeconfig", apiServer(t, "", hpaList(hpaItem("orders", 4, `{}`)))}, &stdout, &stderr)
	if err != nil || !strings.Contains(stdout.String(), "shop/orders  ok") {
		t.Errorf("got %v and:\n%s", err, stdout.String())
	}
}

func TestTheConfigurationThatTheHelpShowsIsOne(t *testing.T) {
	var help, stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"serve", "-h"}, &help, &stderr); err != nil || !strings.Contains(help.String(), leastConfig) {
		t.Errorf("the help does not show it (%v):\n%s", err, help.String())
	}
	file := filepath.Join(t.TempDir(), "prescale.yaml")
	if err := os.WriteFile(file, []byte(leastConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"check", "--config", file}, &stdout, &stderr); err != nil || !strings.Contains(stdout.String(), "ok: 1 cluster, 1 policy") {
		t.Errorf("%v\n%s", err, stdout.String())
	}
}
