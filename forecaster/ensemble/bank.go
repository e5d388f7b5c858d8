package ensemble

import (
	"math"
	"slices"

	"github.com/prescale/prescale/forecaster/checkpoint"
	"github.com/prescale/prescale/forecaster/signal"
)

// bank holds, for each target (every step ahead, then some windows whose maximum is forecast), the experts' pending
// forecasts, the quantiles of their errors, their weights, and the final offsets. Arrays are flat: a target's cells lie
// together, level by level, expert by expert.
type bank struct {
	levels  []float64
	reach   int   // longest horizon in steps
	windows []int // lengths of the windows, ascending; the last is reach
	experts int   // whose points are kept
	quick   []int // those whose errors are taken in the quick unit as well
	k       int   // quantiles in a cell: every expert's in the slow unit, then those of quick
	targets int

	points  []float32 // ring over time: [time][target][expert]
	scales  []float32 // ring over time: the slow unit
	quicks  []float32 // ring over time: the quick unit
	made    []bool    // ring over time
	told    []float32 // ring over time: [time][target][level], the quantiles after the conformal offset, on the value scale
	outcome []float64 // ring over time of y, NaN for a gap

	offset  []float32 // [target][level][expert]: quantile of (z - point) / scale
	regret  []float32 // [target][level][expert]
	square  []float32 // [target][level][expert]
	weight  []float32 // [target][level][expert]
	loss    []float32 // [target][level]: running mean of the pinball loss
	density []float64
	logK    float64   // of k
	final   []float32 // [target][level]: the conformal offset in units of scale
	drift   []float32 // [target][level]: recent share of outcomes over what was told, less its due
	gain    []float32 // [target][level]: of the conformal offset
	count   []int     // outcomes seen, by target
	start   start
	watch   watch
	change  change
	changed bool // the latest outcome told of a change

	quants []float64 // scratch: the experts' quantiles of one cell
	scaled []float64 // scratch
}

func (b *bank) init(levels []float64, reach, experts int, quick []int) {
	k := experts + len(quick)
	b.levels, b.reach, b.experts, b.quick, b.k, b.logK = levels, reach, experts, quick, k, math.Log(float64(k))
	for _, w := range []int{(reach + 1) / 2, reach} {
		if w > 1 && !slices.Contains(b.windows, w) {
			b.windows = append(b.windows, w)
		}
	}
	b.targets = reach + len(b.windows)
	n, q := reach+1, len(levels)
	b.points = make([]float32, n*b.targets*experts)
	b.scales = make([]float32, n)
	b.quicks = make([]float32, n)
	b.made = make([]bool, n)
	b.told = make([]float32, n*b.targets*q)
	b.outcome = make([]float64, n)
	for i := range b.outcome {
		b.outcome[i] = math.NaN()
	}
	cells := b.targets * q * b.k
	b.offset = make([]float32, cells)
	b.regret = make([]float32, cells)
	b.square = make([]float32, cells)
	b.weight = make([]float32, cells)
	b.loss = make([]float32, b.targets*q)
	b.final = make([]float32, b.targets*q)
	b.drift = make([]float32, b.targets*q)
	b.gain = make([]float32, b.targets*q)
	b.watch.init(levels)
	b.count = make([]int, b.targets)
	b.quants = make([]float64, max(k, len(levels)))
	b.scaled = make([]float64, max(k, len(levels)))
	for _, level := range levels {
		u := math.Sqrt2 * math.Erfinv(2*level-1)
		b.density = append(b.density, math.Sqrt(2*math.Pi)*math.Exp(u*u/2))
	}
	b.start.init(b)
	for t := range b.targets {
		for i, level := range levels {
			b.gain[t*q+i] = float32(b.density[i] / finalMemory / math.Sqrt(math.Sqrt(float64(b.span(t)))))
			for e := range b.k {
				c := (t*q+i)*b.k + e
				b.offset[c] = float32(b.start.growth[t] * b.normal(t, level))
				b.square[c] = firstSquare
				b.weight[c] = 1 / float32(b.k)
			}
		}
	}
}

// span returns how many steps before the outcome a target's forecast was made.
func (b *bank) span(t int) int {
	if t < b.reach {
		return t + 1
	}
	return b.windows[t-b.reach]
}

// take keeps expert e's path for now.
func (b *bank) take(s *signal.Signal, e int, path []float64) {
	at := s.Steps() % (b.reach + 1)
	row := b.points[at*b.targets*b.experts:]
	peak, w := math.Inf(-1), 0
	for t, z := range path {
		row[t*b.experts+e] = float32(z)
		peak = max(peak, z)
		if w < len(b.windows) && b.windows[w] == t+1 {
			row[(b.reach+w)*b.experts+e] = float32(peak)
			w++
		}
	}
}

