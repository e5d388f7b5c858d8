// Package accuracy watches one policy's forecasts live: how often the outcome stays under each quantile, what the quantiles
// lose, how the median does against the last value, whether it leans to one side, and whether the series has drifted.
//
// Its main type is Tracker, a state machine stepped by the caller. It watches the forecast of one fixed number of steps
// ahead and of the maximum over as many.
package accuracy

import (
	"math"

	"github.com/prescale/prescale/forecaster"
)

// Config says what is watched.
type Config struct {
	// Ahead is how many steps ahead the watched forecast looks; at least 1.
	Ahead int
	// Memory is after how many outcomes one has lost two thirds of its weight; 200 by default.
	Memory int
	// Band is how far coverage may stray from nominal before a forecast is no longer believed, beyond twice the standard
	// error of Memory outcomes; 0.05 by default: at 0.95 and 200 outcomes the floor is 0.95 - 0.05 - 0.03 = 0.87.
	Band float64
}

// DefaultConfig watches four steps ahead over 200 outcomes.
func DefaultConfig() Config { return Config{Ahead: 4, Memory: 200, Band: 0.05} }

// Report is what a Tracker found. Slices are level by level; all are means over the memory.
type Report struct {
	// Outcomes is how many forecasts were judged.
	Outcomes int
	// Levels are the quantile levels. Coverage is the share of outcomes at or under the quantile, MaxCoverage the same of
	// the maximum over the window; Pinball is the mean loss in units per second.
	Levels, Coverage, MaxCoverage, Pinball []float64
	// MASE is the median's mean absolute error over the last value's at the same distance: under 1, forecasting helps.
	MASE float64
	// BiasRatio is the mean of (forecast - outcome) over the mean outcome: positive when too much is forecast.
	BiasRatio float64
	// Drifted reports that errors have leaned one way for longer than chance allows (Page 1954, "Continuous inspection
	// schemes", Biometrika 41: a two-sided cumulative sum) and have not yet come back.
	Drifted bool
	// InBand reports that no level's coverage fell under its floor; Problem says in words which did.
	InBand  bool
	Problem string
}

// Tracker accumulates a Report. It is not safe for concurrent use.
type Tracker struct {
	config  Config
	levels  []float64
	pending []pending // ring over steps
	steps   int

	n           int
	cover       []float64
	maxCover    []float64
	maxN        int
	pinball     []float64
	err, base   float64
	lean, level float64
	up, down    float64
	drifted     bool
	recent      []float64 // ring of outcomes, NaN for a gap
}

type pending struct {
	made   bool
	step   []float64
	max    []float64
	latest float64
}

// New makes a Tracker for forecasts at levels.
func New(levels []float64, c Config) *Tracker {
	t := &Tracker{config: c, levels: append([]float64(nil), levels...), pending: make([]pending, c.Ahead+1), recent: make([]float64, c.Ahead+1)}
	for i := range t.pending {
		t.pending[i].step, t.pending[i].max = make([]float64, len(levels)), make([]float64, len(levels))
		t.recent[i] = math.NaN()
	}
	t.cover, t.maxCover, t.pinball = make([]float64, len(levels)), make([]float64, len(levels)), make([]float64, len(levels))
	return t
}

// Observe judges what was forecast for this step, NaN for a gap, then keeps f, the forecast made right after it, whose levels
// are the Tracker's and which reaches at least Ahead steps. f is not kept.
func (t *Tracker) Observe(value float64, f *forecaster.Forecast) {
	ring := len(t.pending)
	t.steps++
	now := t.steps % ring
	t.recent[now] = value
	due := &t.pending[(t.steps+1)%ring] // Ahead steps ago
	if due.made && !math.IsNaN(value) {
		t.judge(due, value)
	}
	p := &t.pending[now]
	p.made = !math.IsNaN(value) && f.Steps >= t.config.Ahead && len(f.Levels) == len(t.levels)
	if !p.made {
		return
	}
	p.latest = value
	for i := range t.levels {
		p.step[i] = f.Quantile(t.config.Ahead, i)
	}
	copy(p.max, f.Max)
	if f.Steps > t.config.Ahead { // f.Max covers more than is watched: the steps' own maximum is the nearest known
		for i := range p.max {
			p.max[i] = 0
			for k := 1; k <= t.config.Ahead; k++ {
				p.max[i] = max(p.max[i], f.Quantile(k, i))
			}
		}
	}
}

func (t *Tracker) judge(p *pending, y float64) {
	t.n++
	rate := 1 / float64(min(t.n, t.config.Memory))
	middle := 0
	for i, tau := range t.levels {
		hit, loss := 0.0, tau*(y-p.step[i])
		if y <= p.step[i] {
			hit, loss = 1, (1-tau)*(p.step[i]-y)
		}
		t.cover[i] += rate * (hit - t.cover[i])
		t.pinball[i] += rate * (loss - t.pinball[i])
		if math.Abs(tau-0.5) < math.Abs(t.levels[middle]-0.5) {
			middle = i
		}
	}
	e := p.step[middle] - y
	t.err += rate * (math.Abs(e) - t.err)
	t.base += rate * (math.Abs(p.latest-y) - t.base)
	t.lean += rate * (e - t.lean)
	t.level += rate * (y - t.level)
	if t.n > 20 && t.err > 0 {
		z := max(-3, min(3, e/t.err))
		t.up, t.down = max(0, t.up+z-0.5), max(0, t.down-z-0.5)
		if max(t.up, t.down) > driftLimit {
			t.drifted = true
		} else if max(t.up, t.down) < driftLimit/4 {
			t.drifted = false
		}
		t.up, t.down = min(t.up, 2*driftLimit), min(t.down, 2*driftLimit)
	}
	peak := math.Inf(-1)
	for j := range t.config.Ahead {
		peak = max(peak, t.recent[((t.steps-j)%len(t.recent)+len(t.recent))%len(t.recent)])
	}
	if math.IsNaN(peak) {
		return
	}
	t.maxN++
	rate = 1 / float64(min(t.maxN, t.config.Memory))
	for i := range t.levels {
		hit := 0.0
		if peak <= p.max[i] {
			hit = 1
		}
		t.maxCover[i] += rate * (hit - t.maxCover[i])
	}
}

// driftLimit is the cumulative sum, in mean absolute errors beyond half of one, that counts as drift: about two dozen
// outcomes in a row on one side.
const driftLimit = 25

// Report writes what was found into dst, reusing its memory.
func (t *Tracker) Report(dst *Report) {
	dst.Outcomes = t.n
	dst.Levels = append(dst.Levels[:0], t.levels...)
	dst.Coverage = append(dst.Coverage[:0], t.cover...)
	dst.MaxCoverage = append(dst.MaxCoverage[:0], t.maxCover...)
	dst.Pinball = append(dst.Pinball[:0], t.pinball...)
	dst.MASE, dst.BiasRatio = math.NaN(), math.NaN()
	if t.base > 0 {
		dst.MASE = t.err / t.base
	}
	if t.level > 0 {
		dst.BiasRatio = t.lean / t.level
	}
	dst.Drifted, dst.InBand, dst.Problem = t.drifted, true, ""
	n := min(t.n, t.config.Memory)
	for i, tau := range t.levels {
		if floor := tau - t.config.Band - 2*math.Sqrt(tau*(1-tau)/float64(max(1, n))); n >= 30 && t.cover[i] < floor {
			dst.InBand = false
			dst.Problem = "recent outcomes stayed under the " + percent(tau) + " quantile only " + percent(t.cover[i]) + " of the time"
		}
	}
}
