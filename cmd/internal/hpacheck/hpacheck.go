// Package hpacheck finds what keeps a HorizontalPodAutoscaler from doing what a ScalePolicy says. Its main function is Check,
// used by `prescale check`, by the policy's HPA condition and on our own manifests. It reads objects and calls nobody.
package hpacheck

import (
	"fmt"
	"math"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/prescale/prescale/scaler/v1alpha1"
)

// DesiredReplicas is the metric that holds the decision.
const DesiredReplicas = "prescale_desired_replicas"

// metricPrefix begins the name of every metric of ours.
const metricPrefix = "prescale_"

// policyLabel and poolLabel are the labels that name a policy, and one of its pools, in a metric selector.
const (
	policyLabel = "policy"
	poolLabel   = "pool"
)

// defaultTolerance is the HPA's own where it is not set: --horizontal-pod-autoscaler-tolerance of kube-controller-manager.
const defaultTolerance = 0.1

// Severity says how bad a finding is.
type Severity string

const (
	// Broken means that the HPA will not do what the policy says.
	Broken Severity = "Broken"
	// Hampered means that it will do so partly or late.
	Hampered Severity = "Hampered"
)

// Code is the kind of a finding: a closed set, documented here.
type Code string

const (
	// NoHPA means that no HPA reads the policy's metrics.
	NoHPA Code = "NoHPA"
	// NoMetricsAPI means that the API through which the HPA reads does not answer. It takes a cluster to find, so Check does not.
	NoMetricsAPI Code = "NoMetricsAPI"
	// ToleranceTrap means that changes of one replica are ignored above a count, because they are within the tolerance.
	ToleranceTrap Code = "ToleranceTrap"
	// TargetType means that the metric's target does not fit what the metric means.
	TargetType Code = "TargetType"
	// AmbiguousSelector means that the selector matches several policies, or several pools of one, whose values the HPA would add up.
	AmbiguousSelector Code = "AmbiguousSelector"
	// OtherTarget means that the HPA scales something else than the policy watches.
	OtherTarget Code = "OtherTarget"
	// TwoControllers means that two HPAs scale one target.
	TwoControllers Code = "TwoControllers"
	// VerticalAndCPU means that an HPA scales on CPU what the policy resizes in place, and each acts on what the other changes.
	VerticalAndCPU Code = "VerticalAndCPU"
	// Bounds means that the HPA's bounds are narrower than the policy's.
	Bounds Code = "Bounds"
	// AbovePartitions means that the HPA allows more replicas than there are partitions.
	AbovePartitions Code = "AbovePartitions"
)

// Finding is one thing that is wrong, with what to do.
type Finding struct {
	Severity Severity `json:"severity"`
	Code     Code     `json:"code"`
	// HPA is its name; empty when none is concerned.
	HPA string `json:"hpa,omitempty"`
	// Message says what is wrong with its numbers, Remedy what to change.
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
}

func (f Finding) String() string {
	subject := ""
	if f.HPA != "" {
		subject = "HPA " + f.HPA + ": "
	}
	return fmt.Sprintf("%s: %s%s. %s", f.Code, subject, f.Message, f.Remedy)
}

// Facts are what is known of the cluster and the policy besides their objects.
type Facts struct {
	// ServerMinor is the cluster's version, 36 for 1.36; 0 when it is not known.
	ServerMinor int
	// Partitions is how many partitions the policy's topics have; 0 when it is not known.
	Partitions int
	// Policies are the names of all policies of the namespace.
	Policies []string
}

