package scaler

import (
	"time"
)

// observeEffect compares the throughput some time after an increase with that before it, while there is a backlog, and says that
// the increase was ineffective when little of what it should have given came and the backlog still grows: that is on partitions
// that have all of a consumer already, or wait for something else.
func (s *State) observeEffect(t *tick, interval time.Duration) {
	consumed := t.consumed
	// More than arrives is not consumed for long, however many consume.
	needed := s.EffectBefore + effectShare*min(s.EffectGain*s.EffectBefore, s.Arrivals.Level-s.EffectBefore)
	if !t.behind || consumed.Or(0) >= needed {
		s.Ineffective = false // it got through after all
	}
	if s.EffectDue.IsZero() {
		return
	}
	if settled := t.at.Add(settleTicks * interval); t.o.StartingReplicas.Or(0) > 0 && s.EffectDue.Before(settled) {
		s.EffectDue = settled // what was ordered takes longer than was known
	}
	if t.at.Before(s.EffectDue) {
		return
	}
	growing := t.behind && t.o.LagRecords.Or(0) >= t.lagBefore.Or(0)
	s.Ineffective = growing && s.EffectBefore > 0 && consumed.Known() && consumed.Or(0) < needed
	s.EffectDue = time.Time{}
}

const (
	// effectShare is the share of the throughput that an increase should have given from which on it counts as effective.
	effectShare = 0.25
	// settleTicks is how long replicas that have started are given until their effect is judged: for the rebalance, and for a
	// whole tick after it.
	settleTicks = 3
)

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
	if s.Partitions.hot == 0 && s.Pace.Age >= paceAge && rate < workShare*possible {
		still = still || t.o.LagSeconds.Or(0)-s.Pace.Age >= standsStill*t.interval // some of them do nothing
	}
	if t.ready < 1 || lag <= max(t.arrivals.Or(0), can) || !still { // what a replica does in a second waits for its commit
		s.StalledTicks = 0
		return
	}
	s.StalledTicks++
	if t.at.Sub(s.TooFew.At) <= 2*t.o.Interval {
		s.TooFew = tooFew{}
	}
}
