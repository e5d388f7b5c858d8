// Package batch forecasts many steps ahead of a finished series in one go, such as two days of hourly values: the median of
// a dozen simple models, each fitted to that series alone. Nothing is learned across series and nothing is tuned to a
// test set.
//
// The models: linear autoregression over one long season, shrunk towards the seasonal naive forecast, recursive and direct,
// on several scales (ridge.go); exponential smoothing with two seasons (Taylor 2003, smoothing.go); the seasonal naive and
// level-shifted seasonal means (naive.go).
package batch

import (
	"math"
	"slices"
)

// Config says what to forecast.
type Config struct {
	// Horizon is the number of steps.
	Horizon int
	// Seasons are season lengths in steps, shortest first. Where only one is given, seven of it are tried as the second.
	Seasons []int
	// Interval, within (0, 1), asks for the bounds of a central interval; 0 for none.
	Interval float64
}

// Result holds one value per step. Lower and Upper are nil where no interval was asked for.
type Result struct {
	Points, Lower, Upper []float64
}

// Forecast forecasts y, oldest first, which is neither kept nor modified. y must hold at least one value and only finite
// ones. A series that was never negative is never forecast negative.
func Forecast(y []float64, c Config) Result {
	r := Result{Points: median(y, c)}
	if c.Interval > 0 {
		r.Lower, r.Upper = interval(y, c, r.Points)
	}
	return r
}

// series is what the models see: values scaled to a mean of about one, and the seasons that the history can bear.
type series struct {
	y           []float64
	short, long int // 0 for none; long is at least short
	horizon     int
}

func prepare(y []float64, c Config) (series, float64) {
	scale := 0.0
	for _, v := range y {
		scale += math.Abs(v) / float64(len(y))
	}
	if scale == 0 {
		scale = 1
	}
	s := series{y: make([]float64, len(y)), horizon: c.Horizon}
	for i, v := range y {
		s.y[i] = v / scale
	}
	for _, m := range c.Seasons {
		if m < 2 || len(y) < 2*m {
			continue
		}
		if s.short == 0 {
			s.short = m
		}
		s.long = m
	}
	if s.short > 0 && s.long == s.short && len(y) >= 3*7*s.short {
		s.long = 7 * s.short
	}
	return s, scale
}

func median(y []float64, c Config) []float64 {
	s, scale := prepare(y, c)
	lowest := slices.Min(s.y)
	highest := slices.Max(s.y)
	var paths [][]float64
	for _, path := range pool(s) {
		if path != nil && sane(path, lowest, highest) {
			paths = append(paths, path)
		}
	}
	out := make([]float64, c.Horizon)
	column := make([]float64, 0, len(paths))
	for k := range out {
		column = column[:0]
		for _, p := range paths {
			column = append(column, p[k])
		}
		slices.Sort(column)
		n := len(column)
		v := (column[(n-1)/2] + column[n/2]) / 2
		if lowest >= 0 {
			v = max(0, v)
		}
		out[k] = v * scale
	}
	return out
}

// sane drops a path that has a NaN or leaves all reason, as recursions can.
func sane(path []float64, lowest, highest float64) bool {
	room := 2*(highest-lowest) + 1e-9
	for _, v := range path {
		if !(v >= lowest-room && v <= highest+room) {
			return false
		}
	}
	return true
}

// pool returns one path per model that the history can bear. The last value always can.
func pool(s series) [][]float64 {
	if s.short == 0 {
		return [][]float64{naive(s, 1), smoothed(s)}
	}
	paths := [][]float64{
		naive(s, s.long), shifted(s, s.long), weekMeans(s),
	}
	for _, scale := range scales(s.y) {
		z := scale.forward(s.y)
		t := s
		t.y = z
		for _, penalty := range []float64{1e-3, 1e-2} {
			paths = append(paths, scale.backward(recursive(t, penalty)))
		}
		paths = append(paths, scale.backward(direct(t, 1e-2)), scale.backward(doubleSeasonal(t)))
	}
	return paths
}

// interval takes the errors of the same models at earlier ends of the series, a short season apart, and widens each step by
// their quantile over all of them and over neighbouring steps. Where the history is too short for that, the spread of the
// changes over as many seasons serves, or over steps where there is no season.
func interval(y []float64, c Config, points []float64) (lower, upper []float64) {
	season := 1
	if len(c.Seasons) > 0 && c.Seasons[0] > 1 && len(y) >= 2*c.Seasons[0] {
		season = c.Seasons[0]
	}
	lower, upper = make([]float64, c.Horizon), make([]float64, c.Horizon)
	var errs [][]float64
	for back := 0; back < 4; back++ {
		end := len(y) - c.Horizon - back*max(season, c.Horizon/2)
		if end < max(8, 4*season, c.Horizon) {
			break
		}
		said := median(y[:end], c)
		row := make([]float64, c.Horizon)
		for k := range row {
			row[k] = math.Abs(y[end+k] - said[k])
		}
		errs = append(errs, row)
	}
	positive := slices.Min(y) >= 0
	near := make([]float64, 0, 256)
	for k := range points {
		near = near[:0]
		for _, row := range errs {
			for j := max(0, k-season/2); j < min(len(row), k+season/2+1); j++ {
				near = append(near, row[j])
			}
		}
		if len(near) == 0 {
			apart := min((k/season+1)*season, max(season, len(y)/2))
			for i := apart; i < len(y); i++ {
				near = append(near, math.Abs(y[i]-y[i-apart]))
			}
			if len(near) == 0 {
				near = append(near, 0)
			}
		}
		slices.Sort(near)
		// Four earlier ends understate what the next will bring: a tenth more.
		width := 1.1 * near[min(len(near)-1, int(c.Interval*float64(len(near))))]
		lower[k], upper[k] = points[k]-width, points[k]+width
		if positive {
			lower[k] = max(0, lower[k])
		}
	}
	return lower, upper
}
