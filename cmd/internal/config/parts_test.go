package config

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/cmd/internal/source"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/collector/latency"
	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/metrics/external"
)

// TestEverySettingReachesItsPart loads files in which nothing has its default.
func TestEverySettingReachesItsPart(t *testing.T) {
	c, err := load(t, map[string]string{"prescale.yaml": `
clusters: {a: {brokers: [kafka:9092]}, b: {brokers: [kafka:9093]}}
eventLog: {cluster: b, prefix: p, shards: 5, replication: 2, retention: 200h, checkpointTicks: 7, sessionTimeout: 9s, heartbeatInterval: 2s,
  appendTimeout: 8s, protocol: classic, instance: i}
externalScaler: {listen: ':9090', certFile: c, keyFile: k, clientCAFile: a}
metricsAPI:
  kubeconfig: in-cluster
  forward: {url: 'https://former.owner.svc', caFile: ca, serverName: s, selectors: [x], metrics: [m], proxyCertFile: pc, proxyKeyFile: pk, tokenFile: t}
policies:
- metadata: {name: a, namespace: ai}
  spec:
    kafka: {cluster: a, group: g, topics: [u, t, u], reset: earliest, readCommitted: true}
    scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
    objective: {latencySeconds: 2, lagSeconds: 30}
    replicas: {max: 4}
    interval: 10m
    sources:
      latencyQuantile: 0.9
      headers: {topic: answers, header: asked}
      prometheus: {port: 81, path: /m, labels: {l: v}, busyCounter: busy, workCounter: w, recordsCounter: r}
- metadata: {name: b, namespace: ai}
  spec:
    kafka: {cluster: b, group: g}
    objective: {latencySeconds: 2, lagSeconds: 30}
    replicas: {max: 4}
    sources: {prometheus: {urls: ['http://one:1/m'], latencyHistogram: h}}
`})
	if err != nil {
		t.Fatal(err)
	}
	log, cluster := c.EventLogConfig()
	wantLog := eventlog.DefaultConfig()
	wantLog.Prefix, wantLog.Shards, wantLog.Replication, wantLog.Retention, wantLog.CheckpointTicks = "p", 5, 2, 200*time.Hour, 7
	wantLog.SessionTimeout, wantLog.Heartbeat, wantLog.AppendTimeout = 9*time.Second, 2*time.Second, 8*time.Second
	wantLog.Protocol, wantLog.Instance = eventlog.ProtocolClassic, "i"
	wantLog.FollowerLookback = 100 * time.Minute // ten ticks of the slowest policy
	if !reflect.DeepEqual(log, wantLog) || cluster != "b" {
		t.Errorf("event log:\n got %+v on %s\nwant %+v on b", log, cluster, wantLog)
	}
	keda, on := c.ExternalScaler.Server()
	if !on || keda.Address != ":9090" || keda.CertFile != "c" || keda.KeyFile != "k" || keda.ClientCAFile != "a" || keda.Plaintext {
		t.Errorf("external scaler: on %v, %+v", on, keda)
	}
	wantForward := external.Forward{URL: "https://former.owner.svc", CAFile: "ca", ServerName: "s", Selectors: []string{"x"}, Metrics: []string{"m"},
		ProxyCertFile: "pc", ProxyKeyFile: "pk", TokenFile: "t"}
	if got := c.MetricsAPI.Forward.Server(); !reflect.DeepEqual(*got, wantForward) {
		t.Errorf("forward:\n got %+v\nwant %+v", *got, wantForward)
	}
	policies, err := c.PipelinePolicies()
	if err != nil {
		t.Fatal(err)
	}
	wantTarget := collector.Target{Policy: "ai/a", Cluster: "a", Group: "g", Topics: []string{"t", "u"}, Reset: collector.ResetEarliest, ReadCommitted: true}
	if got := policies[0].Target; !reflect.DeepEqual(got, wantTarget) {
		t.Errorf("target:\n got %+v\nwant %+v", got, wantTarget)
	}
	a, b := latency.DefaultScraperConfig(), latency.DefaultScraperConfig()
	a.Policy, a.Quantile, a.Labels = "ai/a", 0.9, map[string]string{"l": "v"}
	a.Busy, a.Work, a.Records = "busy", "w", "r"
	b.Policy, b.Histogram = "ai/b", "h"
	for i, want := range []source.Spec{
		{
			Quantile: 0.9, Headers: &latency.HeadersConfig{Policy: "ai/a", Topic: "answers", Header: "asked", Quantile: 0.9},
			Endpoints: &source.Endpoints{Scraper: a, Port: 81, Path: "/m"},
		},
		{Quantile: 0.99, Endpoints: &source.Endpoints{Scraper: b, URLs: []string{"http://one:1/m"}}},
	} {
		if got := policies[i].Sources; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: sources:\n got %+v\nwant %+v", policies[i].Name(), got, want)
		}
	}
}

func TestWhatIsLeftOutHasItsDefault(t *testing.T) {
	for _, tt := range []struct{ clusters, want string }{
		{"{only: {brokers: [kafka:9092]}}", "only"},
		{"{a: {brokers: [kafka:9092]}, main: {brokers: [kafka:9093]}}", "main"},
	} {
		c, err := load(t, map[string]string{"prescale.yaml": "clusters: " + tt.clusters + "\nmetricsAPI: {forward: {url: 'https://x.y.svc', caFile: ca}}\n"})
		if err != nil {
			t.Fatal(err)
		}
		log, cluster := c.EventLogConfig()
		if cluster != tt.want {
			t.Errorf("the log is on cluster %s, want %s", cluster, tt.want)
		}
		if suffix := fmt.Sprintf("-%d", os.Getpid()); len(log.Instance) <= len(suffix) || log.Instance[len(log.Instance)-len(suffix):] != suffix {
			t.Errorf("instance %q: want the host's name and %s", log.Instance, suffix)
		}
		log.Instance = ""
		if want := eventlog.DefaultConfig(); !reflect.DeepEqual(log, want) {
			t.Errorf("event log:\n got %+v\nwant %+v", log, want)
		}
		want := external.DefaultForward()
		if got := c.MetricsAPI.Forward.Server(); !slices.Equal(got.Selectors, want.Selectors) || got.TokenFile != want.TokenFile {
			t.Errorf("forward: got %+v, want the selectors and the token of %+v", got, want)
		}
		if _, on := c.ExternalScaler.Server(); on {
			t.Error("the external scaler is on, and nobody asked for it")
		}
	}
}

func TestAPolicyFilesMistakesNameTheFile(t *testing.T) {
	_, err := load(t, map[string]string{
		"prescale.yaml": "clusters: {main: {brokers: [kafka:9092]}}\npolicyFiles: ['*-policy.yaml']\n",
		"a-policy.yaml": "apiVersion: prescale.dev/v1alpha1\nkind: ScalePolicy\nmetadata: {name: a}\nspec: {color: red, kafka: {group: g}, objective: {lagSeconds: 5}, replicas: {max: 2}}\n",
		"b-policy.yaml": "apiVersion: prescale.dev/v1alpha1\nkind: ScalePolicy\nmetadata: {name: b}\nspec: {kafka: {group: g}, objective: {lagSeconds: 5}, replicas: {max: many}}\n",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"a-policy.yaml: spec.color: unknown key", "b-policy.yaml: spec.replicas.max: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got\n%v\nwant it to hold %q", err, want)
		}
	}
}
