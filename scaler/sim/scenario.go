package sim

import (
	"errors"
	"fmt"
	"time"
)

// Scenario is the world that a policy is tried in.
type Scenario struct {
	Trace *Trace
	// Tick is the time between decisions in seconds. Default 15.
	Tick float64
	// Capacity is what a replica does, in records per second; CapacityNoise the relative deviation from replica to replica.
	Capacity, CapacityNoise float64
	// Lead is the median time in seconds from the request to the first record; LeadJitter its relative deviation.
	Lead, LeadJitter float64
	// NodeReplicas is how many replicas a node has room for, and NodeLead by how many seconds those start later that need a node
	// which is not there yet; 0 NodeReplicas: nodes are always there. A node goes when nothing is on it, and one that was asked
	// for counts as there for the replicas of later ticks.
	NodeReplicas int
	NodeLead     float64
	// Pools are the targets of a Splitter; empty means one of Capacity and Lead. With pools Capacity is what Result.LowerBound and
	// the elasticity count a replica as, and CapacityNoise, LeadJitter, Min and Max are those of all.
	Pools []Pool
	// Pause is how long a rebalance stops the group, in seconds.
	Pause float64
	// Partitions is their count and Weights their shares of the arrivals; nil means equal shares.
	Partitions int
	Weights    []float64
	Assignor   Assignor
	// Objective is how long a record may wait, in seconds.
	Objective float64
	// Min and Max bound what any policy may ask for; Initial replicas are there at the start.
	Min, Max, Initial int
	// CountFrom is when counting begins, in seconds: before it a policy may warm up for free.
	CountFrom float64
	Seed      uint64
	// HideBusy leaves the busy ratio out of the observations; ShowPartitions gives lag and arrivals per partition.
	HideBusy, ShowPartitions bool
	// Start is the time of the trace's beginning; the zero Time means the beginning of 2026.
	Start time.Time
	// Keep says that Result.Points is wanted.
	Keep bool
}

// DefaultScenario returns the setting of the published table: a need of 8 replicas on average, 48 partitions, 5 % of noise on
// the capacity, a pause of 3 s and an objective of 30 s.
func DefaultScenario(trace *Trace) Scenario {
	return Scenario{
		Trace: trace, Tick: 15, Capacity: trace.MeanRate() / 8, CapacityNoise: 0.05, Lead: 60, LeadJitter: 0.1, Pause: 3,
		Partitions: 48, Assignor: Range, Objective: 30, Min: 1, Max: 48, Initial: 8, Seed: 1,
	}
}

// Validate reports what is wrong with s.
func (s *Scenario) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(s.Trace != nil, "trace: is missing")
	check(s.Tick > 0, "tick: %v: want more than 0 seconds", s.Tick)
	check(s.Capacity > 0, "capacity: %v: want more than 0 records/s", s.Capacity)
	check(s.Lead >= 0 && s.LeadJitter >= 0 && s.CapacityNoise >= 0 && s.Pause >= 0, "lead, jitter, noise and pause: want 0 or more")
	check(s.NodeReplicas >= 0 && s.NodeLead >= 0, "node replicas and node lead: %d and %v: want 0 or more", s.NodeReplicas, s.NodeLead)
	check(s.Partitions >= 1, "partitions: %d: want 1 or more", s.Partitions)
	check(s.Weights == nil || len(s.Weights) == s.Partitions, "weights: got %d: want one for each of %d partitions", len(s.Weights),
		s.Partitions)
	check(s.Objective > 0, "objective: %v: want more than 0 seconds", s.Objective)
	check(s.Min >= 0 && s.Max >= max(1, s.Min), "min and max: %d and %d: want 0 <= min <= max and max >= 1", s.Min, s.Max)
	_, err := ParseAssignor(string(s.Assignor))
	errs = append(errs, err, s.validatePools())
	return errors.Join(errs...)
}
