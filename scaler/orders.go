package scaler

import "time"

// orders are the latest increases, the newest first: what is starting is of them, and what was asked for earlier is there earlier. Were
// all of it taken to come a lead time after the last increase, each that is added would put off those before it, and what waits for them
// would ask for more.
type orders [ordersKept]order

// order is how many replicas were asked for at a time and not given up since.
type order struct {
	Replicas int
	At       time.Time
}

// ordersKept is enough for an increase every 15 s of two minutes; what was asked for before is taken to be of the oldest kept.
const ordersKept = 8

// note learns of a change by `more` replicas, negative for a decrease, which gives up what was asked for last: the HPA's controllers
// delete first what is not ready.
func (o *orders) note(more int, at time.Time) {
	if more > 0 {
		copy(o[1:], o[:])
		o[0] = order{more, at}
	}
	for i := 0; i < len(o) && more < 0; i++ {
		given := min(o[i].Replicas, -more)
		o[i].Replicas -= given
		more += given
	}
}

// oldest returns when the oldest of `missing` replicas was asked for, of those asked for last; the zero Time where it is not kept.
func (o *orders) oldest(missing int) time.Time {
	at := time.Time{}
	for i := 0; i < len(o) && missing > 0 && !o[i].At.IsZero(); i++ {
		if o[i].Replicas > 0 {
			at, missing = o[i].At, missing-o[i].Replicas
		}
	}
	return at
}

// come fills in what the group does in each tick if nothing is changed, with `ready` of `current` replicas there now.
func (d decider) come(sc *scene, ready, current int) {
	parts := &d.state.Partitions
	n, until := current, len(sc.unchanged)
	fill := func(from int) {
		capacity := parts.work(n) * sc.perReplica
		for k := from; k < until; k++ {
			sc.unchanged[k] = capacity
		}
		until = min(until, from)
	}
	step := func(at time.Time) int { return max(0, sc.leadSteps-1-int(d.At.Sub(at)/d.config.Interval)) }
	last := sc.leadSteps - 1
	if !d.state.Changed.IsZero() {
		last = step(d.state.Changed)
	}
	for i := 0; i < ordersKept && n > ready; i++ {
		o := &d.state.Orders[i]
		if o.At.IsZero() {
			break
		}
		if o.Replicas > 0 {
			last = step(o.At)
			fill(last)
			n = max(ready, n-o.Replicas)
		}
	}
	if n > ready { // of these nobody knows when they were asked for
		fill(last)
		n = ready
	}
	fill(0)
}
