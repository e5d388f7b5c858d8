package scaler

import (
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// still watches whether the oldest record is the same from tick to tick: one that its consumer cannot get past, or that nobody reads.
type still struct {
	Came  time.Time // when the record came, by its age when it was new here; zero where none waits
	Since time.Time // when that was first seen
	// Bound is the bound on the error of Came, in seconds.
	Bound float64 `json:",omitzero"`
	// Passed is how many records have been consumed since.
	Passed float64 `json:",omitzero"`
}

// stillLeast is for how long a record must have been the oldest to be told of, if the objective is no longer: a consumer that has died
// keeps its partitions for 45 s (session.timeout.ms), and one that works on a record for minutes is slow, not stuck.
const stillLeast = 5 * time.Minute

// slack is by how much the time at which a record came, reckoned from its age in seconds, may differ from tick to tick: ages that are
// known roughly vary by about a hundredth, others by the bounds on their errors.
func slack(age, bounds float64, interval time.Duration) time.Duration {
	return interval + time.Duration(min(age/100, bounds)*float64(time.Second))
}

// observe learns from one tick.
func (s *still) observe(o *series.Observation) {
	x, ok := o.LagSeconds.Get()
	if !ok {
		return
	}
	if x < paceAge {
		*s = still{}
		return
	}
	came, bound := o.At.Add(-time.Duration(x*float64(time.Second))), o.LagSecondsError.Or(x)
	if s.Since.IsZero() || came.Sub(s.Came).Abs() > slack(x, s.Bound+bound, o.Interval) {
		*s = still{Came: came, Since: o.At, Bound: bound}
		return
	}
	s.Passed += o.ConsumedRecords.Or(0)
}

// partitionStalled reports whether the oldest record stands still while those of other partitions are consumed: it is much older than
// most, or as much was consumed since it is the oldest as would have taken it long ago, had it been of all partitions alike.
func (s *State) partitionStalled(config *Config, o *series.Observation) bool {
	if s.Still.Since.IsZero() || o.At.Sub(s.Still.Since) < max(stillLeast, config.ObjectiveLag) {
		return false
	}
	age := s.Pace.Age
	long := 2 * slack(age, s.Still.Bound+o.LagSecondsError.Or(age), config.Interval).Seconds()
	return onFew(o, s.Arrivals.Level) || s.Still.Passed > long*s.Arrivals.Level
}

// standing returns what tells of records that stand still: PartitionStalled of one that others get past, Stalled where next to nothing of
// all of them is consumed or where some have stood still for a shorter time, and nothing where none do.
func (s *State) standing(config *Config, o *series.Observation) Verdict {
	waits := o.LagSeconds.Or(o.LagRecords.Or(0) / max(s.Arrivals.Level, 1e-12))
	stalled := s.StalledTicks >= staleTicks && waits > config.ObjectiveLag.Seconds()
	consumed, known := o.ConsumedRecords.Get()
	others := !known || consumed >= stalledShare*s.Arrivals.Level*o.Interval.Seconds()
	switch {
	case s.partitionStalled(config, o) && (others || !stalled):
		return VerdictPartitionStalled
	case stalled:
		return VerdictStalled
	}
	return ""
}

// stalledShare is the share of what the replicas can do, or of what waits where that is less, below which they stand still.
// workShare is the share of it above which all of them work.
const stalledShare, workShare = 0.1, 0.9

// observeStall counts the ticks in which the group stands still, or a part of it: consumers hang, are thrown out of the group, or wait for
// what they call. That says nothing of how many replicas are enough, not even in the tick in which it began. It must be asked before the
// pace learns.
func (s *State) observeStall(t *tick) {
	rate, ok := t.consumed.Get()
	lag, known := t.o.LagRecords.Get()
	if !ok || !known || !t.readyKnown || t.partial || t.interval <= 0 {
		return
	}
	can := s.Capacity.perReplica().Or(0)
	possible := can * t.effective
	if possible <= 0 {
		possible = s.Arrivals.Level
	}
	still := rate < stalledShare*min(rate+lag/t.interval, possible)
	if !still && t.disturbed {
		return // what they do of their own is not seen
	}
	// The oldest record of a burst that all of them work on moves as slowly.
	some := s.Partitions.hot == 0 && s.Pace.Age >= paceAge && rate < workShare*possible &&
		t.o.LagSeconds.Or(0)-s.Pace.Age >= standsStill*t.interval
	if some && rate >= stalledShare*s.Arrivals.Level {
		t.saturated = false // of all alike it would have moved: what some do while others do nothing is not what all of them can
	}
	if t.ready < 1 || lag <= max(t.arrivals.Or(0), can) || !still && !some { // what a replica does in a second waits for its commit
		s.StalledTicks = 0
		return
	}
	s.StalledTicks++
	if t.at.Sub(s.TooFew.At) <= 2*t.o.Interval {
		s.TooFew = tooFew{}
	}
}
