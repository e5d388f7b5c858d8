package ensemble

import (
	"math"

	"github.com/prescale/prescale/forecaster/checkpoint"
)

// change finds the moment from which the past is no longer a guide: the level, the phase of a season or the noise is another.
// It looks at the errors of the next step's median, which hardly overlap, in units of their mean: a cumulative sum each for
// errors that lean up, lean down, and are larger than they were, less an allowance (Page 1954, as in watch).
//
// Errors that are as they were hardly ever sum up to their limit: with a Laplace distribution the chance to get there falls as
// exp(-0.45 × leanLimit) and exp(-0.8 × wideLimit), so once in more than 100,000 steps. What the experts absorb in a dozen
// samples, such as another level, is no change: the errors are small again before their sum is large.
type change struct {
	n              int     // errors seen since the last change
	err            float64 // their mean
	up, down, wide float64
	behind         float64 // by how much the errors are more than the last value's, summed likewise
}

const (
	leanAllowance = 0.5
	leanClip      = 3
	wideAllowance = 1
	wideClip      = 4
	leanLimit     = 30
	behindClip    = 2
	behindLimit   = 5
	wideLimit     = 20
	changeStart   = 60 // errors until their mean is known well enough, and until a change may follow a change
)

// step takes the error of one median, and that of the last value when it was told, NaN in a gap. It reports whether the errors are no
// longer what they were, or only more than the last value's for so long that the weights are not what they should be.
func (c *change) step(e, last float64) (changed, behind bool) {
	c.n++
	before := c.err
	c.err += (math.Abs(e) - c.err) / float64(min(c.n, watchMemory))
	if c.n <= changeStart || before == 0 {
		return false, false
	}
	if !math.IsNaN(last) {
		more := (math.Abs(e) - math.Abs(last)) / before
		c.behind = max(0, c.behind+max(-behindClip, min(behindClip, more))-leanAllowance)
	}
	if behind = c.behind > behindLimit; behind {
		c.behind = 0
	}
	z := e / before
	lean := max(-leanClip, min(leanClip, z))
	c.up, c.down = max(0, c.up+lean-leanAllowance), max(0, c.down-lean-leanAllowance)
	c.wide = max(0, c.wide+min(wideClip, math.Abs(z))-1-wideAllowance)
	if max(c.up, c.down) < leanLimit && c.wide < wideLimit {
		return false, behind
	}
	*c = change{}
	return true, false
}

// What a change leaves of what was learned before: quantiles of errors move from then on as if keptOutcomes were known, their start
// among them, regrets and squares keep a tenth, and the last tracker begins anew but for what it knows of experts that disagree. What was
// told is judged as before, so that a forecast is not trusted again for having been restarted. The numbers were chosen on the public
// traces.
const (
	keptOutcomes = 45
	keptRegret   = 0.1
)

// reweigh lets go of what was learned of the experts beside each other, which may be of a level that is no more: at the median of all but
// a tenth, of less where single misses tell more.
func (b *bank) reweigh() {
	for i := range b.regret {
		kept := float32(math.Pow(keptRegret, middle(b.levels[i/b.k%len(b.levels)])))
		b.regret[i] *= kept
		b.square[i] *= kept
	}
}

// restart lets go of what was learned before a change.
func (b *bank) restart() {
	for i := range b.regret {
		b.regret[i] *= keptRegret
		b.square[i] *= keptRegret
	}
	for t := range b.count {
		b.count[t] = min(b.count[t], max(1, keptOutcomes-int(b.worth(t))))
	}
	for cell := range b.drift {
		clear(b.final[cell*finalTerms:][:momentTerms])
	}
}

func (c *change) visit(k *checkpoint.Codec) {
	k.Int(&c.n)
	for _, x := range []*float64{&c.err, &c.up, &c.down, &c.wide, &c.behind} {
		k.Float64(x)
	}
}
