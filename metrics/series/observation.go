package series

import "time"

// Observation is everything that one tick learned about one policy. It is what the event log keeps and what a replay
// reads, so a decision depends on observations and on nothing else. Any Value may be missing.
type Observation struct {
	// Policy is "namespace/name".
	Policy string
	// At is when the sample was taken, in UTC.
	At time.Time
	// Interval is the time since the policy's previous observation: the span that the counts below cover. Zero on the
	// first one, whose counts are then missing.
	Interval time.Duration

	// ArrivalRecords is how many records were appended to the policy's topics during Interval.
	ArrivalRecords Value
	// Counted says up to where the arrivals are counted, for whoever goes on counting. No decision depends on it.
	Counted Counted
	// ConsumedRecords is how many records the group committed during Interval.
	ConsumedRecords Value
	// ArrivalWork is what arrived in the policy's unit of work (tokens, bytes) where it names one other than records.
	ArrivalWork Value
	// LagRecords is how many records the group is behind, summed over partitions; missing when any partition is.
	LagRecords Value
	// LagSeconds is the age of the oldest record not yet committed: the maximum over partitions, 0 when caught up.
	LagSeconds Value
	// LagSecondsError bounds the error of LagSeconds on either side.
	LagSecondsError Value

	// ReadyReplicas is how many replicas are working; StartingReplicas how many were asked for and are not yet.
	ReadyReplicas    Value
	StartingReplicas Value
	// UnschedulableReplicas is how many of the starting ones have long waited for a node with room for them, or to be let in at all.
	UnschedulableReplicas Value
	// Partitions is how many partitions the policy's topics have together.
	Partitions Value
	// PartitionLagRecords and PartitionArrivalRecords are in partition order over the policy's topics in sorted order,
	// or nil where not known.
	PartitionLagRecords     []Value
	PartitionArrivalRecords []Value

	// BusyRatio is the mean share of time, 0 to 1, that the ready replicas spent working.
	BusyRatio Value
	// ReplicaCPUCores is how much of a CPU each ready replica may use; missing where they differ or where it is not known.
	ReplicaCPUCores Value
	// LatencySeconds is the latency that the policy's latency objective speaks of, at its quantile.
	LatencySeconds Value
	// StartupSeconds lists the start-ups that completed during Interval: from scale request to first record.
	StartupSeconds []float64
	// ProvisionedStartupSeconds lists those among the completed start-ups that had to wait for a new node; they are not
	// in StartupSeconds.
	ProvisionedStartupSeconds []float64
	// Rebalancing reports whether the group was rebalancing at At.
	Rebalancing bool

	// Pools holds the same facts for each target of a policy that names several, in the policy's order; else nil.
	Pools []PoolObservation

	// Problems says in words what is missing and why, sorted; empty when all is well.
	Problems []string
}

// Counted says up to where the arrivals of a policy's topics have been counted, so that another process can tell what has
// arrived since. The zero value says that this is not known.
type Counted struct {
	// At is when the ends of the topics were read.
	At time.Time
	// Topics is a fingerprint of the topics, so that one that was created again is another; 0 where the topics cannot be told
	// apart so.
	Topics uint64
	// EndRecords is the sum of the end offsets of all their partitions. A partition that is added begins at 0 and leaves it as
	// it is.
	EndRecords int64
}

// Known reports whether counting can go on from c.
func (c Counted) Known() bool { return c.Topics != 0 }

// Equal reports whether both say the same.
func (c Counted) Equal(d Counted) bool {
	return c.At.Equal(d.At) && c.Topics == d.Topics && c.EndRecords == d.EndRecords
}

// Then returns up to where arrivals are counted after o, when before it was c.
func (c Counted) Then(o *Observation) Counted {
	arrived, known := o.ArrivalRecords.Get()
	switch {
	case o.Counted.Known():
		return o.Counted
	case known && c.Known():
		return Counted{At: o.At, Topics: c.Topics, EndRecords: c.EndRecords + int64(arrived)}
	}
	return c
}

// PoolObservation is what one tick learned about one target of a policy with several.
type PoolObservation struct {
	Name                  string
	ReadyReplicas         Value
	StartingReplicas      Value
	UnschedulableReplicas Value
	// ConsumedRecords is how many records the ready replicas committed during the observation's interval. Where BusyRatio is missing
	// it is to be so too unless they worked throughout: less work than they can do is no measure of them.
	ConsumedRecords Value
	BusyRatio       Value
	StartupSeconds  []float64
}

// ArrivalRate returns the arrivals in records per second over the interval, missing where they cannot be told.
func (o *Observation) ArrivalRate() Value {
	if o.Interval <= 0 {
		return Missing
	}
	return o.ArrivalRecords.Times(1 / o.Interval.Seconds())
}

// ConsumedRate returns the consumption in records per second over the interval, missing where it cannot be told.
func (o *Observation) ConsumedRate() Value {
	if o.Interval <= 0 {
		return Missing
	}
	return o.ConsumedRecords.Times(1 / o.Interval.Seconds())
}
