// Package hpacheck finds what keeps a HorizontalPodAutoscaler from doing what a ScalePolicy says. Its main function is Check,
// used by `prescale check`, by the policy's HPA condition and on our own manifests. It reads objects and calls nobody.
package hpacheck

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

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
	// NoScale means that the HPA's controller cannot read or write the scale of its target, as where somebody has deleted it.
	NoScale Code = "NoScale"
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
		before := reading
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
		if reading > before {
			found = append(found, noScale(hpa)...)
		}
	}
	found = append(found, twoControllers(policy, hpas)...)
	if policy.Spec.Vertical == v1alpha1.VerticalInPlace {
		for _, name := range OnCPU(policy, hpas) {
			found = append(found, Finding{
				Severity: Broken, Code: VerticalAndCPU, HPA: name,
				Message: "it scales on CPU, and the policy resizes CPU in place: " +
					"each acts on what the other changes, so nothing is resized",
				Remedy: "Remove the CPU metric, or use vertical: Recommend",
			})
		}
	}
	for _, pool := range policy.Spec.Pools {
		if reading > 0 && !read[pool.Name] && len(read) > 0 {
			found = append(found, Finding{
				Severity: Broken, Code: NoHPA,
				Message: fmt.Sprintf("no HPA reads the share of pool %s", pool.Name),
				Remedy: cmp.Or(unselectable(policy.Name),
					fmt.Sprintf("Apply one on the external metric %s with the selector %s=%s,%s=%s and the target AverageValue 1",
						DesiredReplicas, policyLabel, policy.Name, poolLabel, pool.Name)),
			})
		}
	}
	if reading == 0 {
		found = append(found, Finding{
			Severity: Broken, Code: NoHPA,
			Message: fmt.Sprintf("nothing in namespace %s reads a metric of policy %s", policy.Namespace, policy.Name),
			Remedy: cmp.Or(unselectable(policy.Name),
				fmt.Sprintf("Apply an HPA on the external metric %s with the selector %s=%s and the target AverageValue "+
					"1, or a KEDA ScaledObject", DesiredReplicas, policyLabel, policy.Name)),
		})
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return strings.Compare(string(a.Severity), string(b.Severity)) })
	return found
}

// noScale hands on what the HPA's controller says of a target whose scale it cannot read or write.
func noScale(hpa *autoscalingv2.HorizontalPodAutoscaler) []Finding {
	for _, c := range hpa.Status.Conditions {
		if c.Type == autoscalingv2.AbleToScale && c.Status == corev1.ConditionFalse &&
			(c.Reason == "FailedGetScale" || c.Reason == "FailedUpdateScale") {
			return []Finding{{
				Severity: Broken, Code: NoScale, HPA: hpa.Name, Message: c.Message,
				Remedy: "Make what its scaleTargetRef names, or name there and in the policy what there is",
			}}
		}
	}
	return nil
}

// unselectable says what to do about a policy whose name no HPA's selector can hold, so that the API server refuses the HPA: an
// object's name may have 253 characters, a label's value 63. It is empty for other names.
func unselectable(name string) string {
	if len(name) <= validation.LabelValueMaxLength {
		return ""
	}
	return fmt.Sprintf("Give the policy a name of at most %d characters, since this one has %d and no HPA's selector can hold it, "+
		"or read it as an Object metric or through KEDA",
		validation.LabelValueMaxLength, len(name))
}

// kedaSelector is the label by which an HPA that KEDA made asks KEDA's own metrics server.
const kedaSelector = "scaledobject.keda.sh/name"

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
			fmt.Sprintf("maxReplicas is %d, and the topics have %d partitions: replicas beyond that idle", hpa.Spec.MaxReplicas,
				facts.Partitions),
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
				Message: fmt.Sprintf("the HPAs %s all scale %s %s and will undo one another", strings.Join(names, ", "), target.Kind,
					target.Name),
				Remedy: "Keep one; several metrics in one HPA take the highest",
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
			return m.Resource != nil && m.Resource.Name == corev1.ResourceCPU ||
				m.ContainerResource != nil && m.ContainerResource.Name == corev1.ResourceCPU
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
