package ensemble

import (
	"math"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/checkpoint"
	"github.com/prescale/prescale/metrics/series"
)

// watch judges what was told of the longest horizon: of its maximum, which the scaler lives by, and of its last step.
type watch struct {
	levels []float64
	middle int // the level nearest to the median

	peaks   int
	cover   []float64 // share of maxima at or under the quantile
	pinball []float64

	n           int
	err, base   float64 // mean absolute error of the median, of the last value
	lean, level float64 // mean error, mean outcome
	up, down    float64
	drifted     bool
}

// watchMemory is over how many outcomes forecasts are watched, and coverBand how far coverage may stray below its level,
// beyond twice the standard error of as many outcomes, before the forecast is no longer trusted. An outcome that passes its
// quantile by no more than the share negligible counts as covered: of arrivals that are always the same, the last digit decides.
const (
	watchMemory = 200
	coverBand   = 0.05
	negligible  = 1e-3
)

// Drift is found by a two-sided cumulative sum of the errors in units of their mean, less an allowance (Page 1954, "Continuous
// inspection schemes", Biometrika 41). With errors of a Laplace distribution the limit is reached by chance once in some
// ten thousand outcomes; a quarter of it ends the alarm.
const (
	driftAllowance = 0.5
	driftClip      = 3
	driftLimit     = 15
	driftStart     = 20 // outcomes until the mean error is known well enough
)

func (w *watch) init(levels []float64) {
	w.levels = levels
	w.cover, w.pinball = append([]float64(nil), levels...), make([]float64, len(levels))
	for i, tau := range levels {
		if math.Abs(tau-0.5) < math.Abs(levels[w.middle]-0.5) {
			w.middle = i
		}
	}
}

// peak judges the quantile of level i that was told of a window's maximum.
func (w *watch) peak(i int, said, y float64) {
	hit, loss := 0.0, w.levels[i]*(y-said)
	if y <= said {
		hit, loss = 1, (1-w.levels[i])*(said-y)
	} else if y-said <= negligible*y {
		hit = 1
	}
	w.cover[i] += (hit - w.cover[i]) / watchMemory
	w.pinball[i] += (loss - w.pinball[i]) / float64(max(1, min(w.peaks, watchMemory)))
}

// step judges the median that was told of the last step, when the latest value was `last`, NaN in a gap.
func (w *watch) step(said, last, y float64) {
	if math.IsNaN(last) {
		return
	}
	w.n++
	rate := 1 / float64(min(w.n, watchMemory))
	e := said - y
	w.err += rate * (math.Abs(e) - w.err)
	w.base += rate * (math.Abs(last-y) - w.base)
	w.lean += rate * (e - w.lean)
	w.level += rate * (y - w.level)
	if w.n <= driftStart || w.err == 0 {
		return
	}
	z := max(-driftClip, min(driftClip, e/w.err))
	w.up, w.down = max(0, w.up+z-driftAllowance), max(0, w.down-z-driftAllowance)
	if most := max(w.up, w.down); most > driftLimit {
		w.drifted = true
		w.up, w.down = min(w.up, 2*driftLimit), min(w.down, 2*driftLimit) // so that the alarm ends when the errors do
	} else if most < driftLimit/4 {
		w.drifted = false
	}
}

// strayed returns the first level whose recent coverage is under its floor, or -1.
func (w *watch) strayed() int {
	for i, tau := range w.levels {
		if tau >= 0.5 && w.cover[i] < tau-coverBand-2*math.Sqrt(tau*(1-tau)/watchMemory) {
			return i
		}
	}
	return -1
}

// report writes what was found; unit is what values are divided by to be per second.
func (w *watch) report(dst *forecaster.Accuracy, unit float64) {
	dst.Outcomes, dst.Drifted = w.n, w.drifted
	dst.MASE, dst.BiasRatio = series.Missing, series.Missing
	dst.MaxCoverage, dst.MaxPinball = dst.MaxCoverage[:0], dst.MaxPinball[:0]
	if w.n == 0 {
		return
	}
	if w.base > 0 {
		dst.MASE = series.Of(w.err / w.base)
	}
	if w.level > 0 {
		dst.BiasRatio = series.Of(w.lean / w.level)
	}
	for i := range w.levels {
		dst.MaxCoverage = append(dst.MaxCoverage, w.cover[i])
		dst.MaxPinball = append(dst.MaxPinball, w.pinball[i]/unit)
	}
}

func (w *watch) visit(c *checkpoint.Codec) {
	c.Int(&w.peaks)
	c.Float64s("coverage", w.cover)
	c.Float64s("pinball", w.pinball)
	c.Int(&w.n)
	for _, x := range []*float64{&w.err, &w.base, &w.lean, &w.level, &w.up, &w.down} {
		c.Float64(x)
	}
	c.Bool(&w.drifted)
}
