package main

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	promcommon "github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"go.yaml.in/yaml/v3"
)

const alertRules = "../../manifests/components/monitoring/prometheusrule.yaml"

// alertGroup returns the group of the PrometheusRule, which Prometheus's own parser has read strictly.
func alertGroup(t *testing.T) rulefmt.RuleGroup {
	t.Helper()
	data, err := os.ReadFile(alertRules)
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		Spec yaml.Node `yaml:"spec"`
	}
	if err := yaml.Unmarshal(data, &object); err != nil {
		t.Fatal(err)
	}
	spec, err := yaml.Marshal(&object.Spec)
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(spec, false, promcommon.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if len(groups.Groups) != 1 {
		t.Fatalf("%d groups, want 1", len(groups.Groups))
	}
	return groups.Groups[0]
}

// TestEveryAlertFiresAndStaysSilent runs each rule over series as Prometheus would, once a minute: it must fire when what it is for
// has lasted, and not before, and not on a sound system.
func TestEveryAlertFiresAndStaysSilent(t *testing.T) {
	const policy = `{namespace="ai", policy="web", instance="a"}`
	verdict := func(v string) string {
		return fmt.Sprintf(`prescale_policy_verdict{namespace="ai", policy="web", verdict=%q, instance="a"}`, v)
	}
	const refused = `prescale_policy_refused{namespace="ai", policy="new", reason="Invalid", instance="a"}`
	const up = `up{namespace="prescale-system", service="prescale", instance="a"}`
	sound := []string{
		up + " 1x60", `up{namespace="prescale-system", service="prescale", instance="b"} 1x60`,
		`up{namespace="other", service="web", instance="a"} 0x60`,
		"prescale_policy_answering" + policy + " 1x60", verdict("WarmingUp") + " 1x60",
		"prescale_kafka_lag_seconds" + policy + " 3x60", "prescale_objective_lag_seconds" + policy + " 30x60",
	}
	tests := map[string]struct {
		bad    []string // instead of the sound series of the same metric
		silent time.Duration
		fires  time.Duration
		words  string
		brief  []string // what looks like it for a while
	}{
		"PrescaleDown":                 {[]string{up + " 1x4 0x56"}, 6 * time.Minute, 8 * time.Minute, "No replica", []string{up + " 1x4 0 1x55"}},
		"PrescalePolicyNotAnswering":   {[]string{"prescale_policy_answering" + policy + " 1x4 0x56"}, 6 * time.Minute, 8 * time.Minute, "ai/web has no fresh value", []string{"prescale_policy_answering" + policy + " 1x4 0 1x55", "prescale_policy_answering{namespace=\"ai\", policy=\"web\", instance=\"b\"} 1x60"}},
		"PrescalePolicyBehind":         {[]string{"prescale_kafka_lag_seconds" + policy + " 3x4 90x56"}, 13 * time.Minute, 15 * time.Minute, "ai/web has broken its promise for ten minutes: its oldest record has waited 1m 30s", []string{"prescale_kafka_lag_seconds" + policy + " 3x4 90x8 3x48"}},
		"PrescalePolicyRefused":        {[]string{refused + " 1x60"}, time.Minute, 3 * time.Minute, "ai/new is not run (Invalid)", []string{refused + " 1 0x59"}},
		"PrescalePolicyStalled":        {[]string{verdict("Stalled") + " 1x60", verdict("PartitionStalled") + " _x5 1x55"}, 4 * time.Minute, 6 * time.Minute, "nobody consumes", []string{verdict("Stalled") + " 1x3 0x57"}},
		"PrescalePolicyPartitionBound": {[]string{verdict("PartitionBound") + " 1x60"}, 14 * time.Minute, 16 * time.Minute, "ai/web", []string{verdict("PartitionBound") + " 1x10 _x50"}},
		"PrescalePolicyHotPartition":   {[]string{verdict("HotPartition") + " 1x60"}, 14 * time.Minute, 16 * time.Minute, "ai/web", []string{verdict("HotPartition") + " 1x10 _x50"}},
		"PrescalePolicyMaxBound":       {[]string{verdict("MaxBound") + " 1x60"}, 14 * time.Minute, 16 * time.Minute, "ai/web", []string{verdict("MaxBound") + " 1x10 _x50"}},
		"PrescalePolicyUnschedulable":  {[]string{verdict("Unschedulable") + " 1x60"}, 9 * time.Minute, 11 * time.Minute, "no node has room", []string{verdict("Unschedulable") + " 1x5 _x55"}},
	}
	group := alertGroup(t)
	var names []string
	for _, rule := range group.Rules {
		names = append(names, rule.Alert)
		test, ok := tests[rule.Alert]
		if !ok {
			t.Errorf("alert %s has no test", rule.Alert)
			continue
		}
		if got := firing(t, rule, sound); len(got) != 0 {
			t.Errorf("%s fires on a sound system: %v", rule.Alert, got)
		}
		if got := firing(t, rule, append(without(sound, test.brief), test.brief...)); len(got) != 0 {
			t.Errorf("%s fires on what soon passes: %v", rule.Alert, got)
		}
		got := firing(t, rule, append(without(sound, test.bad), test.bad...))
		if len(got) == 0 {
			t.Errorf("%s never fires", rule.Alert)
			continue
		}
		if got[len(got)-1].after-got[0].after != time.Duration(len(got)-1)*time.Minute {
			t.Errorf("%s fires several times at once, or stops between: %v", rule.Alert, got)
		}
		if first := got[0].after; first <= test.silent || first > test.fires {
			t.Errorf("%s fires after %s, want after more than %s and at most %s", rule.Alert, first, test.silent, test.fires)
		}
		if !strings.Contains(got[0].summary, test.words) || strings.Contains(got[0].summary, "<") {
			t.Errorf("%s says %q, want %q in it", rule.Alert, got[0].summary, test.words)
		}
	}
	for name := range tests {
		if !slices.Contains(names, name) {
			t.Errorf("there is no alert %s", name)
		}
	}
}

// without leaves out the series whose metric the others replace. A verdict stands beside other verdicts.
func without(series, others []string) []string {
	var kept []string
	for _, s := range series {
		metric, _, _ := strings.Cut(s, "{")
		if metric == "prescale_policy_verdict" || strings.Contains(s, `namespace="other"`) || !slices.ContainsFunc(others, func(o string) bool { return strings.HasPrefix(o, metric+"{") }) {
			kept = append(kept, s)
		}
	}
	return kept
}

type fired struct {
	after   time.Duration
	summary string
}

// firing returns each time at which the rule fires over an hour of the series, which have a sample a minute.
func firing(t *testing.T, rule rulefmt.Rule, series []string) []fired {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 1m\n  "+strings.Join(series, "\n  ")+"\n")
	defer storage.Close()
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(rule.Expr)
	if err != nil {
		t.Fatal(err)
	}
	alert := rules.NewAlertingRule(rule.Alert, expr, time.Duration(rule.For), time.Duration(rule.KeepFiringFor), labels.FromMap(rule.Labels), labels.FromMap(rule.Annotations), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler))
	var out []fired
	for at := time.Duration(0); at < time.Hour; at += time.Minute {
		if _, err := alert.Eval(t.Context(), 0, time.Unix(0, 0).Add(at), rules.EngineQueryFunc(engine, storage), &url.URL{}, 0); err != nil {
			t.Fatal(err)
		}
		alert.ForEachActiveAlert(func(a *rules.Alert) {
			if a.State == rules.StateFiring {
				out = append(out, fired{at, a.Annotations.Get("summary")})
			}
		})
	}
	return out
}
