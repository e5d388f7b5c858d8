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

func (b *bank) adjusted(y, offset, scale float64) float64 {
	if offset == 0 {
		return y
	}
	return signal.Backward(signal.Forward(y) + offset*scale)
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

// The gains below were chosen by the quantile loss on fourteen public arrival traces and are the same for every series.
const (
	forget     = 0.995 // of regrets: a memory of 200 outcomes
	fixedShare = 0.01  // spread evenly, so that an expert can come back
	fullRate   = 1.0 / 3
	lossUnit   = 3.0 // regrets are in units of this many mean losses
	offsetSpan = 1000
	// mostRegret bounds what an outcome counts for at the median, so that a sudden rise does not slow down all that follows. At the 0.99
	// quantile it is 25 times as much: a miss is to weigh as much as 99 hits, and a bound that cuts it favours experts that are too low.
	mostRegret = 3
	// firstSquare is what squares begin with, so that the first miss does not decide.
	firstSquare = 30
)

// zeroZ is what 0 is on the square-root scale, and a hair: where both the outcome and a quantile are 0, nothing is to be
// learned, and a tracker that went on would wind up through every quiet night.
var zeroZ = signal.Forward(0) + 1e-6

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

// track moves the quantiles of the experts' errors. They were told in units of scale; what a miss teaches is in units of unit.
func (b *bank) track(offset, points []float32, scale, unit, z, tau, gain float64) {
	points = points[:len(offset)]
	for e, o32 := range offset {
		o := float64(o32)
		said := float64(points[e]) + o*scale
		if z <= zeroZ && said <= zeroZ {
			continue
		}
		step := gain * max(1, math.Abs(o)/2.5)
		if z <= said {
			o += step * (tau - 1)
		} else {
			// A miss teaches no more than what would have covered it.
			o = max(o, min(o+step*tau, (z-float64(points[e]))/unit))
		}
		offset[e] = float32(o)
	}
}

// The last tracker adds to each target's quantiles what keeps the share of outcomes under them at its level (the P term of
// conformal PID control). It judges what was told at the time, not what would be told now: its offset has since learned from
// outcomes that overlap with the one that it judges. A gain that is always high enough to hold the coverage of a day costs
// much pinball loss, so the gain grows where coverage is off: by the square of how many standard errors of finalMisses
// outcomes it is. Far steps, whose outcomes come late, move less, by the fourth root of the span. A young series' quantiles
// are left to the experts' own trackers, whose gains are large at first. The numbers were chosen on parts of the public traces
// that the benchmark does not score, and on traces that it leaves out.
const (
	finalMemory = 300 // outcomes, the inverse of the gain
	finalMisses = 200 // outcomes over which coverage is watched
	finalBoost  = 4   // the gain grows at most so many times
	finalRamp   = 100 // outcomes until the gain is whole
)

func (b *bank) correct(t, i int, covered bool) {
	tau, cell := b.levels[i], t*len(b.levels)+i
	miss := tau
	if covered {
		miss = tau - 1
	}
	drift := float64(b.drift[cell])
	drift += (miss - drift) / finalMisses
	b.drift[cell] = float32(drift)
	boost := drift * drift * 2 * finalMisses / (tau * (1 - tau))
	ramp := min(1, float64(b.count[t])/finalRamp)
	b.final[cell] += b.gain[cell] * float32(miss*ramp*max(1, min(finalBoost, boost)))
}

// quantiles writes target t's quantiles of now.
func (b *bank) quantiles(dst []float64, s *signal.Signal, t int) {
	at := s.Steps() % (b.reach + 1)
	q := len(b.levels)
	if s.Known() == 0 {
		clear(dst)
		return
	}
	limit := signal.Backward(3 * s.Peak())
	for i := range dst {
		dst[i] = min(limit, float64(b.told[(at*b.targets+t)*q+i]))
	}
	slices.Sort(dst)
}

// window writes the quantiles of the maximum over the next `steps` steps: between the window lengths that are tracked it
// interpolates.
func (b *bank) window(dst []float64, s *signal.Signal, steps int) {
	lower, length := 0, 1 // target and window length at or below steps
	for w, n := range b.windows {
		t := b.reach + w
		if n == steps {
			b.quantiles(dst, s, t)
			return
		}
		if n > steps {
			b.quantiles(dst, s, lower)
			share := float64(steps-length) / float64(n-length)
			above := b.scaled[:0]
			above = append(above, dst...)
			b.quantiles(above, s, t)
			for i := range dst {
				dst[i] += share * (above[i] - dst[i])
			}
			return
		}
		lower, length = t, n
	}
	b.quantiles(dst, s, lower)
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