// finish clips the experts of now to the pool and keeps the final quantiles until their outcomes are known.
func (b *bank) finish(s *signal.Signal) {
	at := s.Steps() % (b.reach + 1)
	b.made[at] = true
	b.begin(s)
	b.scales[at], b.quicks[at] = float32(s.Scale()), float32(s.Quick())
	ceiling := float32(1.3 * s.Peak())
	for t := range b.targets {
		p := b.points[(at*b.targets+t)*b.experts:][:b.experts]
		for i, v := range p {
			p[i] = max(0, min(v, ceiling))
		}
	}
	q := len(b.levels)
	for t := range b.targets {
		out := b.told[(at*b.targets+t)*q:][:q]
		for i := range b.levels {
			out[i] = float32(b.adjusted(b.combine(at, t, i), float64(b.final[t*q+i]), s.Scale()))
			// The maximum over a window is no less than its first value and than that over a shorter one, of which more outcomes
			// are known: after a sudden rise the longest window is the last to learn of it.
			if t >= b.reach {
				out[i] = max(out[i], b.told[at*b.targets*q+i])
			}
			if t > b.reach {
				out[i] = max(out[i], b.told[(at*b.targets+t-1)*q+i])
			}
		}
	}
}

// learn judges every pending forecast that y settles. It runs after the signal took y and before new forecasts are made.
func (b *bank) learn(s *signal.Signal, y float64) {
	n := b.reach + 1
	b.outcome[s.Steps()%n] = y
	b.made[s.Steps()%n] = false
	b.changed = false
	if math.IsNaN(y) {
		return
	}
	b.start.observe(s, b.outcome)
	for t := range b.targets {
		h := b.span(t)
		if s.Steps() <= h {
			continue
		}
		at := (s.Steps() - h) % n
		if !b.made[at] {
			continue
		}
		truth := y
		if t >= b.reach {
			for j := 1; j < h; j++ {
				truth = max(truth, b.outcome[(s.Steps()-j)%n])
			}
			if math.IsNaN(truth) {
				continue
			}
		}
		b.settle(s, at, t, truth)
	}
}

func (b *bank) settle(s *signal.Signal, at, t int, y float64) {
	q := len(b.levels)
	scale := float64(b.scales[at])
	// A first burst out of nothing is huge in units of the scale before it: what it teaches is taken in units of the scale
	// that it leaves behind.
	unit := max(scale, s.Scale())
	quick := float64(b.quicks[at])
	quickUnit := max(quick, s.Quick())
	z := signal.Forward(y)
	b.count[t]++
	memory := min(float64(b.count[t])+b.worth(t), offsetSpan)
	p := b.points[(at*b.targets+t)*b.experts:][:b.experts]
	if t == b.targets-1 {
		b.watch.peaks++
	}
	for i, tau := range b.levels {
		mean := b.combine(at, t, i)
		g := -tau
		if y <= mean {
			g = 1 - tau
		}
		l := &b.loss[t*q+i]
		pin := g * (mean - y)
		if b.count[t] == 1 {
			*l = float32(pin)
		} else {
			*l += float32(max(0.01, 1/float64(b.count[t])) * (pin - float64(*l)))
		}
		cell := (t*q + i) * b.k
		if b.k > 1 {
			b.weigh(cell, tau, g/(lossUnit*float64(*l)+1e-9), mean)
		}
		gain := b.density[i] / memory
		b.track(b.offset[cell:][:b.experts], p, scale, unit, z, tau, gain)
		for j, e := range b.quick {
			b.track(b.offset[cell+b.experts+j:][:1], p[e:], quick, quickUnit, z, tau, gain)
		}
		said := float64(b.told[(at*b.targets+t)*q+i])
		if t == 0 && i == b.watch.middle {
			b.changed = b.change.step(signal.Forward(said) - z)
		}
		if t == b.targets-1 {
			b.watch.peak(i, said, y)
		}
		if t == b.reach-1 && i == b.watch.middle {
			b.watch.step(said, b.outcome[at], y)
		}
		if y == 0 && said == 0 {
			continue
		}
		b.correct(t, i, y <= said)
	}
}

func (b *bank) visit(c *checkpoint.Codec) {
	c.Float64s("levels", b.levels)
	c.Float32s("points", b.points)
	c.Float32s("scales", b.scales)
	c.Float32s("quick scales", b.quicks)
	for i := range b.made {
		c.Bool(&b.made[i])
	}
	b.start.visit(c)
	c.Float32s("told", b.told)
	c.Float64s("outcomes", b.outcome)
	b.watch.visit(c)
	b.change.visit(c)
	c.Float32s("drifts", b.drift)
	c.Float32s("offsets", b.offset)
	c.Float32s("regrets", b.regret)
	c.Float32s("squares", b.square)
	c.Float32s("weights", b.weight)
	c.Float32s("losses", b.loss)
	c.Float32s("final offsets", b.final)
	for i := range b.count {
		c.Int(&b.count[i])
	}
}
