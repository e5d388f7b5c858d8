package ensemble

import "github.com/prescale/prescale/forecaster/signal"

// offsetSpan is how many outcomes a tracked quantile remembers at most. It was chosen as the gains of the weights were.
const offsetSpan = 1000

// zeroZ is what 0 is on the square-root scale, and a hair: where both the outcome and a quantile are 0, nothing is to be
// learned, and a tracker that went on would wind up through every quiet night.
var zeroZ = float32(signal.Forward(0) + 1e-6)

// widePace is from which offset on a step grows with the offset.
const widePace = 2.5

// ready lays out target t's points that were made at `at`, and their units, one for every quantile of a cell.
func (b *bank) ready(at, t int) {
	copy(b.point, b.points[(at*b.targets+t)*b.experts:][:b.experts])
	for e := range b.experts {
		b.unit[e] = b.scales[at]
	}
	for j, e := range b.quick {
		b.point[b.experts+j], b.unit[b.experts+j] = b.point[e], b.quicks[at]
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
