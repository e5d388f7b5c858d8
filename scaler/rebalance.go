package scaler

// rebalances learns how long a rebalance stops the group.
type rebalances struct {
	Seconds float64
	Samples int
	Run     int // ticks in a row that were seen rebalancing
}

// assumedPause is the pause of a rebalance until one was measured: three seconds is the default delay of Kafka's
// coordinator for a new group (group.initial.rebalance.delay.ms), and about what an eager rebalance takes.
const assumedPause = 3.0

func (r *rebalances) seconds() float64 {
	if r.Samples == 0 {
		return assumedPause
	}
	return r.Seconds
}

func (r *rebalances) add(seconds float64) {
	if !(seconds >= 0) || seconds > 600 {
		return
	}
	r.Samples = min(r.Samples+1, 10)
	r.Seconds += (seconds - r.Seconds) / float64(r.Samples)
}

// observe learns from one interval: a rebalance that is still on at a later tick has lasted at least so long, unless replicas came or
// went in between, who began another; and one whose interval began and ended with a backlog shows in what was not consumed, where
// that is sure to be told.
func (r *rebalances) observe(rebalancing bool, interval, consumedRate, possibleRate float64, behind, changed, sure bool) {
	if rebalancing {
		if changed {
			r.Run = 0
		}
		r.Run++
		return
	}
	if r.Run > 1 {
		r.add((float64(r.Run) - 0.5) * interval)
	} else if changed && sure && behind && possibleRate > 0 && consumedRate > 0 && consumedRate < possibleRate {
		r.add((1 - consumedRate/possibleRate) * interval)
	}
	r.Run = 0
}
