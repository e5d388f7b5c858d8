package hpacheck

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/yaml"

	"github.com/prescale/prescale/scaler/v1alpha1"
)

const policyText = `
metadata: {name: orders, namespace: shop}
spec:
  scaleTargetRef: {kind: Deployment, name: orders}
  kafka: {group: orders}
  objective: {lagSeconds: 30}
  replicas: {min: 1, max: 24}
`

const goodHPA = `
metadata: {name: orders, namespace: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: orders}
  minReplicas: 1
  maxReplicas: 24
  metrics:
    - type: External
      external:
        metric: {name: prescale_desired_replicas, selector: {matchLabels: {policy: orders}}}
        target: {type: AverageValue, averageValue: "1"}
  behavior: {scaleUp: {tolerance: "0"}, scaleDown: {tolerance: "0"}}
`

func parse[T any](t *testing.T, text string) *T {
	t.Helper()
	var v T
	if err := yaml.UnmarshalStrict([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return &v
}

// TestOurOwnManifestsAreClean runs the check on every policy and HPA that we ship.
func TestOurOwnManifestsAreClean(t *testing.T) {
	files, err := filepath.Glob("../../../manifests/base/workloads/*-scaling.yaml")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Glob("../../../manifests/examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, file := range append(files, examples...) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var policies []*v1alpha1.ScalePolicy
		var hpas []*autoscalingv2.HorizontalPodAutoscaler
		for _, document := range strings.Split(string(data), "\n---\n") {
			switch {
			case strings.Contains(document, "kind: ScalePolicy\nmetadata"):
				policies = append(policies, parse[v1alpha1.ScalePolicy](t, document))
			case strings.Contains(document, "kind: HorizontalPodAutoscaler"):
				hpas = append(hpas, parse[autoscalingv2.HorizontalPodAutoscaler](t, document))
			}
		}
		if len(hpas) == 0 {
			continue // KEDA makes its own
		}
		for _, policy := range policies {
			checked++
			for _, finding := range Check(policy, hpas, Facts{ServerMinor: 36, Partitions: 48, Policies: []string{policy.Name}}) {
				t.Errorf("%s: %s", file, finding)
			}
		}
	}
	if checked < 4 {
		t.Errorf("only %d policies checked", checked)
	}
}

func TestCheck(t *testing.T) {
	facts := Facts{ServerMinor: 36, Partitions: 24, Policies: []string{"orders", "emails"}}
	edit := func(from, to string) string {
		if !strings.Contains(goodHPA, from) {
			t.Fatalf("%q is not in the HPA", from)
		}
		return strings.Replace(goodHPA, from, to, 1)
	}
	// small has the default tolerance, and a policy of so many replicas reads it.
	small := func(most int) string {
		return strings.Replace(edit(`behavior: {scaleUp: {tolerance: "0"}, scaleDown: {tolerance: "0"}}`, ""), "maxReplicas: 24", fmt.Sprintf("maxReplicas: %d", most), 1)
	}
	for _, test := range []struct {
		name  string
		hpas  []string
		facts Facts
		codes string // in order
		words string
	}{
		{"good", []string{goodHPA}, facts, "", ""},
		{"none", nil, facts, "NoHPA", "policy=orders"},
		{"of another policy", []string{edit("policy: orders", "policy: emails")}, facts, "NoHPA", ""},
		{"of another namespace", []string{edit("namespace: shop", "namespace: other")}, facts, "NoHPA", ""},
		{"no tolerance", []string{edit(`behavior: {scaleUp: {tolerance: "0"}, scaleDown: {tolerance: "0"}}`, "")}, facts, "ToleranceTrap", "from 10 replicas on, and up to 24 are allowed: it would not follow policy orders from 23 to 24"},
		{"no tolerance downwards", []string{edit(`, scaleDown: {tolerance: "0"}`, "")}, facts, "ToleranceTrap", "Set behavior.scaleDown.tolerance to 0"},
		{"no tolerance on 1.34", []string{edit(`, scaleDown: {tolerance: "0"}`, "")}, Facts{ServerMinor: 34}, "ToleranceTrap", "HPAConfigurableTolerance"},
		{"no tolerance on 1.30", []string{edit(`, scaleDown: {tolerance: "0"}`, "")}, Facts{ServerMinor: 30}, "ToleranceTrap", "--horizontal-pod-autoscaler-tolerance"},
		{"tolerance of 4 % and 24 replicas", []string{edit(`scaleUp: {tolerance: "0"}`, `scaleUp: {tolerance: 40m}`)}, facts, "", ""},
		{"tolerance of 5 % and 24 replicas", []string{edit(`scaleUp: {tolerance: "0"}`, `scaleUp: {tolerance: 50m}`)}, facts, "ToleranceTrap", "from 20 replicas on"},
		{"no tolerance and 9 replicas", []string{small(9)}, facts, "", ""},
		{"no tolerance and 10 replicas", []string{small(10)}, facts, "ToleranceTrap", "Set behavior.scaleDown.tolerance to 0"},
		{"no tolerance and 11 replicas", []string{small(11)}, facts, "ToleranceTrap", "Set behavior.scaleUp.tolerance and behavior.scaleDown.tolerance to 0"},
		{"type Value", []string{edit(`type: AverageValue, averageValue: "1"`, `type: Value, value: "1"`)}, facts, "TargetType", "5 replicas that want 6 become 30"},
		{"average of 2", []string{edit(`averageValue: "1"`, `averageValue: "2"`)}, facts, "TargetType", "average of 2"},
		{"average of 1000m", []string{edit(`averageValue: "1"`, `averageValue: 1000m`)}, facts, "", ""},
		{"no selector", []string{edit(", selector: {matchLabels: {policy: orders}}", "")}, facts, "AmbiguousSelector", "emails, orders"},
		{"no selector and one policy", []string{edit(", selector: {matchLabels: {policy: orders}}", "")}, Facts{ServerMinor: 36, Policies: []string{"orders"}}, "", ""},
		{"other target", []string{edit("name: orders}\n  minReplicas", "name: ordrs}\n  minReplicas")}, facts, "OtherTarget", "ordrs"},
		{"lower max", []string{edit("maxReplicas: 24", "maxReplicas: 12")}, facts, "Bounds", "may ask for 24"},
		{"higher min", []string{edit("minReplicas: 1", "minReplicas: 3")}, facts, "Bounds", "minReplicas is 3"},
		{"above partitions", []string{goodHPA}, Facts{ServerMinor: 36, Partitions: 16}, "AbovePartitions", "Lower maxReplicas to 16"},
		{"two on one target", []string{goodHPA, edit("metadata: {name: orders", "metadata: {name: orders-cpu") + "  #"}, facts, "TwoControllers", "orders, orders-cpu"},
		{"lag as Value", []string{strings.NewReplacer("prescale_desired_replicas", "prescale_kafka_lag_records", `type: AverageValue, averageValue: "1"`, `type: Value, value: "1000"`).Replace(goodHPA)}, facts, "TargetType", "goes on to its maximum"},
		{"through KEDA", []string{edit("prescale_desired_replicas, selector: {matchLabels: {policy: orders}", "s0-prescale_desired_replicas, selector: {matchLabels: {scaledobject.keda.sh/name: anything}")}, facts, "", ""},
		{"through KEDA with its tolerance", []string{strings.NewReplacer("prescale_desired_replicas, selector: {matchLabels: {policy: orders}", "s0-prescale_desired_replicas, selector: {matchLabels: {scaledobject.keda.sh/name: anything}", `scaleUp: {tolerance: "0"}, `, "").Replace(goodHPA)}, facts, "ToleranceTrap", "advanced.horizontalPodAutoscalerConfig"},
		{"another scaler of KEDA", []string{edit("prescale_desired_replicas, selector: {matchLabels: {policy: orders}", "s0-kafka-orders, selector: {matchLabels: {scaledobject.keda.sh/name: orders}")}, facts, "NoHPA", ""},
		{"object metric", []string{strings.NewReplacer("type: External", "type: Object", "external:", "object:", `metric: {name: prescale_desired_replicas, selector: {matchLabels: {policy: orders}}}`, `{metric: {name: prescale_desired_replicas}, describedObject: {kind: ScalePolicy, name: orders},`, "        target: {type: AverageValue, averageValue: \"1\"}", "        target: {type: AverageValue, averageValue: \"1\"}}").Replace(goodHPA)}, facts, "", ""},
		{"object metric of another policy", []string{strings.NewReplacer("type: External", "type: Object", "external:", "object:", `metric: {name: prescale_desired_replicas, selector: {matchLabels: {policy: orders}}}`, `{metric: {name: prescale_desired_replicas}, describedObject: {kind: ScalePolicy, name: emails},`, "        target: {type: AverageValue, averageValue: \"1\"}", "        target: {type: AverageValue, averageValue: \"1\"}}").Replace(goodHPA)}, facts, "NoHPA", ""},
		{"object metric of something else", []string{strings.NewReplacer("type: External", "type: Object", "external:", "object:", `metric: {name: prescale_desired_replicas, selector: {matchLabels: {policy: orders}}}`, `{metric: {name: prescale_desired_replicas}, describedObject: {kind: Ingress, name: orders},`, "        target: {type: AverageValue, averageValue: \"1\"}", "        target: {type: AverageValue, averageValue: \"1\"}}").Replace(goodHPA)}, facts, "NoHPA", ""},
	} {
		var hpas []*autoscalingv2.HorizontalPodAutoscaler
		for _, text := range test.hpas {
			hpas = append(hpas, parse[autoscalingv2.HorizontalPodAutoscaler](t, text))
		}
		policy := parse[v1alpha1.ScalePolicy](t, policyText)
		if strings.HasSuffix(test.name, " replicas") && hpas[0].Spec.MaxReplicas < 24 {
			policy.Spec.Replicas.Max = hpas[0].Spec.MaxReplicas
		}
		found := Check(policy, hpas, test.facts)
		var codes, texts []string
		for _, f := range found {
			if !slices.Contains(codes, string(f.Code)) {
				codes = append(codes, string(f.Code))
			}
			texts = append(texts, f.String())
		}
		if got := strings.Join(codes, ","); got != test.codes {
			t.Errorf("%s: got %q, want %q: %s", test.name, got, test.codes, strings.Join(texts, "\n"))
		}
		if text := strings.Join(texts, "\n"); !strings.Contains(text, test.words) {
			t.Errorf("%s: %q is not in %s", test.name, test.words, text)
		}
	}
}

// TestTheRemedyIsOfTheClustersVersion: the field came with 1.33 behind a gate, which is open since 1.35 (KEP-4951).
func TestTheRemedyIsOfTheClustersVersion(t *testing.T) {
	hpa := parse[autoscalingv2.HorizontalPodAutoscaler](t, strings.Replace(goodHPA, `, scaleDown: {tolerance: "0"}`, "", 1))
	for minor, want := range map[int]string{
		0: "tolerance to 0 (Kubernetes 1.35 or newer)", 32: "or upgrade to 1.35", 33: "on the API server and kube-controller-manager",
		34: "on the API server and kube-controller-manager", 35: "tolerance to 0", 36: "tolerance to 0",
	} {
		found := Check(parse[v1alpha1.ScalePolicy](t, policyText), []*autoscalingv2.HorizontalPodAutoscaler{hpa}, Facts{ServerMinor: minor})
		if len(found) != 1 || found[0].Code != ToleranceTrap || !strings.HasSuffix(found[0].Remedy, want) {
			t.Errorf("1.%d: got %v, want a remedy that ends with %q", minor, found, want)
		}
	}
}

func TestVerticalBesideACPUMetric(t *testing.T) {
	policy := parse[v1alpha1.ScalePolicy](t, policyText+"  vertical: InPlace\n")
	onCPU := parse[autoscalingv2.HorizontalPodAutoscaler](t, strings.Replace(goodHPA, "  metrics:\n", "  metrics:\n    - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}\n", 1))
	facts := Facts{ServerMinor: 36, Policies: []string{"orders"}}
	if found := Check(policy, []*autoscalingv2.HorizontalPodAutoscaler{onCPU}, facts); len(found) != 1 || found[0].Code != VerticalAndCPU {
		t.Errorf("in place and on CPU: got %v", found)
	}
	policy.Spec.Vertical = v1alpha1.VerticalRecommend
	if found := Check(policy, []*autoscalingv2.HorizontalPodAutoscaler{onCPU}, facts); len(found) != 0 {
		t.Errorf("only recommended: got %v", found)
	}
}

// TestOnCPU: only what scales a target of the policy by CPU makes resizing and scaling chase each other.
func TestOnCPU(t *testing.T) {
	policy := parse[v1alpha1.ScalePolicy](t, policyText+"  pools: [{name: gpu, max: 8, scaleTargetRef: {kind: StatefulSet, name: orders-gpu}}, {name: other, max: 1}]\n")
	const cpu = "{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}"
	var hpas []*autoscalingv2.HorizontalPodAutoscaler
	for _, test := range []struct{ name, namespace, target, metric string }{
		{"z-container", "shop", "apiVersion: apps/v1, kind: Deployment, name: orders", "{type: ContainerResource, containerResource: {container: c, name: cpu, target: {type: Utilization, averageUtilization: 80}}}"},
		{"a-cpu", "shop", "apiVersion: apps/v1beta2, kind: Deployment, name: orders", cpu},
		{"pool", "shop", "apiVersion: apps/v1, kind: StatefulSet, name: orders-gpu", cpu},
		{"memory", "shop", "apiVersion: apps/v1, kind: Deployment, name: orders", strings.Replace(cpu, "name: cpu", "name: memory", 1)},
		{"other target", "shop", "apiVersion: apps/v1, kind: Deployment, name: emails", cpu},
		{"other kind", "shop", "apiVersion: apps/v1, kind: StatefulSet, name: orders", cpu},
		{"other group", "shop", "apiVersion: example.com/v1, kind: Deployment, name: orders", cpu},
		{"other namespace", "office", "apiVersion: apps/v1, kind: Deployment, name: orders", cpu},
	} {
		hpas = append(hpas, parse[autoscalingv2.HorizontalPodAutoscaler](t, fmt.Sprintf(
			"{metadata: {name: %s, namespace: %s}, spec: {scaleTargetRef: {%s}, maxReplicas: 9, metrics: [%s]}}", test.name, test.namespace, test.target, test.metric)))
	}
	if got := OnCPU(policy, hpas); !slices.Equal(got, []string{"a-cpu", "pool", "z-container"}) {
		t.Errorf("got %q, want those that scale the policy's targets by CPU, sorted", got)
	}
}

// TestThroughKEDA: an HPA of KEDA's does not name the policy. Its target tells whose it is, and else the ScaledObject's name.
func TestThroughKEDA(t *testing.T) {
	const pools = "  pools: [{name: gpu, max: 8, scaleTargetRef: {kind: Deployment, name: orders-gpu}}, {name: cpu, max: 24, scaleTargetRef: {kind: Deployment, name: orders}}]\n"
	for _, test := range []struct {
		name, target, more, scaledObject string
		reads                            bool
		pool                             string
	}{
		{"its target", "  scaleTargetRef: {kind: Deployment, name: orders}\n", "", "anything", true, ""},
		{"another target", "  scaleTargetRef: {kind: Deployment, name: emails}\n", "", "orders", false, ""},
		{"no target, its name", "", "", "orders", true, ""},
		{"no target, another name", "", "", "emails", false, ""},
		{"a pool's target", "", pools, "anything", true, "cpu"},
		{"no pool's target", "", strings.Replace(pools, "name: orders}", "name: emails}", 1), "orders", false, ""},
	} {
		policy := parse[v1alpha1.ScalePolicy](t, strings.Replace(policyText, "  scaleTargetRef: {kind: Deployment, name: orders}\n", test.target+test.more, 1))
		hpa := parse[autoscalingv2.HorizontalPodAutoscaler](t, strings.Replace(goodHPA, "prescale_desired_replicas, selector: {matchLabels: {policy: orders}",
			"s0-prescale_desired_replicas, selector: {matchLabels: {scaledobject.keda.sh/name: "+test.scaledObject+"}", 1))
		got, reads := usage(policy, hpa, &hpa.Spec.Metrics[0])
		if reads != test.reads || reads && strings.Join(got.pools, ",") != test.pool {
			t.Errorf("%s: reads %v, pools %v; want %v, %q", test.name, reads, got.pools, test.reads, test.pool)
		}
	}
	for _, name := range []string{"prescale_desired_replicas", "s-prescale_desired_replicas", "t0-prescale_desired_replicas", "sx-prescale_desired_replicas", "s0-prescale_kafka_lag_records"} {
		policy, hpa := parse[v1alpha1.ScalePolicy](t, policyText), parse[autoscalingv2.HorizontalPodAutoscaler](t, strings.Replace(goodHPA, "prescale_desired_replicas", name, 1))
		hpa.Spec.Metrics[0].External.Metric.Selector.MatchLabels[kedaSelector] = "orders"
		if got, reads := usage(policy, hpa, &hpa.Spec.Metrics[0]); reads && got.keda {
			t.Errorf("%s counts as one of KEDA's", name)
		}
	}
}

func TestEachPoolHasItsHPA(t *testing.T) {
	policy := parse[v1alpha1.ScalePolicy](t, strings.Replace(policyText, "  scaleTargetRef: {kind: Deployment, name: orders}\n",
		"  pools: [{name: gpu, max: 8, scaleTargetRef: {kind: Deployment, name: orders-gpu}}, {name: cpu, max: 24, scaleTargetRef: {kind: Deployment, name: orders-cpu}}]\n", 1))
	of := func(pool, target string) string {
		return strings.NewReplacer("metadata: {name: orders", "metadata: {name: "+target, "kind: Deployment, name: orders", "kind: Deployment, name: "+target,
			"policy: orders", "policy: orders, pool: "+pool).Replace(goodHPA)
	}
	gpu, cpu := of("gpu", "orders-gpu"), of("cpu", "orders-cpu")
	for _, test := range []struct {
		name  string
		hpas  []string
		codes string
		words string
	}{
		{"one each", []string{gpu, cpu}, "", ""},
		{"one forgotten", []string{gpu}, "NoHPA", "policy=orders,pool=cpu"},
		{"none", nil, "NoHPA", "policy=orders"},
		{"both shares in one", []string{goodHPA, cpu}, "AmbiguousSelector,NoHPA", "gpu, cpu"},
		{"one of no pool", []string{of("tpu", "orders-tpu")}, "NoHPA", "nothing in namespace shop reads"},
		{"swapped", []string{of("cpu", "orders-gpu"), of("gpu", "orders-cpu")}, "OtherTarget", "pool cpu watches Deployment orders-cpu"},
		{"narrow", []string{gpu, strings.Replace(cpu, "maxReplicas: 24", "maxReplicas: 9", 1)}, "Bounds", "pool cpu may be asked for 24"},
	} {
		var hpas []*autoscalingv2.HorizontalPodAutoscaler
		for _, text := range test.hpas {
			hpas = append(hpas, parse[autoscalingv2.HorizontalPodAutoscaler](t, text))
		}
		var codes, texts []string
		for _, f := range Check(policy, hpas, Facts{ServerMinor: 36, Policies: []string{"orders"}}) {
			if !slices.Contains(codes, string(f.Code)) {
				codes = append(codes, string(f.Code))
			}
			texts = append(texts, f.String())
		}
		text := strings.Join(texts, "\n")
		if got := strings.Join(codes, ","); got != test.codes || !strings.Contains(text, test.words) {
			t.Errorf("%s: got %q, want %q with %q: %s", test.name, got, test.codes, test.words, text)
		}
	}
}

// TestALongNameIsNoLabelsValue: the API server takes such a policy and refuses every HPA whose selector names it.
func TestALongNameIsNoLabelsValue(t *testing.T) {
	policy := parse[v1alpha1.ScalePolicy](t, policyText)
	for length, want := range map[int]string{63: "selector policy=", 64: "a name of at most 63 characters, since this one has 64"} {
		policy.Name = strings.Repeat("o", length)
		found := Check(policy, nil, Facts{ServerMinor: 36})
		if len(found) != 1 || found[0].Code != NoHPA || !strings.Contains(found[0].Remedy, want) {
			t.Errorf("a name of %d characters: got %v, want NoHPA with %q", length, found, want)
		}
	}
}

// TestATargetThatIsGone is told in the words of the HPA's controller (podautoscaler.HorizontalController, its reasons
// FailedGetScale and FailedUpdateScale); that it waits for its window is no finding.
func TestATargetThatIsGone(t *testing.T) {
	const status = `
status:
  conditions:
    - {type: AbleToScale, status: "%s", reason: %s, message: 'deployments.apps "orders" not found'}
`
	for _, tt := range []struct {
		status, reason string
		gone           bool
	}{
		{"False", "FailedGetScale", true},
		{"False", "FailedUpdateScale", true},
		{"False", "BackoffBoth", false},
		{"True", "SucceededGetScale", false},
	} {
		hpa := parse[autoscalingv2.HorizontalPodAutoscaler](t, goodHPA+fmt.Sprintf(status, tt.status, tt.reason))
		found := Check(parse[v1alpha1.ScalePolicy](t, policyText), []*autoscalingv2.HorizontalPodAutoscaler{hpa}, Facts{ServerMinor: 36, Partitions: 24})
		if gone := len(found) == 1 && found[0].Code == NoScale && found[0].Severity == Broken && strings.Contains(found[0].String(), `HPA orders: deployments.apps "orders" not found. Make`); gone != tt.gone || !tt.gone && len(found) > 0 {
			t.Errorf("%s %s: got %v, want it told: %t", tt.status, tt.reason, found, tt.gone)
		}
	}
	other := parse[autoscalingv2.HorizontalPodAutoscaler](t, strings.ReplaceAll(goodHPA, "policy: orders", "policy: another")+fmt.Sprintf(status, "False", "FailedGetScale"))
	for _, f := range Check(parse[v1alpha1.ScalePolicy](t, policyText), []*autoscalingv2.HorizontalPodAutoscaler{other}, Facts{ServerMinor: 36}) {
		if f.Code == NoScale {
			t.Errorf("another policy's HPA: %v", f)
		}
	}
}
