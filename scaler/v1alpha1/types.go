// Package v1alpha1 holds the ScalePolicy type of prescale.dev/v1alpha1: the one way to say what is scaled, as a resource in
// Kubernetes or as a file outside it. It holds no rules of scaling; package scaler does.
//
// The markers make the CustomResourceDefinition in manifests/crd and zz_generated.deepcopy.go (hack/generate.sh). Its CEL
// rules are those of ScalerConfig, so that the API server refuses what the daemon would; a test holds the two together. What CEL
// cannot know, whether a time zone exists and a cron expression's numbers are within their fields, the policy's status tells.
//
// +kubebuilder:object:generate=true
// +groupName=prescale.dev
package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ScalePolicy says which consumer group is scaled, what is promised for it and within which bounds.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=scp,categories=autoscaling
// +kubebuilder:printcolumn:name="Current",type=integer,JSONPath=".status.currentReplicas",description="Replicas that work or start"
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=".status.desiredReplicas",description="Replicas that are wanted"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=".status.reason",description="The rule that bound the decision"
// +kubebuilder:printcolumn:name="Lag(s)",type=number,JSONPath=".status.lagSeconds",description="Age of the oldest record not yet committed"
// +kubebuilder:printcolumn:name="Rate/s",type=number,JSONPath=".status.arrivalRecordsPerSecond",description="Records that arrive per second"
// +kubebuilder:printcolumn:name="Forecast/s",type=number,priority=1,JSONPath=".status.forecast.recordsPerSecond",description="Quantile of the highest arrival rate within the lead time"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=".status.conditions[?(@.type=='Ready')].status",description="Whether the metric can be trusted"
// +kubebuilder:printcolumn:name="Verdicts",type=string,JSONPath=".status.verdictSummary",description="What more replicas will not mend"
// +kubebuilder:printcolumn:name="Group",type=string,priority=1,JSONPath=".spec.kafka.group"
// +kubebuilder:printcolumn:name="Mode",type=string,priority=1,JSONPath=".spec.mode"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=".metadata.creationTimestamp"
type ScalePolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ScalePolicySpec `json:"spec"`
	// +optional
	Status ScalePolicyStatus `json:"status,omitzero"`
}

// ScalePolicyList is several policies.
//
// +kubebuilder:object:root=true
type ScalePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ScalePolicy `json:"items"`
}

// ScalePolicySpec is what the user promises and allows.
//
// +kubebuilder:validation:XValidation:rule="!has(self.season) || self.season.all(s, duration(s) >= duration(has(self.interval) ? self.interval : '15s') + duration(has(self.interval) ? self.interval : '15s'))",message="season: want each at least two intervals, such as 24h"
// +kubebuilder:validation:XValidation:rule="!has(self.season) || self.season.all(i, s, i == 0 || duration(self.season[i-1]) < duration(s))",message="season: want the shortest first"
// +kubebuilder:validation:XValidation:rule="!has(self.history) || !has(self.history.topic) || !self.history.topic || has(self.kafka.topics) && size(self.kafka.topics) > 0",message="history.topic: want kafka.topics too, to say which"
// +kubebuilder:validation:XValidation:rule="!has(self.schedules) || self.schedules.all(s, s.minReplicas <= self.replicas.max)",message="schedules: want minReplicas at most replicas.max"
type ScalePolicySpec struct {
	// ScaleTargetRef is what the HPA scales. It is only read: for the pods' start-up times and readiness.
	// +optional
	ScaleTargetRef *TargetRef `json:"scaleTargetRef,omitempty"`
	// Kafka names the consumer group.
	Kafka KafkaSource `json:"kafka"`
	// Objective is what is promised.
	Objective Objective `json:"objective"`
	// Replicas bounds the answer.
	Replicas ReplicaBounds `json:"replicas"`
	// Sources measure what Kafka's offsets do not tell.
	// +optional
	Sources *Sources `json:"sources,omitempty"`
	// LeadTime is where learning of the start-up time begins.
	// +optional
	LeadTime LeadTime `json:"leadTime,omitzero"`
	// Interval is the time between ticks, 1s to 1h. Default 15s.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="want a duration of 1s to 1h, such as 15s"
	// +kubebuilder:default="15s"
	// +optional
	Interval *metav1.Duration `json:"interval,omitempty"`
	// Season lists known season lengths, two at most, shortest first, such as 24h and 168h; empty means that seasons are looked for.
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:Type=string
	// +kubebuilder:validation:items:MaxLength=32
	// +optional
	Season []metav1.Duration `json:"season,omitempty"`
	// Events are spans in which a known multiple of the usual arrivals comes: the forecast has them a lead time ahead, and the
	// usual level is learned without them. Where they overlap the largest factor counts.
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=name
	// +optional
	Events []Event `json:"events,omitempty"`
	// History is where the past arrivals of a new policy are.
	// +optional
	History *History `json:"history,omitempty"`
	// Mode is Active, or Observe: decide and show, but serve the present count.
	// +kubebuilder:default=Active
	// +optional
	Mode Mode `json:"mode,omitempty"`
	// Paused freezes the answer at the present count.
	// +optional
	Paused bool `json:"paused,omitempty"`
	// Pools splits the replicas over several targets of unequal speed and price; empty means one target. With pools,
	// replicas.max is the bound of their sum and each pool has a cap of its own.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	Pools []Pool `json:"pools,omitempty"`
	// Schedules raise replicas.min at certain times.
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	Schedules []Schedule `json:"schedules,omitempty"`
	// Budget bounds what a day may cost.
	// +optional
	Budget *Budget `json:"budget,omitempty"`
	// Vertical says what is done with the recommended pod size.
	// +kubebuilder:default=None
	// +optional
	Vertical VerticalMode `json:"vertical,omitempty"`
	// VerticalMax bounds what a resize in place may give a container. What it leaves out is bounded by the container's present
	// limit, which then stays as it is.
	// +optional
	VerticalMax *ResourceMax `json:"verticalMax,omitempty"`
}

