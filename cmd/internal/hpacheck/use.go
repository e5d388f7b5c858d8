package hpacheck

import (
	"fmt"
	"math"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/prescale/prescale/scaler/v1alpha1"
)

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

// ofKEDA returns the metric of ours that KEDA's external scaler reads for the HPA's metric, and the ScaledObject: KEDA puts the
// trigger's index before the name, as s0-prescale_desired_replicas.
func ofKEDA(metric autoscalingv2.MetricIdentifier) (name, scaledObject string, ok bool) {
	index, name, found := strings.Cut(metric.Name, "-")
	if !found || len(index) < 2 || index[0] != 's' || strings.Trim(index[1:], "0123456789") != "" || name != DesiredReplicas ||
		metric.Selector == nil {
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
				fmt.Sprintf("the selector of metric %s matches the policies %s, and an HPA adds up what it gets", u.metric,
					strings.Join(matched, ", ")),
				fmt.Sprintf("Add matchLabels: {%s: %s}", policyLabel, policy.Name))
		}
	}
	if len(u.pools) > 1 {
		add(Broken, AmbiguousSelector,
			fmt.Sprintf("the selector of metric %s matches the pools %s, and their shares would be added up", u.metric,
				strings.Join(u.pools, ", ")),
			fmt.Sprintf("Give each pool an HPA of its own with matchLabels: {%s: %s, %s: %s}", policyLabel, policy.Name, poolLabel,
				u.pools[0]))
	}
	switch {
	case u.metric == DesiredReplicas && u.target.Type != autoscalingv2.AverageValueMetricType:
		add(Broken, TargetType,
			fmt.Sprintf("the target of %s is of type %s, so the HPA multiplies its present replicas by the metric: "+
				"5 replicas that want 6 become 30", u.metric, u.target.Type),
			"Use target: {type: AverageValue, averageValue: \"1\"}")
	case u.metric == DesiredReplicas && (u.target.AverageValue == nil || u.target.AverageValue.Cmp(resource.MustParse("1")) != 0):
		add(Broken, TargetType,
			fmt.Sprintf("the target of %s is an average of %s, but the metric is the wanted count itself", u.metric,
				u.target.AverageValue.String()),
			"Use target: {type: AverageValue, averageValue: \"1\"}")
	case strings.HasSuffix(u.metric, "_records") && u.target.Type == autoscalingv2.ValueMetricType:
		add(Hampered, TargetType,
			fmt.Sprintf("the target of %s is of type Value, which does not fall as replicas are added: "+
				"the HPA goes on to its maximum while lag drains", u.metric),
			"Use type AverageValue with the records that one replica may have before it, or the metric "+DesiredReplicas)
	}
	if u.metric == DesiredReplicas {
		if f, trapped := toleranceTrap(policy, hpa, u, facts); trapped {
			found = append(found, f)
		}
	}
	if target, who := watched(policy, u); target != nil && !sameTarget(*target, hpa.Spec.ScaleTargetRef) {
		add(Broken, OtherTarget,
			fmt.Sprintf("it scales %s %s, and the %s watches %s %s", hpa.Spec.ScaleTargetRef.Kind, hpa.Spec.ScaleTargetRef.Name, who,
				target.Kind, target.Name),
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
		remedy = fmt.Sprintf("Kubernetes 1.%d has no tolerance per HPA: start kube-controller-manager with "+
			"--horizontal-pod-autoscaler-tolerance=0.001, or upgrade to 1.35", facts.ServerMinor)
	case facts.ServerMinor < 35:
		remedy += fmt.Sprintf("; on Kubernetes 1.%d this needs the feature gate HPAConfigurableTolerance on the API server "+
			"and kube-controller-manager", facts.ServerMinor)
	}
	return Finding{
		Severity: Hampered, Code: ToleranceTrap, HPA: hpa.Name,
		Message: fmt.Sprintf("a tolerance of %g makes it ignore a change of one from %d replicas on, and up to %d are allowed: "+
			"it would not follow policy %s from %d to %d or back",
			worst, from, hpa.Spec.MaxReplicas, policy.Name, hpa.Spec.MaxReplicas-1, hpa.Spec.MaxReplicas),
		Remedy: remedy,
	}, true
}
