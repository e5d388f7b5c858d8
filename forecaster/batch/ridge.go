package batch

import "math"

// design holds windows of the last `lags` values, each less its mean, and what the seasonal naive forecast leaves over.
//
// Subtracting the window's mean makes the regression blind to the level, so that a series that drifts stays forecastable;
// shrinking towards the seasonal naive forecast rather than towards zero makes a strong penalty harmless.
type design struct {
	lags int
	gram []float64 // packed lower triangle
	rows int
}

func lagsFor(s series, ahead int) int {
	lags := s.long
	if len(s.y) < 2*lags+ahead {
		lags = s.short
	}
	return lags
}

// window writes the lags before position t (oldest first), less their mean, which it returns.
func window(dst, y []float64, t int) float64 {
	mean := 0.0
	for _, v := range y[t-len(dst) : t] {
		mean += v
	}
	mean /= float64(len(dst))
	for i, v := range y[t-len(dst) : t] {
		dst[i] = v - mean
	}
	return mean
}

// prior is the naive forecast k steps after the window x: half the same phase of the short season, half of the long one.
func prior(x []float64, s series, k int) float64 {
	n := len(x)
	short := x[n-s.short+k%s.short]
	if s.long > n || s.long == s.short {
		return short
	}
	return 0.5*short + 0.5*x[n-s.long+k%s.long]
}

func newDesign(s series, lags, ahead int, penalty float64) (*design, [][]float64) {
	d := &design{lags: lags, gram: make([]float64, lags*(lags+1)/2)}
	var xs [][]float64
	for t := lags; t+ahead <= len(s.y); t++ {
		x := make([]float64, lags)
		window(x, s.y, t)
		xs = append(xs, x)
	}
	d.rows = len(xs)
	for _, x := range xs {
		p := 0
		for i, xi := range x {
			row := d.gram[p : p+i+1]
			for j := range row {
				row[j] += xi * x[j]
			}
			p += i + 1
		}
	}
	trace := 0.0
	for i := range lags {
		trace += d.gram[i*(i+1)/2+i]
	}
	delta := penalty*trace/float64(lags) + 1e-9
	for i := range lags {
		d.gram[i*(i+1)/2+i] += delta
	}
	if !cholesky(d.gram, lags) {
		return nil, nil
	}
	return d, xs
}

// solve returns the coefficients for what the prior of step k leaves over.
func (d *design) solve(s series, xs [][]float64, k int) []float64 {
	b := make([]float64, d.lags)
	for r, x := range xs {
		t := d.lags + r
		mean := 0.0
		for _, v := range s.y[t-d.lags : t] {
			mean += v
		}
		target := s.y[t+k] - mean/float64(d.lags) - prior(x, s, k)
		for i, v := range x {
			b[i] += v * target
		}
	}
	forwardBack(d.gram, b, d.lags)
	return b
}

// recursive forecasts one step, appends it, and goes on.
func recursive(s series, penalty float64) []float64 {
	lags := lagsFor(s, 1)
	d, xs := newDesign(s, lags, 1, penalty)
	if d == nil {
		return nil
	}
	theta := d.solve(s, xs, 0)
	y := append(make([]float64, 0, len(s.y)+s.horizon), s.y...)
	x := make([]float64, lags)
	out := make([]float64, s.horizon)
	for k := range out {
		mean := window(x, y, len(y))
		v := mean + prior(x, s, 0) + dot(theta, x)
		if math.Abs(v) > 1e6 {
			return nil
		}
		y = append(y, v)
		out[k] = v
	}
	return out
}

// direct forecasts each step by a regression of its own.
func direct(s series, penalty float64) []float64 {
	lags := lagsFor(s, s.horizon)
	if len(s.y) < lags+s.horizon+s.short {
		return nil
	}
	d, xs := newDesign(s, lags, s.horizon, penalty)
	if d == nil {
		return nil
	}
	x := make([]float64, lags)
	mean := window(x, s.y, len(s.y))
	out := make([]float64, s.horizon)
	for k := range out {
		out[k] = mean + prior(x, s, k) + dot(d.solve(s, xs, k), x)
	}
	return out
}

func dot(a, b []float64) float64 {
	sum := 0.0
	b = b[:len(a)]
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

func cholesky(l []float64, d int) bool {
	for j := range d {
		rj := l[j*(j+1)/2:][:j+1]
		for k := range j {
			rk := l[k*(k+1)/2:][:k+1]
			rj[k] = (rj[k] - dot(rk[:k], rj[:k])) / rk[k]
		}
		diag := rj[j] - dot(rj[:j], rj[:j])
		if !(diag > 0) {
			return false
		}
		rj[j] = math.Sqrt(diag)
	}
	return true
}

func forwardBack(l, v []float64, d int) {
	for j := range d {
		rj := l[j*(j+1)/2:][:j+1]
		v[j] = (v[j] - dot(rj[:j], v[:j])) / rj[j]
	}
	for j := d - 1; j >= 0; j-- {
		rj := l[j*(j+1)/2:][:j+1]
		v[j] /= rj[j]
		for k, x := range rj[:j] {
			v[k] -= x * v[j]
		}
	}
}
