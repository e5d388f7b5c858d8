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

	first   []int     // [target]: the first of its rows, of which it has one more than steps until its outcome
	points  []float32 // [row][expert]
	scales  []float32 // ring over time: the slow unit
	quicks  []float32 // ring over time: the quick unit
	made    []bool    // ring over time
	told    []float32 // [row][level]: the quantiles after the conformal offset, on the value scale
	outcome []float64 // ring over time of y, NaN for a gap

	own      []float32 // [step ahead][expert]: running mean of |z - point| / unit
	moved    []float32 // [step ahead]: that of the last value
	offset   []float32 // [target][level][expert], the experts those of k: quantile of (z - point) / unit
	regret   []float32 // [target][level][expert]
	square   []float32 // [target][level][expert]
	weight   []float32 // [target][level][expert]
	loss     []float32 // [target][level]: running mean of the pinball loss
	density  []float64 // [level]: the inverse of the normal density at its quantile
	most     []float32 // [level]: what a regret is at most
	logK     float32   // of k
	terms    []float32 // ring over time: [time][term], what the conformal offset is linear in
	dispute  []float32 // ring over time: [time][step ahead], the last term of a step's: how far apart the experts are
	usual    []float32 // [step ahead]: running mean of that in units of scale
	calm     []bool    // ring over time: the outcome was what the experts had told
	amazed   float64   // running mean of how far outcomes are from what the experts tell, in units of scale
	final    []float32 // [target][level][term]: the coefficients of the terms, in units of scale
	drift    []float32 // [target][level]: recent share of outcomes over what was told, less its due
	run      []float32 // [target][level]: the sum of those misses in a row that are on one side
	gain     []float32 // [target][level]: of the conformal offset
	count    []int     // outcomes seen, by target
	taught   []int64   // [target]: the step of the latest outcome of what was told when a value had just come
	disputes disputes
	start    start
	watch    watch
	change   change
	jump     jump
	changed  bool // the latest outcome told of a change
	behind   bool // or of weights that are not what they should be

	// Scratch for one target, and for one of its cells: in each one element for every quantile of a cell.
	point, unit, inverse []float32 // the points, the units that offsets are in, and the inverses of those that they learn in
	shares               []float32 // what the series' units are multiplied by (own.go)
	quants, raw          []float32 // the experts' quantiles, and their weights before they sum up to one
	longer               []float64 // a window's quantiles
}

func (b *bank) init(levels []float64, reach, experts int, quick, doubted []int) {
	k := experts + len(quick)
	b.levels, b.reach, b.experts, b.quick, b.k, b.logK = levels, reach, experts, quick, k, float32(math.Log(float64(k)))
	for _, w := range []int{(reach + 1) / 2, reach} {
		if w > 1 && !slices.Contains(b.windows, w) {
			b.windows = append(b.windows, w)
		}
	}
	b.targets = reach + len(b.windows)
	n, q, rows := reach+1, len(levels), 0
	for t := range b.targets {
		b.first = append(b.first, rows)
		rows += b.span(t) + 1
	}
	b.points = make([]float32, rows*experts)
	b.scales = make([]float32, n)
	b.quicks = make([]float32, n)
	b.made = make([]bool, n)
	b.told = make([]float32, rows*q)
	b.outcome = make([]float64, n)
	for i := range b.outcome {
		b.outcome[i] = math.NaN()
	}
	cells := b.targets * q * b.k
	b.offset = make([]float32, cells)
	b.own, b.moved = slices.Repeat([]float32{1}, reach*experts), slices.Repeat([]float32{1}, reach)
	b.regret = make([]float32, cells)
	b.square = make([]float32, cells)
	b.weight = make([]float32, cells)
	b.loss = make([]float32, b.targets*q)
	b.terms = make([]float32, n*momentTerms)
	b.dispute = make([]float32, n*reach)
	b.usual = make([]float32, reach)
	b.calm = make([]bool, n)
	b.final = make([]float32, b.targets*q*finalTerms)
	b.drift = make([]float32, b.targets*q)
	b.run = make([]float32, b.targets*q)
	b.gain = make([]float32, b.targets*q)
	b.disputes.init(q, k)
	b.watch.init(levels)
	b.count, b.taught = make([]int, b.targets), slices.Repeat([]int64{-offsetSpan}, b.targets)
	for _, scratch := range []*[]float32{&b.point, &b.unit, &b.inverse, &b.shares, &b.quants, &b.raw} {
		*scratch = make([]float32, k)
	}
	b.longer = make([]float64, q)
	for _, level := range levels {
		b.most = append(b.most, float32(mostRegret/(4*level*(1-level))))
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
			}
			b.believe(t*q+i, level, doubted)
		}
	}
}

