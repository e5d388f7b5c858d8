package scaler

import "time"

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
	s.EffectDue = time.Time{}
	came := s.Partitions.work(int(t.ready))/max(s.Partitions.work(s.Lead.OrderedFrom), 1) - 1
	if came <= 0 {
		return // none of them has come
	}
	growing := t.behind && t.o.LagRecords.Or(0) >= t.lagBefore.Or(0)
	s.Ineffective = growing && s.EffectBefore > 0 && consumed.Known() && consumed.Or(0) < needed
}

const (
	// effectShare is the share of the throughput that an increase should have given from which on it counts as effective.
	effectShare = 0.25
	// settleTicks is how long replicas that have started are given until their effect is judged: for the rebalance, and for a
	// whole tick after it.
	settleTicks = 3
)
