package ensemble

import (
	"math"

	"github.com/prescale/prescale/forecaster/signal"
)

// The units of errors are of the series: how far it moves in a step. An expert that errs far less than the last value, as that of the
// day where a step is an hour and each day as the one before, would have quantiles that begin many times too wide, and then move by
// more than its errors are. So an expert whose errors are less than half of those of the last value has smaller units, in proportion.
const (
	ownSpan   = 200     // outcomes over which errors are averaged
	ownPrior  = 20      // outcomes that equal errors are worth at first
	ownMost   = 4       // an error counts as no more units
	ownLeast  = 1.0 / 8 // of the series' unit, so that a tracker that narrow still moves
	smallPart = 0.5     // of the last value's errors, from which on the units are the series'
)

// measure learns from outcome z how large the errors of target t, a step, are: the experts', and that of the last value then. inverse is
// that of the series' unit.
func (b *bank) measure(step, t int, z, inverse float32) {
	last := b.outcome[step%len(b.outcome)]
	if math.IsNaN(last) {
		return
	}
	rate := 1 / min(float32(b.count[t])+ownPrior, ownSpan)
	learn := func(mean *float32, point float32) {
		err := (z - point) * inverse
		if err < 0 {
			err = -err
		}
		if err > ownMost {
			err = ownMost
		}
		*mean += rate * (err - *mean)
	}
	learn(&b.moved[t], float32(signal.Forward(last)))
	for e, point := range b.points[b.row(step, t)*b.experts:][:b.experts] {
		learn(&b.own[t*b.experts+e], point)
	}
}

// share sets what the series' units are multiplied by for target t, for each of a cell's quantiles: those of a window by what those of
// the step are that it ends with.
func (b *bank) share(t int) {
	if t >= b.reach {
		t = b.windows[t-b.reach] - 1
	}
	share, most := b.shares, smallPart*b.moved[t]
	for e, own := range b.own[t*b.experts:][:b.experts] {
		switch {
		case own >= most:
			share[e] = 1
		case own < ownLeast*most:
			share[e] = ownLeast
		default:
			share[e] = own / most
		}
	}
	for j, e := range b.quick {
		share[b.experts+j] = share[e]
	}
}
