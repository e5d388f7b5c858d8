package scaler

import "time"

// hush is when from one tick to the next nothing comes any more of what came steadily. Where the last one was a producer that was down,
// or the way from it, this one may be as well: all of it comes back at once, and until the replicas that were given up meanwhile are
// there again records are late. So as many are kept as serve what came before (hack/designs/scaler-decreases.md).
type hush struct {
	// Usual is the median that was forecast for the latest tick that brought as much as usual, in records per second, and At when
	// that was.
	Usual float64
	At    time.Time
	// Since is when it began, zero when there is none.
	Since time.Time `json:",omitzero"`
	// Returned says that the last one was over in time, and so may the next be.
	Returned bool
}

const (
	// hushSpan is for how long replicas are kept: a longer silence is more often an end (hack/designs/scaler-decreases.md).
	hushSpan = 10 * time.Minute
	// What brings usualShare of what was forecast or more is as usual, and less than hushShare of it as good as nothing. No more than
	// hushTicks lie between: an outage begins within a tick, and some go down in two.
	usualShare, hushShare = 0.5, 0.1
	hushTicks             = 3
)

// observe learns from a tick of interval that brought rate records per second, where next was told of it by path level; where next
// is zero, nothing was.
func (h *hush) observe(rate float64, next *[pathCount]float64, at time.Time, interval time.Duration) {
	if !h.Since.IsZero() {
		if over := at.Sub(h.Since) > hushSpan; over || rate >= usualShare*h.Usual {
			*h = hush{Returned: !over}
		}
		return
	}
	// Were the quantiles as far below the median as above it, nothing would come less often than once in a hundred ticks.
	if steady := next[0] > 0 && next[rivalLevels-1] < 2*next[0]; steady && rate >= usualShare*next[0] {
		h.Usual, h.At = next[0], at
	}
	if rate < hushShare*h.Usual && at.Sub(h.At) <= hushTicks*interval {
		h.Since = at
	}
}

// hushed returns how many replicas serve what came before a hush, 0 where there is none or it is taken for an end, as the first is.
func (d decider) hushed(perReplica float64) int {
	h := &d.state.Hush
	if h.Since.IsZero() || !h.Returned {
		return 0
	}
	n, _ := d.state.Partitions.snap(h.Usual * d.config.Interval.Seconds() / perReplica)
	return n
}
