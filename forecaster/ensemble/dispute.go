package ensemble

import (
	"math"

	"github.com/prescale/prescale/forecaster/signal"
)

// disputes knows who was right when the experts disagreed: regrets like those of the weights, by the outcomes of such moments alone.
// A jump that comes at eight every morning is known to those that look a day back, and to nobody else, at one sample a day; at all
// others they are no better, and 200 outcomes later that morning is forgotten. So moments of dispute have a memory of their own, and one
// day is enough to tell. It goes beside the weights, as a product. There are four: for steps, which share one, and for windows, each
// when all was as told until now, and when something has just come that was not.
type disputes struct {
	regret, square []float32 // [calm or not][steps or windows][level][expert]
}

const (
	// clearDispute is from which dispute on, the largest that is told apart, the experts are said to disagree: they are six times as
	// far apart as usual.
	clearDispute = mostDispute
	// calmRatio is how many times as far as usual the latest value may be from the experts for all to be as told.
	calmRatio = 2
)

func (d *disputes) init(levels, k int) {
	d.regret, d.square = make([]float32, 4*levels*k), make([]float32, 4*levels*k)
	for i := range d.square {
		d.square[i] = firstSquare
	}
}

// see keeps whether the latest value is what the experts had told: the deviation of their points from it, with the median's weights, as a
// multiple of the usual.
func (b *bank) see(s *signal.Signal, at int) {
	n := b.reach + 1
	before := (at + n - 1) % n
	b.calm[at] = false
	if !b.made[before] || math.IsNaN(b.outcome[at]) {
		return
	}
	b.ready(s.Steps()-1, 0)
	off := b.deviation(0, float32(signal.Forward(b.outcome[at]))) / s.Scale()
	b.calm[at] = off <= calmRatio*b.amazed
	b.amazed = max(leastDispute, b.amazed+max(1.0/offsetSpan, 1/float64(s.Known()))*(off-b.amazed))
}

// disputed reports whether the experts disagreed on target t when they spoke at `at`, on a window when they did on any of its steps.
func (b *bank) disputed(at, t int) bool {
	steps := b.dispute[at*b.reach:][:b.reach]
	if t < b.reach {
		return steps[t] >= clearDispute
	}
	for _, d := range steps[:b.windows[t-b.reach]] {
		if d >= clearDispute {
			return true
		}
	}
	return false
}

// disputeCell returns regrets and squares of level i of target t in disputes as the one at `at`.
func (b *bank) disputeCell(at, t, i int) (regret, square []float32) {
	cell := i
	if t >= b.reach {
		cell += len(b.levels)
	}
	if !b.calm[at] {
		cell += 2 * len(b.levels)
	}
	return b.disputes.regret[cell*b.k:][:b.k], b.disputes.square[cell*b.k:][:b.k]
}

// weights returns those of the experts of level i of target t, in a dispute by their record in disputes as well. They are good until the
// next call of this or of weigh.
func (b *bank) weights(at, t, i int, disputed bool) []float32 {
	usual := b.weight[(t*len(b.levels)+i)*b.k:][:b.k]
	if !disputed {
		return usual
	}
	regret, square := b.disputeCell(at, t, i)
	weight := b.raw[:b.k]
	best := float32(math.Inf(-1))
	for e, r := range regret {
		weight[e] = b.rate(square[e]) * r
		best = max(best, weight[e])
	}
	total := float32(0)
	for e, w := range weight {
		weight[e] = usual[e] * float32(math.Exp(float64(w-best)))
		total += weight[e]
	}
	for e, w := range weight {
		weight[e] = (1-fixedShare)*w/total + fixedShare/float32(b.k)
	}
	return weight
}

// judge moves the regrets of disputes as weigh does those of the weights.
func (b *bank) judge(at, t, i int, norm, mean float32) {
	regret, square := b.disputeCell(at, t, i)
	b.regrets(regret, square, i, norm, mean, 0, 0)
}

// uncross raises a disputed target's upper quantiles to the median and lowers those below it. An outcome tells least of a level that it
// rarely passes, so that the median knows of a jump days before the upper quantiles do: sorted, they would make it theirs.
func (b *bank) uncross(quantiles []float32) {
	for i := b.watch.middle + 1; i < len(quantiles); i++ {
		quantiles[i] = max(quantiles[i], quantiles[i-1])
	}
	for i := b.watch.middle - 1; i >= 0; i-- {
		quantiles[i] = min(quantiles[i], quantiles[i+1])
	}
}
