package scaler

import (
	"math"
	"slices"
	"time"
)

// In calm arrivals it is chance that moves the forecast from tick to tick by as much as lies between two counts, and a step stands out.
// So a tick that stands out is waited with for the next or taken for a step, more that is not needed yet waits for a moment, and fewer
// are taken at once only where chance does not ask for more again (hack/designs/scaler-steps.md).

// calmest is the standard deviation of arrivals, as a share of them, up to which they are calm.
const calmest = 0.1

// deviation returns the standard deviation of arrivals, and their level. A last value that is beyond chance is not reckoned with: it may be
// of another level.
func (r *recent) deviation() (deviation, level float64) {
	return 1.25 * (r.Noise - noiseGain*math.Abs(r.Beyond)), r.Level - levelGain*r.Beyond // of a normal variable, see fromRecent
}

// calm reports whether arrivals are. Where nothing arrives nothing is known of them.
func (r *recent) calm() bool {
	deviation, level := r.deviation()
	return level > 0 && deviation <= calmest*level
}

// peaks keeps the highest count that the plan wanted in each of the latest slots, the newest first.
type peaks struct {
	At      time.Time // when the newest slot began
	Highest [peaksKept]int
}

// A slot is peakSlot long, or a tick where that is longer: together they are ten minutes at least, which a forecast that chance has put too
// low takes to come back.
const (
	peaksKept = 10
	peakSlot  = time.Minute
)

// observe learns that n were wanted at a time.
func (p *peaks) observe(n int, at time.Time) {
	if at.Sub(p.At) >= peakSlot || at.Before(p.At) {
		copy(p.Highest[1:], p.Highest[:])
		p.At, p.Highest[0] = at, 0
	}
	p.Highest[0] = max(p.Highest[0], n)
}

// most returns the highest count of all slots, 0 until as many have been.
func (p *peaks) most() int {
	if p.Highest[peaksKept-1] == 0 {
		return 0
	}
	return slices.Max(p.Highest[:])
}

// surely is how many deviations of a tick more must still want no more than what is gone down to at once. The median of a forecast lies
// one of them off now and then, and its outer quantiles move with it.
const surely = 1.5

// sure returns the count to keep where chance may be why the plan wants as few as want: what it would want if all that arrives were more by
// `surely`, but no more than was wanted lately.
func (d decider) sure(c *choice, want int) int {
	most := min(d.state.Peaks.most(), c.current)
	if most <= want || d.exploring || !d.state.Arrivals.calm() {
		return want
	}
	paths, more := *c.scene.paths, *c.scene
	deviation, level := d.state.Arrivals.deviation()
	paths.times(1 + surely*deviation/level)
	more.paths = &paths
	n, _ := d.best(c, &more)
	return max(want, min(n, most))
}

// lasting returns the lowest count above the present one that was wanted lately, for Tuning.Hold and in two ticks at least, where chance
// may be why the plan wants more: nothing waits, and the present replicas can do what arrives and the median of what is forecast. Else it
// returns want.
func (d decider) lasting(c *choice, want int) int {
	s, sc, tick := d.state, c.scene, d.config.Interval.Seconds()
	if !s.Arrivals.calm() || s.Arrivals.Beyond > 0 || s.Rivals.Lost {
		return want
	}
	_, level := s.Arrivals.deviation()
	// What waits for less than paceAge waits for its commit.
	if d.o.LagSeconds.Or(0) >= paceAge || sc.backlog > max(level*tick, sc.perReplica) ||
		max(level*tick, slices.Max(sc.paths.at[0][:sc.paths.steps])) > s.Partitions.work(c.current)*sc.perReplica {
		return want
	}
	for i := range min(max(2, int(d.tune.Hold/tick)), s.WantedAt, wantedKept) {
		want = min(want, s.Wanted[(s.WantedAt-1-i)%wantedKept])
	}
	return max(want, c.current)
}

// stepMost is how many times the level a tick that stands out may be a step to: if it is alone, no more is ordered for nothing.
const stepMost = 8

// stepTo returns what arrives from now on if the last tick, of a calm, is one of a step, in records per second; else 0. The forecast gets
// there ticks later, and each of them would order a part.
func (r *recent) stepTo() float64 {
	if r.Beyond <= 0 || !r.calm() {
		return 0
	}
	_, level := r.deviation()
	return min(r.Last, stepMost*level)
}
