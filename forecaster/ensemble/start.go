package ensemble

import (
	"math"
	"slices"

	"github.com/prescale/prescale/forecaster/checkpoint"
	"github.com/prescale/prescale/forecaster/signal"
)

// start is what the quantiles of the experts' errors are taken to be until outcomes tell: those of a normal distribution, wider the
// further ahead. How much wider is seen sooner than those quantiles: noise moves as far in thirty steps as in one, a random walk
// further by the root of thirty. And few outcomes do not tell how heavy the tail is: a Laplace distribution is assumed at first, and the
// normal one by degrees.
type start struct {
	move   []float64 // mean of |z - z h steps before|, for h from 1
	count  []int     // how many are in it
	growth []float64 // by target: what the quantiles were multiplied by
	doubt  float64   // how much of the way to the Laplace distribution they are
}

// Where a number says no more it was chosen on the quantile loss of first forecasts from 30 to 200 samples, of traces that the
// benchmark leaves out and of synthetic series.
const (
	startGrowth = 0.1 // before any outcome the spread grows with the distance to this power
	startPrior  = 5   // moves that the growth up to the next shorter distance is worth
	// mostGrowth bounds that power: below the half of a walk, since what moves far is foreseen in part.
	mostGrowth   = 0.35
	startSamples = 100 // values until the start has no more say
	laplaceScale = 0.8 // gives the Laplace distribution the normal one's 0.9 quantile
)

func (p *start) init(b *bank) {
	p.move, p.count, p.growth = make([]float64, b.reach), make([]int, b.reach), make([]float64, b.targets)
	for t := range p.growth {
		p.growth[t] = math.Pow(float64(b.span(t)), startGrowth)
	}
}

// normal returns the quantile of a target's errors in units of the scale, before they grow: of a normal distribution for a step, and
// for a window of the largest of as many normal variables as the root of its length, as its steps are neither independent nor equal.
func (b *bank) normal(t int, level float64) float64 {
	return math.Sqrt2 * math.Erfinv(2*b.alone(t, level)-1)
}

// laplace is normal of a distribution with heavier tails.
func (b *bank) laplace(t int, level float64) float64 {
	level = b.alone(t, level)
	if level < 0.5 {
		return laplaceScale * math.Log(2*level)
	}
	return -laplaceScale * math.Log(2*(1-level))
}

// alone returns the level of one of the variables whose largest a target is.
func (b *bank) alone(t int, level float64) float64 {
	if t < b.reach {
		return level
	}
	return math.Pow(level, 1/math.Sqrt(float64(b.span(t))))
}

// worth is how many outcomes of a target its start is worth. Outcomes of forecasts made far ahead overlap and tell less.
func (b *bank) worth(t int) float64 { return 20 * math.Sqrt(float64(b.span(t))) }

// observe takes the latest value of a young series; outcomes is the ring of them by step.
func (p *start) observe(s *signal.Signal, outcomes []float64) {
	if s.Known() > startSamples {
		return
	}
	n, now := len(outcomes), s.Steps()
	z := signal.Forward(outcomes[now%n])
	for i := range p.move {
		h := i + 1
		if now <= h {
			break
		}
		if y := outcomes[(now-h)%n]; !math.IsNaN(y) {
			p.count[i]++
			p.move[i] += (math.Abs(z-signal.Forward(y)) - p.move[i]) / float64(p.count[i])
		}
	}
}

// begin gives the start of a young series the growth that is known by now.
func (b *bank) begin(s *signal.Signal) {
	if s.Known() > startSamples {
		return
	}
	doubt := 1 - float64(s.Known())/startSamples
	move := s.Scale()
	for i, mean := range b.start.move {
		if i > 0 {
			move *= math.Pow(1+1/float64(i), startGrowth)
			n := float64(b.start.count[i])
			move += n / (n + startPrior) * (mean - move)
		}
		growth := max(1, min(math.Pow(float64(i+1), mostGrowth), move/s.Scale()))
		b.grow(i, growth, doubt)
		if w := slices.Index(b.windows, i+1); w >= 0 {
			b.grow(b.reach+w, growth, doubt)
		}
	}
	b.start.doubt = doubt
}

// grow moves a target's quantiles by what is left of their start after the outcomes that it has seen.
func (b *bank) grow(t int, growth, doubt float64) {
	wide, doubted := b.start.growth[t], b.start.doubt
	b.start.growth[t] = growth
	left := b.worth(t) / (b.worth(t) + float64(b.count[t]))
	for i, level := range b.levels {
		normal := b.normal(t, level)
		tail := b.laplace(t, level) - normal
		move := float32(left * (growth*(normal+doubt*tail) - wide*(normal+doubted*tail)))
		offset := b.offset[(t*len(b.levels)+i)*b.k:][:b.k]
		for e := range offset {
			offset[e] += move
		}
	}
}

func (p *start) visit(c *checkpoint.Codec) {
	c.Float64s("moves", p.move)
	for i := range p.count {
		c.Int(&p.count[i])
	}
	c.Float64s("growths", p.growth)
	c.Float64(&p.doubt)
}
