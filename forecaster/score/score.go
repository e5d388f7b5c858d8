// Package score judges forecasts against what came: pinball loss and coverage, per step and of the maximum over the
// horizon, for a model beside naive methods on the same history.
package score

import (
	"math"
	"time"

	"github.com/prescale/prescale/forecaster"
)

// Pinball is the loss of saying quantile q at level tau when y came (Koenker & Bassett 1978): never negative, least in the
// mean where q is the true quantile.
func Pinball(q, y, tau float64) float64 {
	if y > q {
		return tau * (y - q)
	}
	return (1 - tau) * (q - y)
}

// Method is a named model.
type Method struct {
	Name  string
	Model forecaster.Model
}

// Result sums one method's scores.
type Result struct {
	Name    string
	Origins int
	points  int
	peaks   int
	loss    float64
	peak    float64
	sum     float64
	peakSum float64
	covered []int
}

// Loss is the weighted quantile loss: twice the mean pinball loss over all levels, as a share of the mean outcome. It is NaN or
// infinite where nothing came.
func (r *Result) Loss() float64 { return 2 * r.loss / r.sum / float64(len(r.covered)) }

// PeakLoss is the same of the maximum over the horizon.
func (r *Result) PeakLoss() float64 { return 2 * r.peak / r.peakSum / float64(len(r.covered)) }

// Cover is the share of outcomes at or under the quantile of level i.
func (r *Result) Cover(i int) float64 { return float64(r.covered[i]) / float64(r.points) }

// First returns the row of n from which on forecasts are scored: the last 30 % of them, or half where there are under 1000.
func First(n int) int {
	share := 0.7
	if n < 1000 {
		share = 0.5
	}
	return max(0, int(share*float64(n))-1)
}

// Origins returns the rows of n that forecasts are made at: up to 240, evenly spaced from First on, each followed by at least horizon
// rows.
func Origins(n, horizon int) []int {
	first := First(n)
	stride := max(1, (n-horizon-first)/240)
	var out []int
	for o := first; o <= n-1-horizon && len(out) < 240; o += stride {
		out = append(out, o)
	}
	return out
}

// Compare lets every method go through the history once and scores its forecasts at the origins. values are per step, NaN
// for a gap; progress is told each row.
func Compare(methods []Method, config forecaster.Config, times []time.Time, values []float64, progress func(row int)) []Result {
	h := config.MaxSteps
	at := map[int]bool{}
	for _, o := range Origins(len(values), h) {
		at[o] = true
	}
	rows := make(map[int]int, len(times)) // by step since the first
	slots := make([]int, len(times))
	for i, t := range times {
		if i > 0 {
			slots[i] = slots[i-1] + int(math.Round(float64(t.Sub(times[i-1]))/float64(config.Step)))
		}
		rows[slots[i]] = i
	}
	results := make([]Result, len(methods))
	for m := range methods {
		results[m].Name, results[m].covered = methods[m].Name, make([]int, len(config.Quantiles))
	}
	outcome := func(slot int) float64 {
		if i, ok := rows[slot]; ok {
			return values[i]
		}
		return math.NaN()
	}
	unit := config.Step.Seconds()
	var f forecaster.Forecast
	for i, v := range values {
		progress(i + 1)
		for m := range methods {
			methods[m].Model.Observe(times[i], v/unit)
			if at[i] {
				methods[m].Model.Forecast(&f, h)
				results[m].judge(&f, h, unit, func(k int) float64 { return outcome(slots[i] + k) })
			}
		}
	}
	return results
}

func (r *Result) judge(f *forecaster.Forecast, horizon int, unit float64, outcome func(k int) float64) {
	r.Origins++
	peak := math.Inf(-1)
	for k := 1; k <= horizon; k++ {
		y := outcome(k)
		peak = max(peak, y) // NaN stays
		if math.IsNaN(y) {
			continue
		}
		r.points++
		r.sum += y
		for l, tau := range f.Levels {
			q := f.Quantile(k, l) * unit
			r.loss += Pinball(q, y, tau)
			if y <= q {
				r.covered[l]++
			}
		}
	}
	if math.IsNaN(peak) {
		return
	}
	r.peaks++
	r.peakSum += peak
	for l, tau := range f.Levels {
		r.peak += Pinball(f.Max[l]*unit, peak, tau)
	}
}