// ResourceMax is the most that one container may be given, as request and as limit.
type ResourceMax struct {
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="want more than 0, such as 2"
	// +optional
	CPU *resource.Quantity `json:"cpu,omitempty"`
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="want more than 0, such as 2Gi"
	// +optional
	Memory *resource.Quantity `json:"memory,omitempty"`
}

// Pool is one target among several: GPU, CPU or spot nodes.
type Pool struct {
	// Name tells the pools apart in metrics. It is the value of a label, by which an HPA selects its own.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
	Name string `json:"name"`
	// ScaleTargetRef is what this pool's HPA scales.
	// +optional
	ScaleTargetRef *TargetRef `json:"scaleTargetRef,omitempty"`
	// Max is how many replicas the pool has room for.
	// +kubebuilder:validation:Minimum=1
	Max int32 `json:"max"`
	// Price is what a replica-hour costs, in any one currency. Default 1.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:ExclusiveMinimum=true
	// +optional
	Price *float64 `json:"price,omitempty"`
	// Speed is how many times as much a replica of this pool does as one of a pool with 1. It is relied on until what the pool's
	// replicas do has been measured. Default 1.
	// +kubebuilder:validation:XValidation:rule="self >= 0.001 && self <= 1000.0",message="want 0.001 to 1000, such as 10"
	// +optional
	Speed *float64 `json:"speed,omitempty"`
}

// Schedule raises the lower bound for Duration after each time at which Start fires.
type Schedule struct {
	// Start is a cron expression of five fields: minute, hour, day of month, month, day of week, where 0 and 7 are Sunday.
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^\s*(\S+\s+){4}\S+\s*$`
	Start string `json:"start"`
	// Duration is how long the raised bound holds.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s') && duration(self) <= duration('744h')",message="want more than 0 and at most 744h, such as 8h"
	Duration metav1.Duration `json:"duration"`
	// TimeZone is an IANA name. Default UTC.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	TimeZone string `json:"timeZone,omitempty"`
	// MinReplicas is the raised bound, at most replicas.max.
	// +kubebuilder:validation:Minimum=1
	MinReplicas int32 `json:"minReplicas"`
}

// Event is a known event, such as a sale: for Duration after each time at which Start fires, Factor times the
// usual arrivals come.
type Event struct {
	// Name tells the events apart.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Start is a cron expression of five fields: minute, hour, day of month, month, day of week, where 0 and 7 are Sunday.
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^\s*(\S+\s+){4}\S+\s*$`
	Start string `json:"start"`
	// Duration is how long the event lasts.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s') && duration(self) <= duration('744h')",message="want more than 0 and at most 744h, such as 2h"
	Duration metav1.Duration `json:"duration"`
	// TimeZone is an IANA name. Default UTC.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	TimeZone string `json:"timeZone,omitempty"`
	// Factor is how many times the usual arrivals come: 5 for a sale, 0.2 for a holiday. Where it is left out it is learned from
	// the event's past occurrences, beginning at 1.
	// +kubebuilder:validation:XValidation:rule="self >= 0.01 && self <= 1000.0",message="want 0.01 to 1000"
	// +optional
	Factor *float64 `json:"factor,omitempty"`
	// Learn says that Factor is only where learning begins.
	// +optional
	Learn bool `json:"learn,omitempty"`
}

