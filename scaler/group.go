package scaler

import "math"

// scene returns what the plan is made in but for the group as it is, and says how far p is to look ahead.
func (d decider) scene(p *paths, perReplica, lead float64) scene {
	s, config := d.state, d.config
	interval := config.Interval.Seconds()
	pace := s.Pace.factor(1 - d.tune.Margin)
	if s.Ineffective {
		pace = 1 - d.tune.Margin // the slowest is not slow for want of replicas
	}
	sc := scene{
		paths:      p,
		perReplica: perReplica * interval * pace,
		pauseTicks: s.Rebalance.seconds() / interval,
		delayTicks: config.ObjectiveLag.Seconds() / interval,
		leadSteps:  max(1, int(math.Ceil(lead/interval))),
	}
	sc.leadSteps = min(sc.leadSteps, maxPathSteps*4/5)
	beyond := max(d.tune.upSteps(sc.leadSteps), d.tune.DownSteps)
	sc.leadSteps = min(sc.leadSteps, maxPathSteps-beyond)
	p.steps = sc.leadSteps + beyond
	return sc
}

// group fills in the group as it is: what its replicas do now and when more come, what waits, and which partitions are hot.
func (d decider) group(c *choice) {
	o, s, sc, p := d.o, d.state, c.scene, c.scene.paths
	parts := &s.Partitions
	interval := d.config.Interval.Seconds()
	current := c.current - c.unsteady
	sc.ready = min(int(o.ReadyReplicas.Or(float64(current))), current)
	sc.joining = current - sc.ready
	sc.now = parts.work(sc.ready) * sc.perReplica
	d.come(sc, sc.ready, current)
	// What is learned is often of several pauses in a row.
	sc.joinPause, sc.joinTicks = min(s.Rebalance.seconds(), assumedPause)/interval, s.Lead.Plain.spread()/interval
	reach := c.perReplica * d.config.ObjectiveLag.Seconds()
	still := s.partitionStalled(d.config, o)
	sc.backlog = parts.drainable(o.LagRecords, o.PartitionLagRecords, reach, s.Arrivals.Level, c.perReplica, still)
	sc.backlog = max(sc.backlog, d.behind(reach))
	if s.Ineffective || len(o.PartitionLagRecords) == 0 && still { // what waits is that one's, as far as is known
		sc.backlog = 0
	}
	ahead := min(sc.leadSteps, p.steps-1)
	c.whole = p.at[3][ahead] / sc.perReplica
	if d.config.Sizes {
		d.chooseSize(p.at[3][ahead]/interval/s.Pace.factor(1-d.tune.Margin), parts.hottest(s.Arrivals.Level))
	}
	if parts.hot > 0 {
		// The hot partitions' own consumers are busy whatever the count; plan for the others.
		for j := range pathCount {
			for k := range p.steps {
				p.at[j][k] = p.at[j][k]*parts.coldShare + float64(parts.hot)*sc.perReplica
			}
		}
		d.verdict(VerdictHotPartition)
	}
	c.demand = p.at[3][ahead] / sc.perReplica
}

// behind returns the backlog that the group would have were all of it as far behind as its slowest consumer: that one's
// records are late first, and its share of the whole backlog is small. It is 0 where the oldest record does not wait for a
// consumer that more replicas would relieve.
func (d decider) behind(reach float64) float64 {
	s, o := d.state, d.o
	age, ok := o.LagSeconds.Get()
	if !ok || age < paceAge || s.Pace.Stuck || s.Partitions.hot > 0 || s.Ineffective {
		return 0
	}
	for _, v := range o.PartitionLagRecords {
		if v.Or(0) > reach {
			return 0 // a partition of its own is behind
		}
	}
	return s.Arrivals.Level * min(age, mostBehind*d.config.ObjectiveLag.Seconds())
}

// mostBehind bounds the age that counts, in objectives: what is later cannot be helped any more.
const mostBehind = 1.5
