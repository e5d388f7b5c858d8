package scaler

import (
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// StateVersion is the version of State as it is stored. Bump it when a field changes its meaning or goes; a new field whose
// zero value means "not learned yet" needs none.
const StateVersion = 6

// State is what is carried from tick to tick besides the forecaster's own state: what was learned and what was decided.
// The zero State knows nothing. It is plain data; Autoscaler stores it in its checkpoint.
type State struct {
	Capacity    capacity
	Busy        busyCheck `json:",omitzero"`
	Pools       []capacity
	PoolNames   []string `json:",omitempty"` // whose Pools are; where it is not known they are in the policy's order
	Sizes       []size
	Pace        pace
	Still       still `json:",omitzero"`
	Lead        leadTimes
	Partitions  partitions
	Rebalance   rebalances
	Promise     promise
	Arrivals    recent
	Calibration calibration
	Rivals      rivals `json:",omitzero"`
	Hush        hush   `json:",omitzero"`
	Spending    spending
	Work        work `json:",omitzero"`
	// Silence is learned where zero is allowed.
	Silence silence `json:",omitzero"`

	Ticks int
	// HistorySamples is how many samples the forecaster had from an imported history when it was taken over.
	HistorySamples int `json:",omitempty"`
	// At is the time of the last observation.
	At time.Time
	// Desired is the last answer; Changed when it last changed and Increase by how much, negative for a decrease.
	Desired    int
	HasDesired bool
	Changed    time.Time
	Increase   int
	Orders     orders   `json:",omitzero"`
	Unsteady   unsteady `json:",omitzero"`
	// Came is when more replicas were ready than the tick before.
	Came      time.Time `json:",omitzero"`
	LastReady series.Value
	LastLag   series.Value
	// Broken says that the last observation did not follow on the one before it: the next may cover no more than the rest of an
	// interval.
	Broken     bool
	PanicUntil time.Time
	Wanted     [wantedKept]int // the latest counts that were enough, for the window before a decrease
	WantedAt   int
	Peaks      peaks       `json:",omitzero"`
	Latency    latencyLoop `json:",omitzero"`
	// NoArrivals and NoLag count ticks in a row in which arrivals and backlog were not known; LagSeen says that a backlog ever was.
	NoArrivals, NoLag int
	LagSeen           bool
	// IdleTicks counts ticks in a row without arrivals and without a backlog.
	IdleTicks int
	// StalledTicks counts ticks in a row in which replicas were ready and next to nothing was consumed of what waited, or of its oldest.
	StalledTicks int `json:",omitzero"`
	// QuietTicks counts ticks in a row in which the same replicas left no backlog worth the name.
	QuietTicks int
	// TriedTicks counts down the ticks in which a count that is tried is left alone to be seen at work.
	TriedTicks int
	// Tried is the count that was gone down to, until it was seen without a backlog worth the name or was too few; 0 where there is none.
	Tried int `json:",omitzero"`
	// DrainTicks counts ticks in a row in which a backlog, a rebalance or new partitions were in the way of a decrease.
	DrainTicks int
	// EffectBefore is the throughput before the last increase and EffectGain the share by which it should have grown when
	// EffectDue has come.
	EffectBefore float64
	EffectGain   float64
	EffectDue    time.Time
	Ineffective  bool
	// Settled says that the replicas that are ready, as many as they are, have been seen without a backlog worth the name.
	Settled bool `json:",omitzero"`
	// TooFew is the count that a backlog asked more than last.
	TooFew tooFew `json:",omitzero"`
	// Down is the last decrease and TakenBack the last that was taken back, with what was then forecast.
	Down, TakenBack tooFew `json:",omitzero"`
	// Habit counts the decreases in a row that were taken back soon.
	Habit int `json:",omitzero"`
}

const wantedKept = 64

// follows reports whether o's interval begins at the last observation, give or take half of it. It does not where ticks were
// lost, where counts could not be read at the last one, or where a new process begins to count. It must be asked before Learn.
func (s *State) follows(o *series.Observation) bool {
	return o.Interval > 0 && (s.At.IsZero() || (o.At.Sub(s.At)-o.Interval).Abs() <= o.Interval/2)
}

// lagBefore returns the backlog at the start of o's interval. It must be asked before Learn.
func (s *State) lagBefore(o *series.Observation) series.Value {
	if !s.follows(o) {
		return series.Missing
	}
	return s.LastLag
}

// arrivalRate returns the arrivals in records per second. Where they were not observed, what was consumed and the change of the
// backlog since the last tick tell them. It must be asked before Learn.
func (s *State) arrivalRate(o *series.Observation) series.Value {
	seen := o.ArrivalRate()
	if seen.Known() || o.Interval <= 0 {
		return seen
	}
	derived, ok := o.ConsumedRecords.Plus(o.LagRecords).Plus(s.lagBefore(o).Times(-1)).Get()
	if !ok {
		return series.Missing
	}
	return series.Of(max(0, derived) / o.Interval.Seconds())
}

// readyReplicas returns how many replicas work. Where that is not observed, it is taken to be what was last asked for, from when
// that has had the time to start.
func (s *State) readyReplicas(config *Config, o *series.Observation) (float64, bool) {
	if ready, ok := o.ReadyReplicas.Get(); ok {
		return ready, true
	}
	if s.Changed.IsZero() || o.At.Sub(s.Changed).Seconds() < s.Lead.seconds(config.InitialLeadTime.Seconds(), s.Desired) {
		return 0, false
	}
	return float64(s.Desired), true
}

// unseen reports whether o does not tell how many replicas worked and those that were asked for may have come during its interval: then
// what was done in it is nobody's.
func (s *State) unseen(config *Config, o *series.Observation) bool {
	lead := time.Duration(s.Lead.seconds(config.InitialLeadTime.Seconds(), s.Desired) * float64(time.Second))
	return !o.ReadyReplicas.Known() && o.At.Sub(s.Changed) < o.Interval+lead
}

// blind reports whether what arrives or what waits has not been known for a while: then a decrease would rest on nothing. A
// backlog that was never known is not waited for.
func (s *State) blind() bool { return s.NoArrivals >= staleTicks || s.LagSeen && s.NoLag >= staleTicks }

// derive recomputes what follows from the learned state and is not stored.
func (s *State) derive(config *Config) {
	s.Partitions.derive(config.MaxReplicas, s.Arrivals.Level, s.Capacity.perReplica().Or(0))
}

// age returns the age of the oldest record in seconds. Where neither that nor the partitions are known it is taken to be the mean's,
// for that much at least is the group behind: as many records wait as have arrived in that time. With known partitions, what their
// count makes uneven is reckoned with, and the mean would make the slowest consumer look quicker than it is.
func (s *State) age(o *series.Observation) series.Value {
	if o.LagSeconds.Known() || s.Partitions.Count > 0 || !(s.Arrivals.Level > 0) {
		return o.LagSeconds
	}
	return o.LagRecords.Times(1 / s.Arrivals.Level)
}

// load returns the recent arrivals in replicas.
func (s *State) load() float64 { return s.replicas(s.Arrivals.Level) }

// replicas returns a rate in replicas; where one's capacity is a guess, in those that do what was shown without effort, if anything was.
func (s *State) replicas(rate float64) float64 {
	perReplica := s.Capacity.perReplica().Or(0)
	if s.Capacity.guessed() && s.Capacity.LowerBound > 0 {
		perReplica = s.Capacity.LowerBound
	}
	return rate / max(perReplica, 1e-12)
}

// thought returns a rate in replicas as the plan reckons: where one's capacity is a guess, in those that do what is guessed.
func (s *State) thought(rate float64) float64 {
	return rate / max(s.Capacity.perReplica().Or(0), 1e-12)
}
