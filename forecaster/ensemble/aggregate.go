package ensemble

import (
	"math"

	"github.com/prescale/prescale/forecaster/signal"
)

// The gains below were chosen by the quantile loss on fourteen public arrival traces and are the same for every series.
const (
	forget     = 0.995 // of regrets: a memory of 200 outcomes
	fixedShare = 0.01  // spread evenly, so that an expert can come back
	fullRate   = 1.0 / 3
	lossUnit   = 3.0 // regrets are in units of this many mean losses
	// mostRegret bounds what an outcome counts for at the median, so that a sudden rise does not slow down all that follows. At the 0.99
	// quantile it is 25 times as much: a miss is to weigh as much as 99 hits, and a bound that cuts it favours experts that are too low.
	mostRegret = 3
	// firstSquare is what squares begin with, so that the first miss does not decide.
	firstSquare = 30
)

// combine returns the weighted mean of the experts' quantiles of a cell, on the value scale, and leaves them in quants.
func (b *bank) combine(at, t, i int) float64 {
	p := b.points[(at*b.targets+t)*b.experts:][:b.experts]
	cell := (t*len(b.levels) + i) * b.k
	offset, weight := b.offset[cell:][:b.k], b.weight[cell:][:b.k]
	scale, quick := float64(b.scales[at]), float64(b.quicks[at])
	sum := 0.0
	for e, o := range offset[:b.experts] {
		y := signal.Backward(float64(p[e]) + float64(o)*scale)
		b.quants[e] = y
		sum += float64(weight[e]) * y
	}
	for j, e := range b.quick {
		c := b.experts + j
		y := signal.Backward(float64(p[e]) + float64(offset[c])*quick)
		b.quants[c] = y
		sum += float64(weight[c]) * y
	}
	return sum
}

// weigh moves the weights of a cell's experts, whose quantiles are in quants: norm is the gradient of the pinball loss at their
// mean in units of the usual loss.
func (b *bank) weigh(cell int, tau, norm, mean float64) {
	k := b.k
	quants, scaled := b.quants[:k], b.scaled[:k]
	square, regret, weight := b.square[cell:][:k], b.regret[cell:][:k], b.weight[cell:][:k]
	total, most := 0.0, mostRegret/(4*tau*(1-tau))
	for e := range scaled {
		r := max(-most, min(most, norm*(mean-quants[e])))
		v := forget*float64(square[e]) + r*r
		square[e] = float32(v)
		rate := fullRate
		if v*rate*rate > b.logK {
			rate = math.Sqrt(b.logK / v)
		}
		reg := forget*float64(regret[e]) + r - rate*r*r
		regret[e] = float32(reg)
		w := rate * exp(rate*reg)
		scaled[e] = w
		total += w
	}
	share := (1 - fixedShare) / total
	for e, w := range scaled {
		weight[e] = float32(share*w + fixedShare/float64(k))
	}
}
