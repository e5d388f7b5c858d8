package sim

// Point is one tick of a run, Seconds after its beginning: what arrived in it, in records per second, and what there was at its end.
type Point struct {
	Seconds, ArrivalRate, LagRecords, LagSeconds float64
	Ready, Starting, Desired                     int
}

// Result is what a run cost and what became of the promise.
type Result struct {
	// ReplicaSeconds counts replicas that are ready or starting. LowerBound is what the arrivals alone need at least.
	ReplicaSeconds, LowerBound float64
	// Price is what they cost, at the pools' prices, and Reclaimed how many lost their nodes.
	Price     float64
	Reclaimed int
	// LateRatio is the share of records that waited longer than the objective, of those that were served and of those that still wait and
	// are late already, which are Records together.
	LateRatio float64
	Records   float64
	// WaitP50 and WaitP99 are quantiles of how long records waited, and MaxLag the age of the oldest that waited at any tick, in seconds.
	WaitP50, WaitP99, MaxLag float64
	// Changes counts ticks in which another count was asked for, Moves partitions that had another owner after a rebalance than before it.
	Changes, Moves int
	// Days is for how long it was counted.
	Days       float64
	Elasticity Elasticity
	// Points has every tick, those before counting began too, where Scenario.Keep asked for them.
	Points []Point
	// EndsWithLag is how many records waited at the end.
	EndsWithLag float64
}

// Cost returns the replica time in units of the lower bound.
func (r *Result) Cost() float64 { return r.ReplicaSeconds / r.LowerBound }

// Elasticity holds the metrics of the SPEC research group: by how much (Theta, in replicas) and for what share of the time
// (Tau) the supply was under and over the demand. Herbst et al., "Ready for rain? A view from SPEC research on the future of
// cloud metrics", SPEC-RG-2016-01 (2016).
type Elasticity struct{ ThetaUnder, ThetaOver, TauUnder, TauOver float64 }

func (e *Elasticity) add(demand, supply float64) {
	switch {
	case supply < demand:
		e.ThetaUnder += demand - supply
		e.TauUnder++
	case supply > demand:
		e.ThetaOver += supply - demand
		e.TauOver++
	}
}

func (e *Elasticity) divide(ticks float64) {
	if ticks <= 0 {
		return
	}
	e.ThetaUnder /= ticks
	e.ThetaOver /= ticks
	e.TauUnder /= ticks
	e.TauOver /= ticks
}
