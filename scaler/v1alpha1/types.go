// Package v1alpha1 holds the ScalePolicy type of prescale.dev/v1alpha1: the one way to say what is scaled, as a resource in
// Kubernetes or as a file outside it. It holds no rules of scaling; package scaler does.
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ScalePolicy says which consumer group is scaled, what is promised for it and within which bounds.
type ScalePolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ScalePolicySpec `json:"spec"`
}

// ScalePolicySpec is what the user promises and allows.
type ScalePolicySpec struct {
	// ScaleTargetRef is what the HPA scales. It is only read: for the pods' start-up times and readiness.
	ScaleTargetRef *TargetRef `json:"scaleTargetRef,omitempty"`
	// Kafka names the consumer group.
	Kafka KafkaSource `json:"kafka"`
	// Objective is what is promised.
	Objective Objective `json:"objective"`
	// Replicas bounds the answer.
	Replicas ReplicaBounds `json:"replicas"`
	// LeadTime is where learning of the start-up time begins.
	LeadTime LeadTime `json:"leadTime,omitempty"`
	// Interval is the time between ticks. Default 15s.
	Interval metav1.Duration `json:"interval,omitempty"`
	// Season lists known season lengths, shortest first; empty means that seasons are looked for.
	Season []metav1.Duration `json:"season,omitempty"`
	// Mode is Active, or Observe: decide and show, but serve the present count.
	Mode Mode `json:"mode,omitempty"`
	// Paused freezes the answer at the present count.
	Paused bool `json:"paused,omitempty"`
	// Pools splits the replicas over several targets of unequal speed and price; empty means one target. With pools,
	// replicas.max is the bound of their sum and each pool has a cap of its own.
	Pools []Pool `json:"pools,omitempty"`
	// Schedules raise replicas.min at certain times.
	Schedules []Schedule `json:"schedules,omitempty"`
	// Budget bounds what a day may cost.
	Budget *Budget `json:"budget,omitempty"`
	// Vertical says what is done with the recommended pod size.
	Vertical VerticalMode `json:"vertical,omitempty"`
}

// Pool is one target among several: GPU, CPU or spot nodes.
type Pool struct {
	Name           string     `json:"name"`
	ScaleTargetRef *TargetRef `json:"scaleTargetRef,omitempty"`
	// Max is how many replicas the pool has room for.
	Max int32 `json:"max"`
	// Price is what a replica-hour costs, in any one currency. Default 1.
	Price float64 `json:"price,omitempty"`
}

// Schedule raises the lower bound for Duration after each time at which Start fires.
type Schedule struct {
	// Start is a cron expression of five fields: minute, hour, day of month, month, day of week.
	Start    string          `json:"start"`
	Duration metav1.Duration `json:"duration"`
	// TimeZone is an IANA name. Default UTC.
	TimeZone    string `json:"timeZone,omitempty"`
	MinReplicas int32  `json:"minReplicas"`
}

// Budget bounds what a day may cost.
type Budget struct {
	// ReplicaHoursPerDay is the most that may be spent between two midnights UTC. When it binds, the answer is lowered to
	// what can be paid for until midnight, never below replicas.min.
	ReplicaHoursPerDay float64 `json:"replicaHoursPerDay"`
}

// VerticalMode says what is done with the recommended pod size.
type VerticalMode string

// The vertical modes.
const (
	VerticalOff       VerticalMode = "Off"
	VerticalRecommend VerticalMode = "Recommend"
	VerticalInPlace   VerticalMode = "InPlace"
)

// TargetRef names a scalable object in the policy's namespace.
type TargetRef struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
}

// KafkaSource names a consumer group and its topics.
type KafkaSource struct {
	// Cluster is a name from the daemon's configuration. Default "main".
	Cluster string `json:"cluster,omitempty"`
	Group   string `json:"group"`
	// Topics are the topics counted; empty means all that the group has committed or is assigned.
	Topics []string `json:"topics,omitempty"`
	// Reset is the consumers' auto.offset.reset: earliest or latest. Default latest, as Kafka's consumers.
	Reset string `json:"reset,omitempty"`
	// ReadCommitted says that the consumers read committed records only.
	ReadCommitted bool `json:"readCommitted,omitempty"`
}

// Objective is the promise: at most ViolationRatio of the records wait longer than LagSeconds.
type Objective struct {
	LagSeconds float64 `json:"lagSeconds"`
	// ViolationRatio is the allowed share, 0 to 1. Default 0.001.
	ViolationRatio float64 `json:"violationRatio,omitempty"`
	// LatencySeconds bounds the latency that the policy's latency source reports; 0 means none is promised.
	LatencySeconds float64 `json:"latencySeconds,omitempty"`
}

// ReplicaBounds bounds the answer.
type ReplicaBounds struct {
	// Min may be 0: scale to zero. Default 1.
	Min *int32 `json:"min,omitempty"`
	Max int32  `json:"max"`
}

// LeadTime is the time from a scale request to a replica's first record.
type LeadTime struct {
	// Initial is assumed until it has been learned. Default 60s.
	Initial metav1.Duration `json:"initial,omitempty"`
}

// Mode says whether the answer is served.
type Mode string

// The modes.
const (
	Active  Mode = "Active"
	Observe Mode = "Observe"
)