// Check returns what is wrong for the policy with the HPAs of its namespace, worst first. Neither is modified.
func Check(policy *v1alpha1.ScalePolicy, hpas []*autoscalingv2.HorizontalPodAutoscaler, facts Facts) []Finding {
	var found []Finding
	reading := 0
	read := map[string]bool{} // pools
	for _, hpa := range hpas {
		if hpa.Namespace != policy.Namespace {
			continue
		}
		for i := range hpa.Spec.Metrics {
			use, ok := usage(policy, hpa, &hpa.Spec.Metrics[i])
			if !ok {
				continue
			}
			reading++
			if use.metric == DesiredReplicas && len(use.pools) == 1 {
				read[use.pools[0]] = true
			}
			found = append(found, checkUse(policy, hpa, use, facts)...)
		}
	}
	found = append(found, twoControllers(policy, hpas)...)
	if policy.Spec.Vertical == v1alpha1.VerticalInPlace {
		for _, name := range OnCPU(policy, hpas) {
			found = append(found, Finding{
				Severity: Broken, Code: VerticalAndCPU, HPA: name,
				Message: "it scales on CPU, and the policy resizes CPU in place: each acts on what the other changes, so nothing is resized",
				Remedy:  "Remove the CPU metric, or use vertical: Recommend",
			})
		}
	}
	for _, pool := range policy.Spec.Pools {
		if reading > 0 && !read[pool.Name] && len(read) > 0 {
			found = append(found, Finding{
				Severity: Broken, Code: NoHPA,
				Message: fmt.Sprintf("no HPA reads the share of pool %s", pool.Name),
				Remedy:  fmt.Sprintf("Apply one on the external metric %s with the selector %s=%s,%s=%s and the target AverageValue 1", DesiredReplicas, policyLabel, policy.Name, poolLabel, pool.Name),
			})
		}
	}
	if reading == 0 {
		found = append(found, Finding{
			Severity: Broken, Code: NoHPA,
			Message: fmt.Sprintf("nothing in namespace %s reads a metric of policy %s", policy.Namespace, policy.Name),
			Remedy:  fmt.Sprintf("Apply an HPA on the external metric %s with the selector %s=%s and the target AverageValue 1, or a KEDA ScaledObject", DesiredReplicas, policyLabel, policy.Name),
		})
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return strings.Compare(string(a.Severity), string(b.Severity)) })
	return found
}

// use is how one metric of an HPA reads a policy.
type use struct {
	metric   string
	selector labels.Selector
	target   autoscalingv2.MetricTarget
	object   bool
	// keda says that KEDA reads for it, from one policy and pool.
	keda bool
	// pools are those whose value it gets, where the policy has pools and the metric is split over them.
	pools []string
}

// usage returns how the metric spec reads the policy, and whether it does.
func usage(policy *v1alpha1.ScalePolicy, hpa *autoscalingv2.HorizontalPodAutoscaler, spec *autoscalingv2.MetricSpec) (use, bool) {
	var u use
	var metric autoscalingv2.MetricIdentifier
	switch {
	case spec.Type == autoscalingv2.ExternalMetricSourceType && spec.External != nil:
		metric, u.target = spec.External.Metric, spec.External.Target
	case spec.Type == autoscalingv2.ObjectMetricSourceType && spec.Object != nil:
		object := spec.Object.DescribedObject
		if object.Kind != v1alpha1.Kind || object.Name != policy.Name {
			return use{}, false
		}
		metric, u.target, u.object = spec.Object.Metric, spec.Object.Target, true
	default:
		return use{}, false
	}
	if name, scaledObject, ok := ofKEDA(metric); ok {
		u.metric, u.selector = name, labels.Everything()
		return u.throughKEDA(policy, hpa, scaledObject)
	}
	if !strings.HasPrefix(metric.Name, metricPrefix) {
		return use{}, false
	}
	u.metric, u.selector = metric.Name, labels.Everything()
	if metric.Selector != nil {
		selector, err := metav1.LabelSelectorAsSelector(metric.Selector)
		if err != nil {
			return use{}, false
		}
		u.selector = selector
	}
	if u.metric != DesiredReplicas || len(policy.Spec.Pools) == 0 {
		return u, mayMatch(u.selector, policy.Name, "")
	}
	for _, pool := range policy.Spec.Pools {
		if mayMatch(u.selector, policy.Name, pool.Name) {
			u.pools = append(u.pools, pool.Name)
		}
	}
	return u, len(u.pools) > 0
}

// kedaSelector is the label by which an HPA that KEDA made asks KEDA's own metrics server.
const kedaSelector = "scaledobject.keda.sh/name"

// ofKEDA returns the metric of ours that KEDA's external scaler reads for the HPA's metric, and the ScaledObject: KEDA puts the
// trigger's index before the name, as s0-prescale_desired_replicas.
func ofKEDA(metric autoscalingv2.MetricIdentifier) (name, scaledObject string, ok bool) {
	index, name, found := strings.Cut(metric.Name, "-")
	if !found || len(index) < 2 || index[0] != 's' || strings.Trim(index[1:], "0123456789") != "" || name != DesiredReplicas || metric.Selector == nil {
		return "", "", false
	}
	scaledObject, ok = metric.Selector.MatchLabels[kedaSelector]
	return name, scaledObject, ok
}

