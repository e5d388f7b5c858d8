package signal

import (
	"math"

	"gonum.org/v1/gonum/dsp/fourier"
)

// recentSteps is how many of the latest values are kept at full resolution to look for a season in: three turns of a season
// of 682 steps, which at 15 s is close to three hours.
const recentSteps = 2048

// Seek makes s look for a season that is neither its day nor its week, such as an hourly job's, and keep it up to date: one of up
// to 682 steps, or up to a third of the week (long.go). It is called once, before the first Push.
func (s *Signal) Seek() { s.recent, s.checkAt = make([]uint16, recentSteps), firstCheck }

// Turn returns the latest value whose phase in the found season is that of k steps ahead (k may be 0), or NaN where none is
// known.
func (s *Signal) Turn(k int) float64 {
	if s.found == 0 {
		return s.longTurn(k)
	}
	turns := max(1, (k+s.found-1)/s.found)
	ago := turns*s.found - k
	for ; ago < min(len(s.recent), s.steps); ago += s.found {
		if p := s.recent[(s.steps-1-ago)&(recentSteps-1)]; p != 0 {
			return unpack(p)
		}
	}
	return math.NaN()
}

// Looking for a season costs some hundred microseconds, so it is done when the history has doubled, and later each time that
// half of what is kept is new.
const firstCheck = 128

func (s *Signal) look() {
	if s.recent == nil || s.steps < s.checkAt {
		return
	}
	for s.checkAt <= s.steps {
		s.checkAt += min(s.checkAt, recentSteps/2)
	}
	n := min(s.steps, recentSteps)
	z := make([]float64, n)
	last, known := math.NaN(), 0
	for i := range z {
		if p := s.recent[(s.steps-n+i)&(recentSteps-1)]; p != 0 {
			last = unpack(p)
			known++
		}
		z[i] = last
	}
	if known < n*3/4 {
		return // a gap carried on looks like a level; keep what was found
	}
	for i := 0; i < n && math.IsNaN(z[i]); i++ {
		z[i] = z[n-1]
	}
	s.found = season(z, 2, s.found)
}

// What a season must show in the autocorrelation of the detrended values: a peak this high, this much above the deepest
// valley before it, and again after two turns, this much lower at most. A season that was found before is kept down to the
// lower peak.
const (
	peakLeast  = 0.4
	peakKept   = 0.25
	peakAbove  = 0.4
	peakFading = 0.25
)

// season returns the length of the strongest season in z, of at least `from`, or 0. As in Vlachos, Yu & Castelli 2005, "On
// periodicity detection and structural similarity" (section 3), a season has to stand on a hill of the autocorrelation; the hills
// are found there alone, since a periodogram of some turns resolves long seasons poorly. Where several hills are about as high the
// first one is the season, and the others are its multiples.
func season(z []float64, from, before int) int {
	n := len(z)
	r := autocorrelation(detrended(z))
	if r == nil {
		return 0
	}
	best, height := 0, 0.0
	valley := 1.0
	for lag := 2; lag < n/3; lag++ {
		valley = min(valley, r[lag-1])
		if lag < from || r[lag] < r[lag-1] || r[lag] < r[lag+1] || r[lag]-valley < peakAbove {
			continue
		}
		least := peakLeast
		if lag == before {
			least = peakKept
		}
		if r[lag] < least || r[2*lag] < r[lag]-peakFading {
			continue
		}
		if best == 0 || r[lag] > height+0.1 {
			best, height = lag, r[lag]
		}
	}
	return refined(r, summit(r, best))
}

// summit returns the highest lag of the hill whose side the given one may be: noise makes a broad hill's sides uneven.
func summit(r []float64, lag int) int {
	best := lag
	for l := lag; l <= lag+lag/8 && l < len(r)/2; l++ {
		if r[l] > r[best] {
			best = l
		}
	}
	return best
}

// refined returns the lag again, read off the peaks at its multiples, where an error of one step shows many times over.
func refined(r []float64, lag int) int {
	exact := float64(lag)
	for turns := 2; lag > 0; turns++ {
		middle := int(math.Round(exact * float64(turns)))
		if middle+1 >= len(r)/2 {
			break
		}
		peak := middle
		for l := middle - 1; l <= middle+1; l++ {
			if r[l] > r[peak] {
				peak = l
			}
		}
		exact = float64(peak) / float64(turns)
	}
	return int(math.Round(exact))
}

// detrended takes off the least-squares line, in place.
func detrended(z []float64) []float64 {
	n := float64(len(z))
	mean, slope, spread := 0.0, 0.0, 0.0
	for _, v := range z {
		mean += v / n
	}
	for i, v := range z {
		t := float64(i) - (n-1)/2
		slope += t * (v - mean)
		spread += t * t
	}
	slope /= spread
	for i := range z {
		z[i] -= mean + slope*(float64(i)-(n-1)/2)
	}
	return z
}

// autocorrelation returns z's, by lag, each sum divided by how many products it has; nil where z does not vary.
func autocorrelation(z []float64) []float64 {
	size := 1
	for size < 2*len(z) {
		size *= 2
	}
	padded := make([]float64, size)
	copy(padded, z)
	fft := fourier.NewFFT(size)
	c := fft.Coefficients(nil, padded)
	for i, v := range c {
		c[i] = complex(real(v)*real(v)+imag(v)*imag(v), 0)
	}
	sums := fft.Sequence(padded, c)
	if !(sums[0] > 1e-9*float64(size)) {
		return nil
	}
	r := make([]float64, len(z))
	for lag := range r {
		r[lag] = sums[lag] / sums[0] * float64(len(z)) / float64(len(z)-lag)
	}
	return r
}