// Budget bounds what a day may cost.
type Budget struct {
	// ReplicaHoursPerDay is the most that may be spent between two midnights UTC. When it binds, the answer is lowered to
	// what can be paid for until midnight, never below replicas.min.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:ExclusiveMinimum=true
	ReplicaHoursPerDay float64 `json:"replicaHoursPerDay"`
}

// VerticalMode says what is done with the recommended pod size.
//
// +kubebuilder:validation:Enum=None;Recommend;InPlace
type VerticalMode string

// The vertical modes. It is None and not Off, because YAML reads an Off without quotes as false.
const (
	VerticalNone      VerticalMode = "None"
	VerticalRecommend VerticalMode = "Recommend"
	VerticalInPlace   VerticalMode = "InPlace"
)

// TargetRef names a scalable object in the policy's namespace.
type TargetRef struct {
	// APIVersion is group/version. Default apps/v1.
	// +kubebuilder:validation:MaxLength=317
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`
	// Kind is Deployment, StatefulSet or any kind with a scale subresource.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// KafkaSource names a consumer group and its topics.
type KafkaSource struct {
	// Cluster is a name from the daemon's configuration. Default "main".
	// +kubebuilder:default=main
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Cluster string `json:"cluster,omitempty"`
	// Group is the consumer group.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32767
	Group string `json:"group"`
	// Topics are the topics counted; empty means all that the group has committed or is assigned.
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MaxLength=249
	// +kubebuilder:validation:items:Pattern=`^(\.*[a-zA-Z0-9_-][a-zA-Z0-9._-]*|\.{3,})$`
	// +listType=set
	// +optional
	Topics []string `json:"topics,omitempty"`
	// Reset is the consumers' auto.offset.reset: earliest or latest. Default latest, as Kafka's consumers.
	// +kubebuilder:validation:Enum=earliest;latest
	// +kubebuilder:default=latest
	// +optional
	Reset string `json:"reset,omitempty"`
	// ReadCommitted says that the consumers read committed records only.
	// +optional
	ReadCommitted bool `json:"readCommitted,omitempty"`
}

// Objective is the promise: at most ViolationRatio of the records wait longer than LagSeconds.
type Objective struct {
	// LagSeconds is how long a record may wait.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:ExclusiveMinimum=true
	LagSeconds float64 `json:"lagSeconds"`
	// ViolationRatio is the allowed share, more than 0 and less than 1. Default 0.001.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:ExclusiveMinimum=true
	// +kubebuilder:validation:Maximum=1
	// +kubebuilder:validation:ExclusiveMaximum=true
	// +kubebuilder:default=0.001
	// +optional
	ViolationRatio *float64 `json:"violationRatio,omitempty"`
	// LatencySeconds bounds the latency that sources measure, at sources.latencyQuantile; 0 means none is promised.
	// +kubebuilder:validation:Minimum=0
	// +optional
	LatencySeconds float64 `json:"latencySeconds,omitempty"`
}

// ReplicaBounds bounds the answer.
//
// +kubebuilder:validation:XValidation:rule="(has(self.min) ? self.min : 1) <= self.max",message="min: want at most max"
type ReplicaBounds struct {
	// Min may be 0: scale to zero. Default 1.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=1
	// +optional
	Min *int32 `json:"min,omitempty"`
	// Max is the most that may be asked for. Partitions bound it too.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Max int32 `json:"max"`
}

// LeadTime is the time from a scale request to a replica's first record.
type LeadTime struct {
	// Initial is assumed until it has been learned. Default 60s.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="want a positive duration such as 60s"
	// +kubebuilder:default="60s"
	// +optional
	Initial *metav1.Duration `json:"initial,omitempty"`
}

// Mode says whether the answer is served.
//
// +kubebuilder:validation:Enum=Active;Observe
type Mode string

// The modes.
const (
	Active  Mode = "Active"
	Observe Mode = "Observe"
)