// throughKEDA tells whose value the HPA gets. The trigger's metadata, which names the policy, is not in the HPA, so the target
// tells, and for a policy that names none the ScaledObject, whose name is the default for the policy's.
func (u use) throughKEDA(policy *v1alpha1.ScalePolicy, hpa *autoscalingv2.HorizontalPodAutoscaler, scaledObject string) (use, bool) {
	u.keda = true
	for _, pool := range policy.Spec.Pools {
		if pool.ScaleTargetRef != nil && sameTarget(*pool.ScaleTargetRef, hpa.Spec.ScaleTargetRef) {
			u.pools = []string{pool.Name}
			return u, true
		}
	}
	if target := policy.Spec.ScaleTargetRef; target != nil {
		return u, sameTarget(*target, hpa.Spec.ScaleTargetRef)
	}
	return u, len(policy.Spec.Pools) == 0 && scaledObject == policy.Name
}

// mayMatch reports whether the selector's requirements on the labels policy and pool let the value through. An empty pool
// stands for a value without that label.
func mayMatch(selector labels.Selector, policy, pool string) bool {
	set := labels.Set{policyLabel: policy}
	if pool != "" {
		set[poolLabel] = pool
	}
	requirements, _ := selector.Requirements()
	for _, r := range requirements {
		if (r.Key() == policyLabel || r.Key() == poolLabel) && !r.Matches(set) {
			return false
		}
	}
	return true
}

func checkUse(policy *v1alpha1.ScalePolicy, hpa *autoscalingv2.HorizontalPodAutoscaler, u use, facts Facts) []Finding {
	var found []Finding
	add := func(severity Severity, code Code, message, remedy string) {
		found = append(found, Finding{Severity: severity, Code: code, HPA: hpa.Name, Message: message, Remedy: remedy})
	}
	if !u.object && !u.keda {
		var matched []string
		for _, name := range facts.Policies {
			if name == policy.Name || mayMatch(u.selector, name, "") {
				matched = append(matched, name)
			}
		}
		if len(matched) > 1 {
			slices.Sort(matched)
			add(Broken, AmbiguousSelector,
				fmt.Sprintf("the selector of metric %s matches the policies %s, and an HPA adds up what it gets", u.metric, strings.Join(matched, ", ")),
				fmt.Sprintf("Add matchLabels: {%s: %s}", policyLabel, policy.Name))
		}
	}
	if len(u.pools) > 1 {
		add(Broken, AmbiguousSelector,
			fmt.Sprintf("the selector of metric %s matches the pools %s, and their shares would be added up", u.metric, strings.Join(u.pools, ", ")),
			fmt.Sprintf("Give each pool an HPA of its own with matchLabels: {%s: %s, %s: %s}", policyLabel, policy.Name, poolLabel, u.pools[0]))
	}
	switch {
	case u.metric == DesiredReplicas && u.target.Type != autoscalingv2.AverageValueMetricType:
		add(Broken, TargetType,
			fmt.Sprintf("the target of %s is of type %s, so the HPA multiplies its present replicas by the metric: 5 replicas that want 6 become 30", u.metric, u.target.Type),
			"Use target: {type: AverageValue, averageValue: \"1\"}")
	case u.metric == DesiredReplicas && (u.target.AverageValue == nil || u.target.AverageValue.Cmp(resource.MustParse("1")) != 0):
		add(Broken, TargetType,
			fmt.Sprintf("the target of %s is an average of %s, but the metric is the wanted count itself", u.metric, u.target.AverageValue.String()),
			"Use target: {type: AverageValue, averageValue: \"1\"}")
	case strings.HasSuffix(u.metric, "_records") && u.target.Type == autoscalingv2.ValueMetricType:
		add(Hampered, TargetType,
			fmt.Sprintf("the target of %s is of type Value, which does not fall as replicas are added: the HPA goes on to its maximum while lag drains", u.metric),
			"Use type AverageValue with the records that one replica may have before it, or the metric "+DesiredReplicas)
	}
	if u.metric == DesiredReplicas {
		if f, trapped := toleranceTrap(policy, hpa, u, facts); trapped {
			found = append(found, f)
		}
	}
	if target, who := watched(policy, u); target != nil && !sameTarget(*target, hpa.Spec.ScaleTargetRef) {
		add(Broken, OtherTarget,
			fmt.Sprintf("it scales %s %s, and the %s watches %s %s", hpa.Spec.ScaleTargetRef.Kind, hpa.Spec.ScaleTargetRef.Name, who, target.Kind, target.Name),
			"Make the two scaleTargetRefs the same")
	}
	return append(found, bounds(policy, hpa, u, facts)...)
}

