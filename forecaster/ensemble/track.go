package ensemble

import (
	"math"

	"github.com/prescale/prescale/forecaster/signal"
)

// offsetSpan is how many outcomes a tracked quantile remembers at most. It was chosen as the gains of the weights were.
const offsetSpan = 1000

// zeroZ is what 0 is on the square-root scale, and a hair: where both the outcome and a quantile are 0, nothing is to be
// learned, and a tracker that went on would wind up through every quiet night.
var zeroZ = float32(signal.Forward(0) + 1e-6)

// widePace is from which offset on a step grows with the offset.
const widePace = 2.5

// The largest of n outcomes is passed by the next one with a chance of 1/(n+1), though none of the n passed it: quantiles of few outcomes
// are passed more often than their level says (which conformal prediction's rank of τ(n+1) makes good). Windows that share steps are
// passed together, so that of thirty steps three hundred outcomes are few.
const (
	freshSamples = 400 // values until that no longer counts
	freshSpans   = 8   // spans of outcomes beside which half as many may pass as the level says
)

// aim returns the level that a quantile of target t is tracked at: above the median of a window more than its own while the series is
// fresh. fresh is 1 at first and 0 in the end.
func (b *bank) aim(t int, level, fresh float64) float64 {
	if t < b.reach || level <= 0.5 {
		return level
	}
	n := float64(b.count[t])
	return 1 - (1-level)*n/(n+freshSpans*fresh*float64(b.span(t)))
}

// ofPart returns the level at which the maximum of a share of a window's steps has the quantile that the whole window's has at the given
// level. What is known of a window with gaps is no more than its maximum, so it is under that more often. As for the start (alone in
// start.go), a window is taken for as many independent variables as the root of its length. Windows with gaps left out would teach nothing
// where a source answers at every other tick: no window is ever whole.
func ofPart(level, share float64) float64 { return math.Pow(level, math.Sqrt(share)) }

// ready lays out target t's points that were made at a step, and their units, one for every quantile of a cell.
func (b *bank) ready(step, t int) {
	at := step % (b.reach + 1)
	copy(b.point, b.points[b.row(step, t)*b.experts:][:b.experts])
	b.share(t)
	for e := range b.experts {
		b.unit[e] = b.scales[at] * b.shares[e]
	}
	for j, e := range b.quick {
		b.point[b.experts+j], b.unit[b.experts+j] = b.point[e], b.quicks[at]*b.shares[b.experts+j]
	}
}

// combine returns the weighted mean of the experts' quantiles of a cell, on the value scale, and leaves them in quants. The cell's
// target is ready.
func (b *bank) combine(cell int, weight []float32) float32 {
	k := b.k
	offset, weight := b.offset[cell*k:][:k], weight[:k]
	point, unit, quants := b.point[:k], b.unit[:k], b.quants[:k]
	sum := float32(0)
	for e, o := range offset {
		y := signal.Backward(point[e] + o*unit[e])
		quants[e] = y
		sum += weight[e] * y
	}
	return sum
}

// track does what combine does and moves the quantiles of the experts' errors towards the outcome z meanwhile. They were told in units of
// b.unit; what a miss teaches is in those whose inverses are in b.inverse.
func (b *bank) track(cell int, weight []float32, z, tau, gain float32) float32 {
	k := b.k
	offset, weight := b.offset[cell*k:][:k], weight[:k]
	point, unit, inverse, quants := b.point[:k], b.unit[:k], b.inverse[:k], b.quants[:k]
	sum := float32(0)
	for e, o := range offset {
		said := point[e] + o*unit[e]
		y := signal.Backward(said)
		quants[e] = y
		sum += weight[e] * y
		if z <= zeroZ && said <= zeroZ {
			continue
		}
		step := gain
		if o > widePace {
			step *= o * (1 / widePace)
		} else if o < -widePace {
			step *= o * (-1 / widePace)
		}
		if z <= said {
			offset[e] = o - step*(1-tau)
		} else if cover := (z - point[e]) * inverse[e]; cover > o {
			// A miss teaches no more than what would have covered it.
			if o += step * tau; o > cover {
				o = cover
			}
			offset[e] = o
		}
	}
	return sum
}
