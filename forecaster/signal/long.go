package signal

import "math"

// Seasons of over 682 steps, such as eight hours at 15 s, are looked for in the week that the ring keeps, up to a third of it. The
// day needs no looking for: it is assumed.

// longPoints is how many points the week is averaged into, so that looking costs no more than among the latest steps, and
// longLooks how often it is done in a week.
const (
	longPoints = 2048
	longLooks  = 8
)

// Long returns the length in steps of the season that was found where it is a long one, or 0.
func (s *Signal) Long() int {
	if s.found != 0 {
		return 0
	}
	return s.long
}

// lookLong keeps the long season up to date.
func (s *Signal) lookLong() {
	if s.recent == nil || s.steps < s.longAt || len(s.ring) == 0 {
		return
	}
	for s.longAt <= s.steps {
		s.longAt += max(recentSteps, min(s.longAt, len(s.ring)*s.bucket/longLooks))
	}
	n := min(s.steps/s.bucket, len(s.ring))
	group := (len(s.ring) + longPoints - 1) / longPoints
	from := (recentSteps/3)/(group*s.bucket) + 1 // in points
	if n/group < 3*from {
		return
	}
	z := make([]float64, n)
	last, known := math.NaN(), 0
	for i := range z {
		if p := s.ring[(s.steps/s.bucket-n+i)%len(s.ring)]; p != 0 {
			last = unpack(p)
			known++
		}
		z[i] = last
	}
	if known < n*3/4 {
		return // as in look
	}
	for i := 0; i < n && math.IsNaN(z[i]); i++ {
		z[i] = z[n-1]
	}
	points := make([]float64, n/group)
	for i := range points {
		for _, v := range z[n-(len(points)-i)*group:][:group] {
			points[i] += v / float64(group)
		}
	}
	lag := season(points, from, int(math.Round(float64(s.long)/float64(group*s.bucket))))
	if lag == 0 || math.Abs(float64(lag*group*s.bucket-s.day)) <= max(float64(group*s.bucket), float64(s.day)/32) {
		s.long = 0
		return
	}
	s.long = int(math.Round(sharpened(detrended(z), lag*group, group) * float64(s.bucket)))
}

// sharpened returns the lag at which z resembles itself most, within `near` of the one given: read off its multiples, as in refined.
func sharpened(z []float64, lag, near int) float64 {
	exact := float64(lag)
	for turns := 1; ; turns++ {
		middle := int(math.Round(exact * float64(turns)))
		if middle+near >= len(z)/2 {
			return exact
		}
		best, most := middle, math.Inf(-1)
		for l := middle - near; l <= middle+near; l++ {
			sum := 0.0
			for i, v := range z[:len(z)-l] {
				sum += v * z[i+l]
			}
			if sum /= float64(len(z) - l); sum > most {
				best, most = l, sum
			}
		}
		exact = float64(best) / float64(turns)
		near = 2
	}
}

// longTurn is Turn for the long season.
func (s *Signal) longTurn(k int) float64 {
	if s.long == 0 {
		return math.NaN()
	}
	for ago := s.long - k; ago < len(s.ring)*s.bucket; ago += s.long {
		if v := s.Past(ago); !math.IsNaN(v) {
			return v
		}
	}
	return math.NaN()
}
