package scaler

// idleSeconds is for how long nothing must have arrived before a count is given up of which nothing is known but that it idles:
// the window that the HPA's default down-stabilization looks back over.
const idleSeconds = 300

// coldStart keeps the present count until enough is known, except where records are visibly waiting too long, or will be.
func (d decider) coldStart(current, lowest, highest int) (int, Reason) {
	s, o := d.state, d.o
	_, settled := s.readyReplicas(d.config, o)
	if s.Partitions.hot > 0 {
		d.verdict(VerdictHotPartition)
		settled = false // more would not help it
	}
	waiting := o.LagSeconds.Or(0) > d.config.ObjectiveLag.Seconds()
	if rate := d.ArrivalRate.Or(0); !waiting && rate > 0 {
		waiting = o.LagRecords.Or(0) > rate*d.config.ObjectiveLag.Seconds()
	}
	work, short := s.Partitions.work(current)*1.5, false
	if s.Capacity.Samples == 0 && !s.Came.IsZero() && s.Came.Equal(s.At) {
		settled = false // a whole tick of those that have just come tells what they do
	}
	if perReplica := d.CapacityPerReplica.Or(0); s.Capacity.Samples > 0 {
		// What a replica does was measured, and so is what they are short of. What waits is to be gone within a lead time and the
		// objective.
		rate := d.ArrivalRate.Or(0)
		short = rate > s.Partitions.work(current)*perReplica && o.LagRecords.Or(0) > rate*paceAge
		work = (rate + o.LagRecords.Or(0)/(d.LeadTimeSeconds.Or(0)+d.config.ObjectiveLag.Seconds())) / perReplica
	}
	switch {
	case current == 0 && (o.LagRecords.Or(0) > 0 || o.ArrivalRecords.Or(0) > 0):
		return max(1, lowest), ReasonReactive
	case (waiting || short) && settled && !s.unseen(d.config, o) && o.StartingReplicas.Or(0) == 0 && current > 0:
		n, _ := s.Partitions.snap(work)
		n = min(max(n, current), highest)
		d.term("backlog", n, o.LagRecords.Or(0))
		return n, ReasonBacklog
	case float64(s.IdleTicks)*d.config.Interval.Seconds() >= max(idleSeconds, 2*d.LeadTimeSeconds.Or(0)):
		return lowest, ReasonReactive
	default:
		return current, ReasonWarmingUp
	}
}