// expert returns whose the e-th of a cell's quantiles is.
func (b *bank) expert(e int) int {
	if e < b.experts {
		return e
	}
	return b.quick[e-b.experts]
}

// span returns how many steps before the outcome a target's forecast was made.
func (b *bank) span(t int) int {
	if t < b.reach {
		return t + 1
	}
	return b.windows[t-b.reach]
}

// row returns where points and told keep what was told of target t at a step, until its outcome is known.
func (b *bank) row(step, t int) int { return b.first[t] + step%(b.span(t)+1) }

// take keeps expert e's path for now.
func (b *bank) take(s *signal.Signal, e int, path []float64) {
	peak, w := math.Inf(-1), 0
	for t, z := range path {
		b.points[b.row(s.Steps(), t)*b.experts+e] = float32(z)
		peak = max(peak, z)
		if w < len(b.windows) && b.windows[w] == t+1 {
			b.points[b.row(s.Steps(), b.reach+w)*b.experts+e] = float32(peak)
			w++
		}
	}
}

// finish clips the experts of now to the pool and keeps the final quantiles until their outcomes are known.
func (b *bank) finish(s *signal.Signal) {
	step := s.Steps()
	at := step % (b.reach + 1)
	b.made[at] = true
	b.begin(s)
	b.scales[at], b.quicks[at] = float32(s.Scale()), float32(s.Quick())
	peak := s.Peak()
	ceiling, limit := float32(1.3*peak), float32(signal.Backward(3*peak))
	for t := range b.targets {
		p := b.points[b.row(step, t)*b.experts:][:b.experts]
		for i, v := range p {
			if v > ceiling {
				p[i] = ceiling
			} else if v < 0 {
				p[i] = 0
			}
		}
	}
	q := len(b.levels)
	b.know(s, at)
	b.see(s, at)
	for t := range b.targets {
		b.ready(step, t)
		if t < b.reach {
			b.disagree(s, at, t)
		}
		disputed := b.disputed(at, t)
		out := b.told[b.row(step, t)*q:][:q]
		if s.Gap() > 0 && t < b.reach-1 {
			// Without a value what was told a step before is as good as ever: of one step further then.
			copy(out, b.told[b.row(step-1, t+1)*q:][:q])
			continue
		}
		for i := range b.levels {
			mean := b.combine(t*q+i, b.weights(at, t, i, disputed))
			out[i] = min(limit, float32(b.adjusted(float64(mean), b.lacking(at, t, i), s.Scale())))
			// The maximum over a window is no less than its first value and than that over a shorter one, of which more outcomes
			// are known: after a sudden rise the longest window is the last to learn of it.
			if t >= b.reach {
				out[i] = max(out[i], b.told[b.row(step, 0)*q+i])
			}
			if t > b.reach {
				out[i] = max(out[i], b.told[b.row(step, t-1)*q+i])
			}
			// Nor is it less in a gap than a step before, as long as that was told of what is still to come: later steps are less certain.
			if t >= b.reach && s.Gap() > 0 && s.Gap() <= b.reach {
				out[i] = max(out[i], b.told[b.row(step-1, t)*q+i])
			}
		}
		if disputed {
			b.uncross(out)
		}
	}
}

// learn judges every pending forecast that y settles. It runs after the signal took y and before new forecasts are made.
func (b *bank) learn(s *signal.Signal, y float64) {
	n := b.reach + 1
	b.outcome[s.Steps()%n] = y
	b.made[s.Steps()%n] = false
	b.changed, b.behind = false, false
	if math.IsNaN(y) {
		return
	}
	b.start.observe(s, b.outcome)
	for t := range b.targets {
		h := b.span(t)
		if s.Steps() <= h {
			continue
		}
		step := s.Steps() - h
		if !b.made[step%n] {
			continue
		}
		if math.IsNaN(b.outcome[step%n]) {
			// What was made in a gap errs by more than what follows a value, and teaches only where nothing else has for long: where a
			// source answers at every other tick, no value ever comes an odd number of steps after another.
			if s.Steps()-int(b.taught[t]) < offsetSpan {
				continue
			}
		} else {
			b.taught[t] = int64(s.Steps())
		}
		truth, known := y, h
		if t >= b.reach {
			truth, known = b.highest(s.Steps(), h)
		}
		b.settle(s, step, t, truth, float64(known)/float64(h))
	}
}

