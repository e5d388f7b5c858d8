package batch

// naive repeats the last season.
func naive(s series, season int) []float64 {
	out := make([]float64, s.horizon)
	for k := range out {
		out[k] = s.y[len(s.y)-season+k%season]
	}
	return out
}

// shifted repeats the last long season, moved by how the last short season differs from the same part of the long one.
func shifted(s series, season int) []float64 {
	n := len(s.y)
	if n < season+s.short {
		return nil
	}
	move := 0.0
	for i := n - s.short; i < n; i++ {
		move += (s.y[i] - s.y[i-season]) / float64(s.short)
	}
	if season == s.short {
		move = 0
	}
	out := naive(s, season)
	for k := range out {
		out[k] += 0.7 * move
	}
	return out
}

// weekMeans is the mean over past long seasons at each phase, newer ones counting more, moved like shifted.
func weekMeans(s series) []float64 {
	n, m := len(s.y), s.long
	if n < 2*m {
		return nil
	}
	mean := func(i int) float64 { // of phase i, which counts back from the end
		sum, weight, w := 0.0, 0.0, 1.0
		for j := i; j >= 0; j -= m {
			sum += w * s.y[j]
			weight += w
			w *= 0.6
		}
		return sum / weight
	}
	move := 0.0
	for i := n - s.short; i < n; i++ {
		before := mean(i - m)
		move += (s.y[i] - before) / float64(s.short)
	}
	out := make([]float64, s.horizon)
	for k := range out {
		out[k] = mean(n-m+k%m) + 0.5*move
	}
	return out
}

// smoothed is simple exponential smoothing, for series without a season.
func smoothed(s series) []float64 {
	level := s.y[0]
	for _, v := range s.y {
		level += 0.3 * (v - level)
	}
	out := make([]float64, s.horizon)
	for k := range out {
		out[k] = level
	}
	return out
}