// watched returns what an HPA that reads so should scale, nil when that is not said, and who says it.
func watched(policy *v1alpha1.ScalePolicy, u use) (target *v1alpha1.TargetRef, who string) {
	if len(policy.Spec.Pools) == 0 {
		return policy.Spec.ScaleTargetRef, "policy"
	}
	for _, pool := range policy.Spec.Pools {
		if len(u.pools) == 1 && pool.Name == u.pools[0] {
			return pool.ScaleTargetRef, "pool " + pool.Name
		}
	}
	return nil, ""
}

// toleranceTrap: an HPA does nothing while |wanted/present - 1| is within its tolerance, so a change of one is ignored from
// n = 1/tolerance replicas on: at ten with the default of 0.1 (kedacore/keda#2908: stuck at 63 of 64).
func toleranceTrap(policy *v1alpha1.ScalePolicy, hpa *autoscalingv2.HorizontalPodAutoscaler, u use, facts Facts) (Finding, bool) {
	var worst float64
	var where []string
	of := func(name string, rules *autoscalingv2.HPAScalingRules, highest int32) {
		tolerance := defaultTolerance
		if rules != nil && rules.Tolerance != nil {
			tolerance = rules.Tolerance.AsApproximateFloat64()
		}
		// The smallest count at which a change of one is ignored must be beyond the highest that is changed from.
		if tolerance > 0 && 1/tolerance <= float64(highest)+1e-9 {
			worst = max(worst, tolerance)
			where = append(where, "behavior."+name+".tolerance")
		}
	}
	var up, down *autoscalingv2.HPAScalingRules
	if hpa.Spec.Behavior != nil {
		up, down = hpa.Spec.Behavior.ScaleUp, hpa.Spec.Behavior.ScaleDown
	}
	of("scaleUp", up, hpa.Spec.MaxReplicas-1)
	of("scaleDown", down, hpa.Spec.MaxReplicas)
	if len(where) == 0 {
		return Finding{}, false
	}
	from := int(math.Floor(1/worst + 1e-9))
	remedy := "Set " + strings.Join(where, " and ") + " to 0"
	if u.keda {
		remedy += " under advanced.horizontalPodAutoscalerConfig of the ScaledObject"
	}
	switch {
	case facts.ServerMinor == 0:
		remedy += " (Kubernetes 1.35 or newer)"
	case facts.ServerMinor < 33:
		remedy = fmt.Sprintf("Kubernetes 1.%d has no tolerance per HPA: start kube-controller-manager with --horizontal-pod-autoscaler-tolerance=0.001, or upgrade to 1.35", facts.ServerMinor)
	case facts.ServerMinor < 35:
		remedy += fmt.Sprintf("; on Kubernetes 1.%d this needs the feature gate HPAConfigurableTolerance on the API server and kube-controller-manager", facts.ServerMinor)
	}
	return Finding{
		Severity: Hampered, Code: ToleranceTrap, HPA: hpa.Name,
		Message: fmt.Sprintf("a tolerance of %g makes it ignore a change of one from %d replicas on, and up to %d are allowed: it would not follow policy %s from %d to %d or back",
			worst, from, hpa.Spec.MaxReplicas, policy.Name, hpa.Spec.MaxReplicas-1, hpa.Spec.MaxReplicas),
		Remedy: remedy,
	}, true
}

