package batch

import "math"

// doubleSeasonal is additive exponential smoothing with two seasons and an autoregressive error (Taylor 2003, "Short-term
// electricity demand forecasting using double seasonal exponential smoothing", JORS 54): l for the level, d and w for the
// short and long season, phi for the error. Its gains are chosen from a coarse grid by squared error one step ahead.
func doubleSeasonal(s series) []float64 {
	best, gains := math.Inf(1), [4]float64{}
	for _, alpha := range []float64{0.003, 0.03, 0.1} {
		for _, delta := range []float64{0.02, 0.1, 0.25} {
			for _, omega := range []float64{0.05, 0.15, 0.3} {
				for _, phi := range []float64{0.5, 0.8, 0.95} {
					g := [4]float64{alpha, delta, omega, phi}
					if e, _ := smooth(s, g, false); e < best {
						best, gains = e, g
					}
				}
			}
		}
	}
	_, out := smooth(s, gains, true)
	return out
}

func smooth(s series, g [4]float64, forecast bool) (float64, []float64) {
	alpha, delta, omega, phi := g[0], g[1], g[2], g[3]
	m1, m2 := s.short, s.long
	day, week := make([]float64, m1), make([]float64, m2)
	level := 0.0
	first := min(len(s.y), m2)
	for _, v := range s.y[:first] {
		level += v / float64(first)
	}
	counts := make([]float64, m1)
	for t, v := range s.y[:first] {
		day[t%m1] += v - level
		counts[t%m1]++
	}
	for i := range day {
		day[i] /= max(1, counts[i])
	}
	if m2 > m1 {
		for t, v := range s.y[:first] {
			week[t] = 0.5 * (v - level - day[t%m1])
		}
	}
	sum, e := 0.0, 0.0
	i, j := 0, 0
	for t, v := range s.y {
		base := level + day[i] + week[j]
		ahead := v - base - phi*e
		if t >= first {
			sum += ahead * ahead
		}
		e = v - base
		level += alpha * ahead
		day[i] += delta * ahead
		if m2 > m1 {
			week[j] += omega * ahead
		}
		if i++; i == m1 {
			i = 0
		}
		if j++; j == m2 {
			j = 0
		}
	}
	if !forecast {
		return sum, nil
	}
	out := make([]float64, s.horizon)
	for k := range out {
		e *= phi
		out[k] = level + day[(len(s.y)+k)%m1] + week[(len(s.y)+k)%m2] + e
	}
	return sum, out
}
