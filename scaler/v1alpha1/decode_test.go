package v1alpha1

import (
	"strings"
	"testing"
	"time"
)

func TestEveryMistakeIsReportedWithItsKeyPath(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		want       []string
	}{
		{"unknown key", "spec: {replicas: {maks: 4}}", []string{"spec.replicas.maks: unknown key; known here: max, min"}},
		{"text for a number", "spec: {replicas: {max: many}}", []string{`spec.replicas.max: "many": want a whole number`}},
		{"fraction for a whole number", "spec: {replicas: {max: 4.5}}", []string{"spec.replicas.max: 4.5: want a whole number"}},
		{"more than it holds", "spec: {replicas: {max: 99999999999}}", []string{"spec.replicas.max: 99999999999: want a whole number, at most 2147483647"}},
		{"no finite number", "spec:\n  objective: {lagSeconds: .inf}", []string{"line 2: .inf: want a finite number"}},
		{"duration", "spec: {leadTime: {initial: soon}}", []string{"spec.leadTime.initial: \"soon\": want a duration such as"}},
		{"labels", "spec: {sources: {prometheus: {labels: {a: [1], b: 2}}}}", []string{"spec.sources.prometheus.labels.a: [1]: want a text", "spec.sources.prometheus.labels.b: 2: want a text"}},
		{"no labels", "spec: {sources: {prometheus: {labels: a}}}", []string{`spec.sources.prometheus.labels: "a": want keys and values`}},
		{"list", "spec: {kafka: {topics: a}}", []string{`spec.kafka.topics: "a": want a list`}},
		{"mapping", "spec: {kafka: 3}", []string{"spec.kafka: 3: want keys and values"}},
		{"no mapping", "t_s,value\n0,1\n", []string{"it has no keys: want a ScalePolicy or its spec"}},
		{"key twice", "spec: {paused: true, paused: false}", []string{"already set"}},
		{"a long text", "spec: {replicas: " + strings.Repeat("x", 1000) + "}", []string{"spec.replicas: \"" + strings.Repeat("x", 79) + "…: want keys and values"}},
		{"five at once", "spec: {replicas: {max: x, maks: 1}, kafka: {topics: [1]}, paused: 7, season: [daily]}", []string{
			"spec.replicas.max:", "spec.replicas.maks:", "spec.kafka.topics[0]:", "spec.paused:", "spec.season[0]:",
		}},
	} {
		_, err := Parse([]byte(tt.file))
		if err == nil {
			t.Errorf("%s: no error", tt.name)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want it to hold %q", tt.name, err, want)
			}
		}
	}
}

func TestSpecAloneAndWholeObjectReadAlike(t *testing.T) {
	spec := "kafka: {group: g, topics: [t]}\nobjective: {lagSeconds: 30}\nreplicas: {min: 0, max: 5}\n"
	alone, err := Parse([]byte(spec))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Parse([]byte("apiVersion: prescale.dev/v1alpha1\nkind: ScalePolicy\nspec:\n  " + strings.ReplaceAll(spec, "\n", "\n  ")))
	if err != nil {
		t.Fatal(err)
	}
	a, err := alone.ScalerConfig()
	if err != nil {
		t.Fatal(err)
	}
	w, err := whole.ScalerConfig()
	if err != nil {
		t.Fatal(err)
	}
	if a.MaxReplicas != 5 || a.MinReplicas != 0 || a.ObjectiveLag != w.ObjectiveLag || a.MaxReplicas != w.MaxReplicas {
		t.Errorf("got %+v and %+v", a, w)
	}
}

func TestOneDocumentToAFile(t *testing.T) {
	const one = "kafka: {group: a}\nobjective: {lagSeconds: 30}\nreplicas: {max: 4}\n"
	for _, test := range []struct {
		name, text string
		good       bool
	}{
		{"one", one, true},
		{"begun and ended", "# ours\n---\n" + one + "---\n", true},
		{"two", one + "---\n" + one, false},
		{"two, with a comment between", one + "--- # the other\n" + one, false},
		{"two, in one line each", "--- {objective: {lagSeconds: 30}, replicas: {max: 4}}\n--- {replicas: {max: 4}}\n", false},
		{"one that says its version", "%YAML 1.1\n---\n" + one, true},
		{"dashes in a text", "metadata:\n  annotations:\n    a: |\n      one\n      ---\n      two\nspec: {replicas: {max: 4}}\n", true},
	} {
		if _, err := Parse([]byte(test.text)); (err == nil) != test.good {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
	if _, err := Parse([]byte(one + "interval: 15\n")); err == nil || err.Error() != "interval: 15: want a duration such as 15s, 5m or 192h" {
		t.Errorf("a duration without a unit: got %v", err)
	}
}

func TestLabelsAndSpansAreRead(t *testing.T) {
	p, err := Parse([]byte("sources: {prometheus: {labels: {app: orders, zone: b}}}\nhistory: {topic: true}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Spec.Sources.Prometheus.Labels; len(got) != 2 || got["app"] != "orders" || got["zone"] != "b" {
		t.Errorf("labels: got %v", got)
	}
	if got := p.Spec.History.Reach(); got != 336*time.Hour {
		t.Errorf("a history without a span: got %v, want 336h", got)
	}
	if p, err = Parse([]byte("history: {topic: true, span: 48h}\n")); err != nil || p.Spec.History.Reach() != 48*time.Hour {
		t.Errorf("got %v (%v), want 48h", p.Spec.History.Reach(), err)
	}
}

// TestParseSaysWhatItWasGiven: of another object each key is unknown, which says nothing of the mistake.
func TestParseSaysWhatItWasGiven(t *testing.T) {
	for _, tt := range []struct{ file, want string }{
		{"clusters: {main: {brokers: [kafka:9092]}}\npolicies: []\n", "it has clusters, as the daemon's configuration has"},
		{"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: p}\nspec: {template: {}}\n", `apiVersion: "apps/v1": want "prescale.dev/v1alpha1"`},
		{"kind: Deployment\nspec: {template: {}}\n", `kind: "Deployment": want "ScalePolicy"`},
	} {
		if _, err := Parse([]byte(tt.file)); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.file, err, tt.want)
		}
	}
}

// TestAPromiseIsNotRoundedAway: 0 seconds of latency are no promise, and the shortest that there can be are one.
func TestAPromiseIsNotRoundedAway(t *testing.T) {
	p, err := Parse([]byte("objective: {lagSeconds: 1e-12, latencySeconds: 1e-12}\nreplicas: {max: 4}\n"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.ScalerConfig()
	if err != nil || c.ObjectiveLag != 1 || c.ObjectiveLatency != 1 {
		t.Errorf("got %v and %v (%v), want a nanosecond for both", c.ObjectiveLag, c.ObjectiveLatency, err)
	}
}
