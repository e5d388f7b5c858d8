package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/forecaster"
)

func load(t *testing.T, files map[string]string) (Config, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Load(filepath.Join(dir, "prescale.yaml"))
}

const goodPolicy = `{metadata: {name: a, namespace: ai}, spec: {kafka: {group: g, topics: [t]}, objective: {lagSeconds: 30}, replicas: {max: 4}}}`

func TestLoadOverDefaults(t *testing.T) {
	c, err := load(t, map[string]string{
		"prescale.yaml": "clusters: {main: {brokers: [kafka:9092]}}\npolicies: [" + goodPolicy + "]\npolicyFiles: ['more-*.yaml']\n",
		"more-1.yaml":   "apiVersion: prescale.dev/v1alpha1\nkind: ScalePolicy\nmetadata: {name: b}\nspec: {kafka: {group: h}, objective: {lagSeconds: 5}, replicas: {max: 2}, interval: 5s, events: [{name: sale, start: '0 9 * * *', duration: 1h, timeZone: Asia/Tokyo, factor: 5}]}\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	policies, err := c.PipelinePolicies()
	if err != nil {
		t.Fatal(err)
	}
	if len(policies) != 2 || policies[0].Name() != "ai/a" || policies[1].Name() != "default/b" {
		t.Fatalf("got %+v", policies)
	}
	if got := policies[0].Scaler.Interval; got != 15*time.Second {
		t.Errorf("default interval: got %v, want 15s", got)
	}
	if got := policies[1].Scaler.Interval; got != 5*time.Second {
		t.Errorf("interval: got %v, want 5s", got)
	}
	sale := forecaster.Event{Name: "sale", Span: forecaster.Span{Start: "0 9 * * *", Duration: time.Hour, TimeZone: "Asia/Tokyo"}, Factor: 5}
	if got := policies[1].Model.Events; len(got) != 1 || got[0] != sale {
		t.Errorf("events: got %+v, want %+v", got, sale)
	}
	if c.HTTP.Listen != Default().HTTP.Listen {
		t.Errorf("http.listen: got %q, want the default", c.HTTP.Listen)
	}
}

func TestHistoriesAreWhereTheFileSays(t *testing.T) {
	c, err := load(t, map[string]string{"prescale.yaml": "clusters: {main: {brokers: [kafka:9092]}}\nprometheus: {main: {url: 'http://p:9090'}}\npolicies:\n" +
		"- " + strings.Replace(goodPolicy, "replicas:", "history: {topic: true}, replicas:", 1) + "\n" +
		"- " + strings.NewReplacer("name: a", "name: b", "replicas:", "history: {prometheus: {query: q}, span: 24h}, replicas:").Replace(goodPolicy) + "\n" +
		"- " + strings.NewReplacer("name: a", "name: c", "replicas:", "history: {file: {path: past.csv, column: requests}}, replicas:").Replace(goodPolicy) + "\n"})
	if err != nil {
		t.Fatal(err)
	}
	policies, err := c.PipelinePolicies()
	if err != nil {
		t.Fatal(err)
	}
	const weeks = 336 * time.Hour
	for i, want := range []history.Source{
		{Span: weeks, Cluster: "main", Topics: []string{"t"}},
		{Span: 24 * time.Hour, Server: "http://p:9090", Query: "q"},
		{Span: weeks, File: filepath.Join(c.dir, "past.csv"), Column: "requests"},
	} {
		if got := policies[i].History; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", policies[i].Name(), got, want)
		}
	}
}

// TestEachMistakeHasItsMessage is the table of bad files: what is written over a good one, and what must be said.
func TestEachMistakeHasItsMessage(t *testing.T) {
	const good = "clusters: {main: {brokers: [kafka:9092]}}\n"
	for _, tt := range []struct {
		name, file string
		want       []string
	}{
		{"a policy", goodPolicy, []string{"it is a ScalePolicy: want the daemon's configuration"}},
		{"a policy's spec", "{kafka: {group: g}}", []string{"it is a ScalePolicy: want the daemon's configuration"}},
		{"unknown key", good + "cluster: {}", []string{"cluster: unknown key; known here: "}},
		{"unknown key below", good + "http: {port: 1}", []string{"http.port: unknown key; known here: listen"}},
		{"unknown log", good + "log: disk", []string{`log: "disk": want memory or kafka`}},
		{"no clusters", "log: memory", []string{"clusters: none"}},
		{"no brokers", "clusters: {main: {}}", []string{"clusters.main.brokers: none"}},
		{"no port", good + "http: {listen: here}", []string{`http.listen: "here": want host:port`}},
		{"half a certificate", good + "metricsAPI: {certFile: c}", []string{"metricsAPI.certFile"}},
		{"policy without a name", good + "policies: [{spec: {}}]", []string{"policies[0].metadata.name: missing", "policies[0].spec.kafka.group: missing", "policies[0].spec.objective.lagSeconds: is missing", "policies[0].spec.replicas.max: is missing"}},
		{"names that nothing can ask for", good + "policies: [" + strings.Replace(goodPolicy, "name: a, namespace: ai", "name: a/b, namespace: x y", 1) + "]", []string{
			`policies[0].metadata.name: "a/b": want one without /`, `policies[0].metadata.namespace: "x y": want one without /`,
		}},
		{"two documents", good + "---\npolicies: [" + goodPolicy + "]", []string{"2 documents: want one to a file"}},
		{"a number that is none", good + "policies:\n- " + strings.Replace(goodPolicy, "lagSeconds: ", "lagSeconds: .inf, latencySeconds: ", 1), []string{"line 3: .inf: want a finite number"}},
		{"policy twice", good + "policies: [" + goodPolicy + ", " + goodPolicy + "]", []string{`policies[1].metadata.name: "ai/a": defined twice`}},
		{"events", good + "policies: [" + strings.Replace(goodPolicy, "replicas:", "events: [{start: '0 9 * * *', duration: 1h, factor: 5}, {name: a, start: '0 25 * * *', factor: 5}, {name: a, start: '0 9 * * *', duration: 1h, timeZone: Atlantis, factor: 0}], replicas:", 1) + "]",
			[]string{
				"policies[0].spec.events[0].name: is empty", `policies[0].spec.events[1].start: "0 25 * * *": `, "policies[0].spec.events[1].duration: 0s: want more than 0",
				`policies[0].spec.events[2].name: "a": is used twice`, `policies[0].spec.events[2].timeZone: "Atlantis": want an IANA name`, "policies[0].spec.events[2].factor: 0: want how many times",
			}},
		{"unknown cluster", "clusters: {other: {brokers: [k:1]}}\npolicies: [" + goodPolicy + "]", []string{`policies[0].spec.kafka.cluster: "main": not among clusters: [other]`}},
		{"unknown reset", good + "policies: [" + strings.Replace(goodPolicy, "group: g", "group: g, reset: none", 1) + "]", []string{`policies[0].spec.kafka.reset: "none": want earliest or latest`}},
		{"a log on a cluster that is not there", good + "log: kafka\neventLog: {cluster: other, shards: -1}", []string{`eventLog.cluster: "other": not among clusters: [main]`, "eventLog.shards: "}},
		{"servers", good + "externalScaler: {listen: ':9090'}\nmetricsAPI: {listen: here, forward: {url: 'http://x', caFile: ca}}", []string{
			"externalScaler: want certFile", `metricsAPI.forward.url: "http://x": want https://`, `metricsAPI.listen: "here": want host:port`,
		}},
		{"file that is not there", good + "policyFiles: [nope.yaml]", []string{"policyFiles[0]:", "no file matches"}},
		{"pods without a cluster", good + "policies: [" + strings.Replace(goodPolicy, "replicas:", "sources: {prometheus: {port: 8080, busyCounter: b}}, replicas:", 1) + "]",
			[]string{"policies[0].spec.sources.prometheus.port: the pods are not known without metricsAPI.kubeconfig: give urls instead"}},
		{"port of no pods", good + "metricsAPI: {kubeconfig: in-cluster}\npolicies: [" + strings.Replace(goodPolicy, "replicas:", "sources: {prometheus: {port: 8080, busyCounter: b}}, replicas:", 1) + "]",
			[]string{"policies[0].spec.sources.prometheus.port: no pods are named: give scaleTargetRef too"}},
		{"empty sources", good + "policies: [" + strings.Replace(goodPolicy, "replicas:", "sources: {headers: {}}, replicas:", 1) + "]",
			[]string{"policies[0].spec.sources.headers.topic: missing", "policies[0].spec.sources.headers.header: missing"}},
		{"histories", good + "prometheus: {main: {url: 'prometheus:9090'}}\npolicies: [" + strings.Replace(goodPolicy, "topics: [t]}", "topics: []}, history: {topic: true, span: 9000h}", 1) + ", " +
			strings.NewReplacer("name: a", "name: b", "replicas:", "history: {prometheus: {server: other}}, replicas:").Replace(goodPolicy) + "]",
			[]string{
				`prometheus.main.url: "prometheus:9090": want a URL such as`, "policies[0].spec.history.topic: true: want kafka.topics too", "policies[0].spec.history.span: 9000h0m0s: want",
				"policies[1].spec.history.prometheus.query: missing", `policies[1].spec.history.prometheus.server: "other": not among the daemon's prometheus servers: [main]`,
			}},
		{"not YAML", "clusters: [", []string{"read YAML"}},
		{"five at once", "log: 3\nclusters: {main: {brokers: [kafka]}}\nhttp: {listen: here, color: red}\npolicies: [{metadata: {name: a}, spec: {replicas: {max: many}}}]", []string{
			"log: 3: want a text", `clusters.main.brokers[0]: "kafka"`, `http.listen: "here"`, "http.color: unknown key", `policies[0].spec.replicas.max: "many": want a whole number`,
		}},
	} {
		_, err := load(t, map[string]string{"prescale.yaml": tt.file})
		if err == nil {
			t.Errorf("%s: no error", tt.name)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got\n%v\nwant it to hold %q", tt.name, err, want)
			}
		}
	}
}

func TestAMistakeIsToldOnce(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		want       int
	}{
		{"five keys", "log: 3\nclusters: {main: {brokers: [kafka]}}\nhttp: {listen: here, color: red}\n" +
			"policies: [{metadata: {name: a}, spec: {kafka: {group: g}, objective: {lagSeconds: 3}, replicas: {max: many}}}]\n", 5},
		{"not YAML", "clusters: [", 1},
		{"clusters of the wrong kind", "clusters: [main]\npolicies: [" + goodPolicy + "]", 1},
		{"no clusters", "policies: [" + goodPolicy + "]", 1},
	} {
		_, err := load(t, map[string]string{"prescale.yaml": tt.file})
		if err == nil {
			t.Errorf("%s: no error", tt.name)
		} else if got := len(strings.Split(err.Error(), "\n")); got != tt.want {
			t.Errorf("%s: got %d messages, want %d:\n%v", tt.name, got, tt.want, err)
		}
	}
}