func bounds(policy *v1alpha1.ScalePolicy, hpa *autoscalingv2.HorizontalPodAutoscaler, u use, facts Facts) []Finding {
	var found []Finding
	hpaMin := int32(1)
	if hpa.Spec.MinReplicas != nil {
		hpaMin = *hpa.Spec.MinReplicas
	}
	policyMin := int32(1)
	if policy.Spec.Replicas.Min != nil {
		policyMin = *policy.Spec.Replicas.Min
	}
	if u.metric == DesiredReplicas && len(policy.Spec.Pools) == 0 {
		if hpa.Spec.MaxReplicas < policy.Spec.Replicas.Max {
			found = append(found, Finding{Hampered, Bounds, hpa.Name,
				fmt.Sprintf("maxReplicas is %d, and the policy may ask for %d", hpa.Spec.MaxReplicas, policy.Spec.Replicas.Max),
				"Make maxReplicas and spec.replicas.max the same"})
		}
		if hpaMin > policyMin {
			found = append(found, Finding{Hampered, Bounds, hpa.Name,
				fmt.Sprintf("minReplicas is %d, and the policy may ask for %d", hpaMin, policyMin),
				"Make minReplicas and spec.replicas.min the same (0 needs Kubernetes 1.37 or the feature gate HPAScaleToZero)"})
		}
	}
	for _, pool := range policy.Spec.Pools {
		if len(u.pools) == 1 && pool.Name == u.pools[0] && hpa.Spec.MaxReplicas < pool.Max {
			found = append(found, Finding{Hampered, Bounds, hpa.Name,
				fmt.Sprintf("maxReplicas is %d, and pool %s may be asked for %d", hpa.Spec.MaxReplicas, pool.Name, pool.Max),
				"Make maxReplicas and the pool's max the same"})
		}
	}
	if facts.Partitions > 0 && int(hpa.Spec.MaxReplicas) > facts.Partitions {
		found = append(found, Finding{Hampered, AbovePartitions, hpa.Name,
			fmt.Sprintf("maxReplicas is %d, and the topics have %d partitions: replicas beyond that idle", hpa.Spec.MaxReplicas, facts.Partitions),
			fmt.Sprintf("Lower maxReplicas to %d, or add partitions", facts.Partitions)})
	}
	return found
}

// twoControllers finds targets of the policy that more than one HPA scales.
func twoControllers(policy *v1alpha1.ScalePolicy, hpas []*autoscalingv2.HorizontalPodAutoscaler) []Finding {
	var found []Finding
	for _, target := range Targets(policy) {
		var names []string
		for _, hpa := range hpas {
			if hpa.Namespace == policy.Namespace && sameTarget(target, hpa.Spec.ScaleTargetRef) {
				names = append(names, hpa.Name)
			}
		}
		if len(names) > 1 {
			slices.Sort(names)
			found = append(found, Finding{
				Severity: Broken, Code: TwoControllers,
				Message: fmt.Sprintf("the HPAs %s all scale %s %s and will undo one another", strings.Join(names, ", "), target.Kind, target.Name),
				Remedy:  "Keep one; several metrics in one HPA take the highest",
			})
		}
	}
	return found
}

// OnCPU returns the names of the HPAs, sorted, that scale a target of the policy by its CPU.
func OnCPU(policy *v1alpha1.ScalePolicy, hpas []*autoscalingv2.HorizontalPodAutoscaler) []string {
	var names []string
	for _, hpa := range hpas {
		scales := slices.ContainsFunc(Targets(policy), func(t v1alpha1.TargetRef) bool { return sameTarget(t, hpa.Spec.ScaleTargetRef) })
		onCPU := slices.ContainsFunc(hpa.Spec.Metrics, func(m autoscalingv2.MetricSpec) bool {
			return m.Resource != nil && m.Resource.Name == corev1.ResourceCPU || m.ContainerResource != nil && m.ContainerResource.Name == corev1.ResourceCPU
		})
		if hpa.Namespace == policy.Namespace && scales && onCPU {
			names = append(names, hpa.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Targets returns what the policy's replicas run in: its target and those of its pools.
func Targets(policy *v1alpha1.ScalePolicy) []v1alpha1.TargetRef {
	var targets []v1alpha1.TargetRef
	if t := policy.Spec.ScaleTargetRef; t != nil {
		targets = append(targets, *t)
	}
	for _, pool := range policy.Spec.Pools {
		if pool.ScaleTargetRef != nil {
			targets = append(targets, *pool.ScaleTargetRef)
		}
	}
	return targets
}

// sameTarget compares by group, kind and name; the version does not matter.
func sameTarget(a v1alpha1.TargetRef, b autoscalingv2.CrossVersionObjectReference) bool {
	group := func(apiVersion string) string {
		group, _, found := strings.Cut(apiVersion, "/")
		if !found {
			return "apps" // the default of a policy
		}
		return group
	}
	return a.Kind == b.Kind && a.Name == b.Name && group(a.APIVersion) == group(b.APIVersion)
}