// highest returns the largest of those of the latest h outcomes that are known, and how many are; the latest of all is.
func (b *bank) highest(now, h int) (most float64, known int) {
	for j := range h {
		if y := b.outcome[(now-j)%len(b.outcome)]; !math.IsNaN(y) {
			most = max(most, y)
			known++
		}
	}
	return most, known
}

// settle judges what was told of target t at a step by its outcome y; share is that of its steps that are known, 1 but for windows with
// gaps.
func (b *bank) settle(s *signal.Signal, step, t int, y, share float64) {
	q, at := len(b.levels), step%(b.reach+1)
	// A first burst out of nothing is huge in units of the scale before it: what it teaches is taken in units of the scale
	// that it leaves behind.
	inverse, quickInverse := 1/max(b.scales[at], float32(s.Scale())), 1/max(b.quicks[at], float32(s.Quick()))
	z := signal.Forward(y)
	b.count[t]++
	memory := min(float64(b.count[t])+b.worth(t), offsetSpan)
	b.ready(step, t)
	for e, share := range b.shares {
		if e < b.experts {
			b.inverse[e] = inverse / share
		} else {
			b.inverse[e] = quickInverse / share
		}
	}
	rate := float32(max(0.01, 1/float64(b.count[t]))) // of the mean loss
	watched := t == b.targets-1 && share == 1
	if watched {
		b.watch.peaks++
	}
	young := max(0, 1-float64(s.Known())/startSamples)
	fresh := max(0, 1-float64(s.Known())/freshSamples)
	disputed, across := b.disputed(at, t), b.jump.across(step)
	for i, tau := range b.levels {
		cell := t*q + i
		aim, gain := b.aim(t, tau, fresh), float32(b.density[i]/memory)
		if share < 1 {
			tau, aim = ofPart(tau, share), ofPart(aim, share)
		}
		if across {
			gain = 0
		}
		mean := b.track(cell, b.weights(at, t, i, disputed), float32(z), float32(aim), gain)
		g := float32(-tau)
		if y <= float64(mean) {
			g++
		}
		loss := b.loss[cell]
		loss += rate * (g*float32(float64(mean)-y) - loss)
		b.loss[cell] = loss
		if b.k > 1 {
			// Of the next step most outcomes are known, and after a jump the first: they tell who is not to be believed further ahead.
			eager, near := float32(young*middle(tau)), float32(0)
			if t > 0 && t < b.reach {
				near = eager
			}
			norm, past := gradient(g, loss, tau)
			pace := 1 + youngRate*eager
			b.weigh(cell, i, norm*pace, mean, near, float32(y), past*pace)
			if disputed {
				b.judge(at, t, i, norm, mean)
			}
		}
		said := float64(b.told[b.row(step, t)*q+i])
		if t == 0 && i == b.watch.middle {
			e := signal.Forward(said) - z
			b.jump.step(s.Steps(), -e, b.change.err, b.change.n) // first, for what is settled next and for the errors so far
			b.changed, b.behind = b.change.step(e, signal.Forward(b.outcome[at])-z)
		}
		if watched {
			b.watch.peak(i, said, y)
		}
		if t == b.reach-1 && i == b.watch.middle {
			b.watch.step(said, b.outcome[at], y)
		}
		if across || y == 0 && said == 0 {
			continue
		}
		b.correct(at, t, i, tau, y <= said, fresh)
	}
	if t < b.reach && !across {
		b.measure(step, t, float32(z), inverse)
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
	b.jump.visit(c)
	c.Float32s("drifts", b.drift)
	c.Float32s("runs", b.run)
	c.Float32s("errors", b.own)
	c.Float32s("moves", b.moved)
	c.Float32s("offsets", b.offset)
	c.Float32s("regrets", b.regret)
	c.Float32s("squares", b.square)
	c.Float32s("weights", b.weight)
	c.Float32s("losses", b.loss)
	c.Float32s("terms", b.terms)
	c.Float32s("disputes", b.dispute)
	c.Float32s("usual disputes", b.usual)
	for i := range b.calm {
		c.Bool(&b.calm[i])
	}
	c.Float64(&b.amazed)
	c.Float32s("final offsets", b.final)
	c.Float32s("regrets of disputes", b.disputes.regret)
	c.Float32s("squares of disputes", b.disputes.square)
	for i := range b.count {
		c.Int(&b.count[i])
		c.Int64(&b.taught[i])
	}
}
