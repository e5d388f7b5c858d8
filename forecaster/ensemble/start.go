package ensemble

import (
	"math"
	"slices"

	"github.com/prescale/prescale/forecaster/checkpoint"
	"github.com/prescale/prescale/forecaster/signal"
)

// start is what the quantiles of the experts' errors are taken to be until outcomes tell: those of a normal distribution, wider the
// further ahead. How much wider is seen sooner than those quantiles: noise moves as far in thirty steps as in one, a random walk
// further by the root of thirty.
type start struct {
	move   []float64 // mean of |z - z h steps before|, for h from 1
	count  []int     // how many are in it
	growth []float64 // by target: what the quantiles were multiplied by
}

// Where a number says no more it was chosen on the quantile loss of first forecasts from 30 to 200 samples, of traces that the
// benchmark leaves out and of synthetic series.
const (
	startGrowth = 0.1 // before any outcome the spread grows with the distance to this power
	startPrior  = 5   // moves that the growth up to the next shorter distance is worth
	// mostGrowth bounds that power: below the half of a walk, since what moves far is foreseen in part.
	mostGrowth   = 0.35
	startSamples = 100 // values until the start has no more say
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
	if t >= b.reach {
		level = math.Pow(level, 1/math.Sqrt(float64(b.span(t))))
	}
	return math.Sqrt2 * math.Erfinv(2*level-1)
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
	move := s.Scale()
	for i, mean := range b.start.move {
		if i > 0 {
			move *= math.Pow(1+1/float64(i), startGrowth)
			n := float64(b.start.count[i])
			move += n / (n + startPrior) * (mean - move)
		}
		growth := max(1, min(math.Pow(float64(i+1), mostGrowth), move/s.Scale()))
		b.grow(i, growth)
		if w := slices.Index(b.windows, i+1); w >= 0 {
			b.grow(b.reach+w, growth)
		}
	}
}

// grow moves a target's quantiles by what is left of their start after the outcomes that it has seen.
func (b *bank) grow(t int, growth float64) {
	more := growth - b.start.growth[t]
	b.start.growth[t] = growth
	left := b.worth(t) / (b.worth(t) + float64(b.count[t]))
	for i, level := range b.levels {
		move := float32(more * left * b.normal(t, level))
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
}
