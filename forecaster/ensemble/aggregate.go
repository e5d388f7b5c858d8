package ensemble

import (
	"math"
	"slices"
)

// The weights are those of Bernstein online aggregation (Wintenberger 2017, "Optimal learning with Bernstein online aggregation",
// Machine Learning 106) on the gradient of the pinball loss, in its form with a learning rate of its own for each expert: regret is its
// R, square its V and rate its η. Departures: both sums forget; a fixed share is spread evenly (Herbster & Warmuth 1998, "Tracking the
// best expert", Machine Learning 32); a gain ends nearer to the outcome (regrets); a record is only so deep (deepest).
//
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
	// firstDoubt is what experts begin with as a regret that are not to be believed in the middle before their record speaks for them: at
	// the median so much that little more than the fixed share is left. Above it, where it is they who know of bursts, it is less by the
	// square of τ(1-τ).
	firstDoubt = 12
	// youngRate is how many times as fast more the median's weights of a young series learn. It fades until there are startSamples values,
	// and above the median as firstDoubt does.
	youngRate = 2
	// pastShare is how much of what is too much is taken off the gain of an expert beyond the outcome (regrets) at the median; above it
	// less by the square of τ(1-τ). All of it would leave true losses, which know the best expert and not the best mean.
	pastShare = 0.5
	// deepest is how far an expert's record may fall, as the exponent of its weight: what is lost without end would be made good without
	// end before a series that has changed is followed. The weight that an expert has there is taken off all but for the share leftOdds,
	// so that the many that are of no use have next to none together (hack/designs/forecast-changes.md).
	deepest  = 3.75
	leftOdds = 1e-3
	// leastSquare is added to each square. Beside any other it is nothing; where an idle series adds none for days, squares and regrets
	// would fade until they are denormal numbers, with which an update takes four times as long.
	leastSquare = 1e-30
)

// leastOdds is what is taken off each weight.
var leastOdds = (1 - leftOdds) * exp(-deepest)

// middle is 1 at the median and falls as the square of τ(1-τ).
func middle(level float64) float64 {
	m := 4 * level * (1 - level)
	return m * m
}

// believe sets the weights of a cell's experts, and what they come from, to what they are before any outcome.
func (b *bank) believe(cell int, level float64, doubted []int) {
	square, regret, weight := b.square[cell*b.k:][:b.k], b.regret[cell*b.k:][:b.k], b.weight[cell*b.k:][:b.k]
	total := 0.0
	rate := min(fullRate, math.Sqrt(float64(b.logK)/firstSquare))
	for e := range weight {
		square[e] = firstSquare
		if slices.Contains(doubted, b.expert(e)) {
			regret[e] = -float32(firstDoubt * middle(level))
		}
		total += math.Exp(rate * float64(regret[e]))
	}
	for e := range weight {
		weight[e] = float32((1-fixedShare)*math.Exp(rate*float64(regret[e]))/total + fixedShare/float64(b.k))
	}
}

// gradient returns g, that of the pinball loss, in units of the usual loss, and what regrets takes off beyond an outcome.
func gradient(g, loss float32, level float64) (norm, past float32) {
	unit := 1 / (lossUnit*loss + 1e-9)
	past = pastShare * float32(middle(level)) * unit
	if g < 0 {
		past = -past
	}
	return g * unit, past
}

// weigh moves the weights of a cell's experts, whose quantiles are in quants: norm is the gradient of the pinball loss at their
// mean in units of the usual loss. The next step's regrets count as well, by share; of y and past see regrets.
//
// Its loop, those of regrets, combine's and track's are most of an update's time. They compute in float32, which is how their state is
// kept, and bound what hardly ever needs it by branches, which cost less than the builtin min and max with their care for NaN.
func (b *bank) weigh(cell, i int, norm, mean, share, y, past float32) {
	k := b.k
	regret, next, weight, raw := b.regret[cell*k:][:k], b.regret[i*k:][:k], b.weight[cell*k:][:k], b.raw[:k]
	b.regrets(regret, b.square[cell*k:], i, norm, mean, y, past)
	total := float32(0)
	for e, rate := range raw {
		if rate*regret[e] < -deepest {
			regret[e] = -deepest / rate
		}
		x := rate * (regret[e] + share*next[e])
		if x < -deepest {
			x = -deepest
		}
		w := rate * (exp(x) - leastOdds)
		raw[e] = w
		total += w
	}
	part, floor := (1-fixedShare)/total, fixedShare/float32(k)
	for e, w := range raw {
		weight[e] = part*w + floor
	}
}

// regrets moves the regrets of level i's experts and the sums of their squares, and leaves in raw how fast each moves a weight. It is no
// part of weigh's loop, which would have more values at a time than registers.
//
// The gradient says what an expert's loss would be less than the mean's if the outcome were beyond both. Where the outcome y is between
// them that is too much by the distance from y to the expert, of which past, in the gradient's units, is taken off: positive where the
// mean is over y, negative where it is under it.
func (b *bank) regrets(regret, square []float32, i int, norm, mean, y, past float32) {
	k := b.k
	regret, square, quants, raw := regret[:k], square[:k], b.quants[:k], b.raw[:k]
	most := b.most[i]
	least := -most
	for e, q := range quants {
		r := norm * (mean - q)
		if beyond := past * (y - q); beyond > 0 {
			r -= beyond
		}
		if r > most {
			r = most
		} else if r < least {
			r = least
		}
		rr := r*r + leastSquare
		v := forget*square[e] + rr
		square[e] = v
		rate := b.rate(v)
		regret[e] = forget*regret[e] + r - rate*rr
		raw[e] = rate
	}
}

// rate returns how fast a regret whose squares sum up to square moves a weight.
func (b *bank) rate(square float32) float32 {
	rate := float32(math.Sqrt(float64(b.logK / square)))
	if rate > fullRate {
		rate = fullRate
	}
	return rate
}
