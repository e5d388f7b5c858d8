package scaler

import "math"

// alone is a partition with more than its consumer can do in time, as a record leaves that nobody got past once it is mended. More
// replicas do not serve it, so that the plan leaves it out (drainable); but the more there are, the fewer other partitions its
// consumer has.
type alone struct {
	records            float64 // what waits there
	arrives, elsewhere float64 // records per second there and on each of the others
}

// drainedAlone returns the partition that holds most, and false where that is no more than reach, its oldest record stands still,
// it gets more than a replica can do, or more than half of the partitions hold as much: then the group is behind as a whole.
func (d decider) drainedAlone(reach float64) (alone, bool) {
	s, lags := d.state, d.o.PartitionLagRecords
	parts := &s.Partitions
	if len(lags) < 2 || len(lags) != parts.Count || !s.Pace.Falls || s.Ineffective || parts.hot > 0 {
		return alone{}, false
	}
	worst, beyond, most := 0, 0, 0.0
	for i, v := range lags {
		x, ok := v.Get()
		if !ok {
			return alone{}, false
		}
		if x > most {
			worst, most = i, x
		}
		if x > reach {
			beyond++
		}
	}
	share := 1 / float64(parts.Count)
	if len(parts.Weights) == parts.Count {
		share = parts.Weights[worst]
	}
	rate := s.Arrivals.Level
	return alone{most, share * rate, (1 - share) * rate / float64(parts.Count-1)}, beyond > 0 && beyond <= len(lags)/2
}

// forAlone returns the count for a partition that is drained by its consumer alone, want or more. All that arrives there until it
// is drained comes late, at the price of late records, and for so long the replicas beyond those that arrivals want are paid for. What
// a count costs does not depend on want, so that the answer does not fall as want rises.
func (d decider) forAlone(c *choice, want int) int {
	sc, parts := c.scene, &d.state.Partitions
	a, ok := d.drainedAlone(c.perReplica * d.config.ObjectiveLag.Seconds())
	if !ok || want < 1 {
		return want
	}
	perReplica := sc.perReplica / d.config.Interval.Seconds()
	drains := func(n int) float64 { // in records per second
		others := math.Ceil(float64(parts.Count)/float64(max(n, 1))) - 1
		return max(perReplica-a.arrives-others*a.elsewhere, leastDrained*perReplica)
	}
	late := c.price * a.arrives / perReplica // of a second, in replicas
	anyway := d.withoutBacklog(c)
	costs := func(n int) float64 {
		paid := late + float64(max(0, n-anyway))
		if n <= c.current {
			return paid * a.records / drains(n)
		}
		// More are paid for while they start, and stop the group as they join.
		left := max(0, a.records-drains(c.current)*c.lead)
		return paid*(c.lead+left/drains(n)) + c.price*sc.joinLate(n)/perReplica
	}
	best, least := want, costs(want)
	for _, n := range parts.useful {
		if n <= want || n > c.highest {
			continue
		}
		if cost := costs(n); cost < least {
			best, least = n, cost
		}
	}
	if best > want {
		d.term("alone", best, a.records)
	}
	return best
}

// leastDrained is the share of a replica's work that a partition's backlog is taken to get where nothing is left for it: then it
// grows.
const leastDrained = 1e-3
