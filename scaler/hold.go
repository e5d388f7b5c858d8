package scaler

import (
	"math"
	"time"
)

// littleMore is the share of the present count below which an increase waits for one more tick in the tick after another, for 15 s or
// one tick where replicas have just come, and for as long as no more than half of the present count is ready.
const littleMore = 1.25

// postpone returns the count that was asked for already where another tick will know more: the last increase was a moment ago and may not
// have been carried out, a single tick stands out from a calm, or chance may be why more is wanted. Else it returns want.
func (d decider) postpone(c *choice, want int, now time.Time) int {
	s, interval := d.state, d.config.Interval
	// In whole ticks, for those are not given to the millisecond. What is to come was before the clock was set back.
	ago := func(at time.Time) time.Duration {
		if now.Before(at) {
			return math.MaxInt64
		}
		return now.Sub(at).Round(interval)
	}
	since := ago(s.Changed)
	soon := since < tunedInterval && want < panicRatio*c.current
	if little := float64(want) < littleMore*float64(c.current); little {
		// Those that have just come stopped the group for it, and what that left is no reason for more.
		// While most of what was asked for is still to come, the forecast is wide since the step that asked for it.
		soon = soon || since <= interval || ago(s.Came) < tunedInterval || c.current >= panicRatio*max(c.scene.ready, 1)
	}
	asked := max(c.current, s.Desired)
	switch {
	case want <= asked:
		return want
	case s.Increase > 0 && soon:
		d.term("increased", asked, 0)
		return asked
	case want < panicRatio*c.current && s.Arrivals.Beyond > 0 && s.Arrivals.calm():
		d.term("sudden", asked, 0)
		return asked
	}
	if n := max(asked, d.lasting(c, want)); n < want {
		d.term("chance", n, 0)
		return n
	}
	return want
}

// keep returns the count to keep where want is less than there are, and whether that is for a panic.
func (d decider) keep(c *choice, want int) (keep int, panicking bool) {
	if held, few := d.holdDown(c, want); held > want {
		d.term("hold", held, float64(few))
		want = held
	}
	if n := min(d.hushed(c.scene.perReplica), c.current); n > want && d.config.MinReplicas > 0 {
		d.term("hush", n, 0)
		want = n
	}
	if d.At.Before(d.state.PanicUntil) && c.current > want {
		d.term("panic", c.current, 0)
		return c.current, true
	}
	return want, false
}

// holdDown returns the count to keep where fewer would be premature, and the lower one that was left again lately if that is why;
// else 0.
func (d decider) holdDown(c *choice, want int) (keep, few int) {
	current := c.current
	if d.state.blind() {
		d.verdict(VerdictStale)
		return current, 0
	}
	want = max(d.wanted(current, want), d.sure(c, want))
	if few = max(d.state.tooFew(d.At), d.state.takenBack(d.sustained, d.At)); few > 0 && want <= few {
		want = d.state.Partitions.above(few)
	} else {
		few = 0
	}
	want = min(want, current)
	d.draining = d.o.Rebalancing || d.state.Partitions.unsettled() || d.drains(c.scene.backlog, c.perReplica)
	if d.draining && float64(d.state.DrainTicks)*d.config.Interval.Seconds() < mostDrain*max(d.config.ObjectiveLag.Seconds(),
		d.LeadTimeSeconds.Or(0)) {
		return current, 0
	}
	return want, few
}

// changePay is what a decrease of more than bigGroup replicas must have been able to save before it is made, in seconds of the whole
// group's pay: it stops all of the group, and what it saves is the pay of those that go. By one in twelve it is made after three minutes.
// Counts of a smaller group lie so far apart that Tuning.Hold and what the plan wants of a decrease are enough.
const (
	changePay = 15.0
	bigGroup  = 24
)

// wanted returns the highest count that was wanted lately: for Tuning.Hold, and until what fewer would have saved since pays for the
// change, as far back as is kept. Any count that was higher makes the answer no lower, since it then takes longer to pay.
func (d decider) wanted(current, want int) int {
	s, interval := d.state, d.config.Interval.Seconds()
	least := int(d.tune.Hold / interval)
	for i := 0; i < min(wantedKept, s.WantedAt) && want < current; i++ {
		saved := float64(i) * interval * float64(current-want)
		if i >= least && (current <= bigGroup || saved >= changePay*float64(current)) {
			break
		}
		want = max(want, s.Wanted[(s.WantedAt-1-i)%wantedKept])
	}
	return want
}

// mostDrain is for how many objectives or lead times, whichever is longer, a backlog may keep the count. What the present
// count has not drained by then, such as a partition that nobody can read or a marker that counts as lag, it will not drain.
const mostDrain = 3

// drains reports whether there is a backlog that should be gone before replicas are taken away, however many: else a backlog that
// asks for more to stay could end up with fewer.
func (d decider) drains(backlog, perReplica float64) bool {
	o, s, objective := d.o, d.state, d.config.ObjectiveLag.Seconds()
	if len(o.PartitionLagRecords) > 0 && o.LagRecords.Known() {
		// A poison or hot partition is behind for ever; what counts is the backlog that more replicas can help with.
		return backlog > max(s.Arrivals.Level, perReplica)*objective/2
	}
	// A remainder that one replica serves in a second is behind its commit, not its consumer.
	return o.LagSeconds.Or(0) > objective/2 && o.LagRecords.Or(math.Inf(1)) > perReplica
}
