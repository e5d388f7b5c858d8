package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ScalePolicyStatus is what the daemon last decided for the policy and why. A value that is not known is absent, never 0.
type ScalePolicyStatus struct {
	// ObservedGeneration is the generation of the spec that the decision is for.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// DesiredReplicas is the wanted count, CurrentReplicas what worked or started when it was decided.
	// +optional
	DesiredReplicas *int32 `json:"desiredReplicas,omitempty"`
	// +optional
	CurrentReplicas *int32 `json:"currentReplicas,omitempty"`
	// Reason is the code of the rule that bound the decision, Message the same in words with its numbers.
	// +optional
	Reason string `json:"reason,omitempty"`
	// +optional
	Message string `json:"message,omitempty"`
	// Verdicts are findings that more replicas will not mend, sorted; VerdictSummary is the same as one text.
	// +listType=set
	// +optional
	Verdicts []string `json:"verdicts,omitempty"`
	// +optional
	VerdictSummary string `json:"verdictSummary,omitempty"`

	// LagRecords is how many records the group is behind, LagSeconds the age of the oldest among them.
	// +optional
	LagRecords *int64 `json:"lagRecords,omitempty"`
	// +optional
	LagSeconds *float64 `json:"lagSeconds,omitempty"`
	// Partitions is how many the topics have together.
	// +optional
	Partitions *int32 `json:"partitions,omitempty"`
	// +optional
	ArrivalRecordsPerSecond *float64 `json:"arrivalRecordsPerSecond,omitempty"`
	// CapacityRecordsPerSecond is what one replica has been seen to do.
	// +optional
	CapacityRecordsPerSecond *float64 `json:"capacityRecordsPerSecond,omitempty"`
	// LeadTimeSeconds is how long a new replica takes to its first record, as learned.
	// +optional
	LeadTimeSeconds *float64 `json:"leadTimeSeconds,omitempty"`
	// +optional
	Forecast *ForecastStatus `json:"forecast,omitempty"`
	// PendingReplicas is how many of the target's pods no node has room for, or a quota or an admission webhook refuses.
	// +optional
	PendingReplicas *int32 `json:"pendingReplicas,omitempty"`

	// Pools shows each pool of a policy that has several, in the spec's order.
	// +listType=map
	// +listMapKey=name
	// +optional
	Pools []PoolStatus `json:"pools,omitempty"`

	// Vertical shows the recommended sizes, where spec.vertical asks for them.
	// +listType=atomic
	// +optional
	Vertical []ContainerSize `json:"vertical,omitempty"`

	// DecidedAt is when the decision was taken. The numbers above are refreshed once a minute at most.
	// +optional
	DecidedAt *metav1.Time `json:"decidedAt,omitempty"`

	// Conditions are Ready, Accepted, HPA and, where spec.history or spec.vertical ask for something, History and Vertical.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// PoolStatus is one pool: how many replicas are wanted of it, how many work, and how many no node has room for or are refused.
type PoolStatus struct {
	Name string `json:"name"`
	// +optional
	DesiredReplicas *int32 `json:"desiredReplicas,omitempty"`
	// +optional
	ReadyReplicas *int32 `json:"readyReplicas,omitempty"`
	// +optional
	PendingReplicas *int32 `json:"pendingReplicas,omitempty"`
}

// ContainerSize is what one container of a target's pods should request, and the bounds within which it is well enough as it is.
// A container of a new pod begins with what the target's template says.
type ContainerSize struct {
	// Target is the scaled object, such as Deployment/orders.
	Target    string      `json:"target"`
	Container string      `json:"container"`
	Request   ReplicaSize `json:"request"`
	Lower     ReplicaSize `json:"lower"`
	Upper     ReplicaSize `json:"upper"`
	// Learned is the usage that this comes from, for the daemon to go on from after a restart. It is not for reading.
	// +kubebuilder:validation:MaxLength=8192
	// +optional
	Learned string `json:"learned,omitempty"`
}

// ReplicaSize is CPU and memory.
type ReplicaSize struct {
	CPU    resource.Quantity `json:"cpu"`
	Memory resource.Quantity `json:"memory"`
}

// ForecastStatus is the forecast in one line.
type ForecastStatus struct {
	// RecordsPerSecond is the Level quantile of the highest arrival rate within the horizon.
	RecordsPerSecond float64 `json:"recordsPerSecond"`
	Level            float64 `json:"level"`
	HorizonSteps     int32   `json:"horizonSteps"`
}

// The condition types.
const (
	// ConditionReady: the policy has a decision that can be trusted. False with a reason of Stale or NotReady.
	ConditionReady = "Ready"
	// ConditionAccepted: the policy is valid and nobody else claims its target.
	ConditionAccepted = "Accepted"
	// ConditionHPA: an HPA reads the policy's metric and will do what it says.
	ConditionHPA = "HPA"
	// ConditionHistory: the forecaster began with the history that the policy names. There only where it names one.
	ConditionHistory = "History"
	// ConditionVertical: usage is known, sizes are recommended and, where the policy says InPlace, carried out.
	ConditionVertical = "Vertical"
)
