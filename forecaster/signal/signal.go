// Package signal keeps what every expert looks at: the latest values of one series on a square-root scale, running
// means of several spans, the same hours of past days and weeks, how like today each of those days is, and the typical day.
//
// It takes one value, or a gap, per step. Its main type is Signal. It forecasts nothing itself.
package signal

import (
	"math"

	"github.com/prescale/prescale/forecaster/checkpoint"
)

// offset is added before the square root: Anscombe's 3/8, which makes the variance of a Poisson count nearly constant
// (Anscombe 1948, "The transformation of Poisson, binomial and negative-binomial data", Biometrika 35).
const offset = 0.375

// Forward takes a value to the square-root scale.
func Forward(y float64) float64 { return math.Sqrt(max(0, y) + offset) }

// zero is a hair over Forward(0), so that no rounding makes a value from there on negative.
const zero = 0.6123725

// Backward takes it back; the result is never negative.
func Backward[T float32 | float64](z T) T {
	if z < zero {
		return 0
	}
	return z*z - offset
}

// maxBuckets is the finest division of a day that is remembered: one minute. Finer steps are averaged into it, which
// loses little, since one sample a day ago says less than the minute around it, and bounds the memory of a series.
const maxBuckets = 1440

// maxRing is how many buckets the longest season is remembered in, a week of minutes, unless that left a stated short season with
// less than 24 of them.
const maxRing = 7 * maxBuckets

const lags = 64 // power of two; the longest lag kept at full resolution

// scaleGain makes the scale a slow one, a memory of a thousand steps: the square root has evened the noise out already, and
// a scale that follows every burst and outage forecasts worse than one that hardly moves.
const scaleGain = 0.001

// quickGain makes the quick scale one of now, a memory of ten steps, and quickFloor keeps it from a calm that means nothing, as a share
// of the slow one. Both were chosen on parts of traces that the benchmark does not score and on traces that it leaves out.
const (
	quickGain  = 0.1
	quickFloor = 0.05
)

// Mean is a span of a running mean, in steps.
type Mean int

// The running means, by their span in steps: alpha = 2/(span+1).
const (
	Mean5 Mean = iota
	Mean15
	Mean60
	Mean200
	means
)

var alphas = [means]float64{2.0 / 6, 2.0 / 16, 2.0 / 61, 2.0 / 201}

// Signal is the memory of one series. Make it with New.
type Signal struct {
	day, week int // steps in a day and a week; 0 for none
	bucket    int // steps averaged into one element of ring
	reach     int // steps beyond now that a forecast may ask for

	steps int // steps taken, gaps included
	known int // values taken
	gap   int // gaps since the last value

	z     float64 // the latest value, carried over gaps
	lag   [lags]float64
	mean  [means]float64
	scale float64 // running mean of |z - z before|
	quick float64 // the same with a short memory
	peak  float64 // decayed maximum of z

	ring      []uint16 // bucket means of the last week and a bit, packed
	sum       float64
	count     int
	profile   []uint16 // typical day by bucket, packed; 0 for never seen
	lastSlotS float64  // profile at the last value, to carry levels over a gap

	recent  []uint16 // the latest steps, packed; nil where no season is looked for
	found   int      // length of the season that was found, 0 for none
	checkAt int      // steps at which the next look is due
	long    int      // length of the long season that was found, 0 for none
	longAt  int      // steps at which the next look for one is due

	shape []float64 // profile at now, now+1, … now+reach, smoothed; derived

	apart  []float64 // mean square difference from each of the latest days, the last first; NaN where it was not compared yet
	alike  []float64 // what they say of now, now+1, … now+reach; derived
	weight []float64 // scratch: the sum of their weights
	then   []float64 // scratch: what one of them says
}

// New makes an empty Signal. day and week are season lengths in steps, 0 for none; reach is the longest horizon in steps.
func New(day, week, reach int) *Signal {
	s := &Signal{day: day, week: week, reach: reach, bucket: 1, shape: make([]float64, reach+1)}
	if day > maxBuckets {
		s.bucket = (day + maxBuckets - 1) / maxBuckets
	}
	longest := max(day, week)
	if coarse := (longest + maxRing - 1) / maxRing; coarse > s.bucket {
		s.bucket = max(1, min(coarse, day/24))
	}
	if day > 0 {
		s.profile = make([]uint16, (day+s.bucket-1)/s.bucket)
		s.apart = make([]float64, min(alikeDays, longest/day))
		for i := range s.apart {
			s.apart[i] = math.NaN()
		}
		s.alike, s.weight, s.then = make([]float64, reach+1), make([]float64, reach+1), make([]float64, reach+1)
	}
	if longest > 0 {
		s.ring = make([]uint16, (longest+reach)/s.bucket+4)
	}
	return s
}

// Day returns the shorter season in steps, 0 for none.
func (s *Signal) Day() int { return s.day }

// Week returns the longer season in steps, 0 for none.
func (s *Signal) Week() int { return s.week }

// Known returns how many values were taken, gaps excluded.
func (s *Signal) Known() int { return s.known }

// Steps returns how many steps were taken, gaps included.
func (s *Signal) Steps() int { return s.steps }

// Gap returns how many steps have passed since the last value.
func (s *Signal) Gap() int { return s.gap }

// Now returns the latest value, carried over gaps.
func (s *Signal) Now() float64 { return s.z }

// Lag returns the value i steps ago, carried over gaps; i is under 64.
func (s *Signal) Lag(i int) float64 { return s.lag[(s.steps-1-i)&(lags-1)] }

// Mean returns a running mean.
func (s *Signal) Mean(m Mean) float64 { return s.mean[m] }

// Scale returns the running mean of absolute changes, never 0.
func (s *Signal) Scale() float64 { return s.scale }

// Quick returns what Scale does, with a memory of ten steps rather than a thousand: the noise of now, never 0.
func (s *Signal) Quick() float64 { return s.quick }

// Peak returns a maximum that fades with a half-life of some thousand steps, and is no less than what the seasons say of the steps within
// reach: a night may have more steps than that, and the morning after it is as high as the one before.
func (s *Signal) Peak() float64 {
	peak := s.peak
	for k := 1; k <= s.reach; k++ {
		for _, v := range [...]float64{s.Alike(k), s.WeekBefore(k), s.Turn(k)} {
			if v > peak { // which NaN is not
				peak = v
			}
		}
	}
	return peak
}

// WeekBefore returns the value one week before the step k ahead of now (k is at least 1), in the latest week where that is still to come,
// or NaN where it is not known.
func (s *Signal) WeekBefore(k int) float64 {
	if s.week == 0 {
		return math.NaN()
	}
	return s.Past(s.week - 1 - (k-1)%s.week)
}

// Push takes the next step: a value on the square-root scale, or NaN for a gap.
func (s *Signal) Push(z float64) {
	missing := math.IsNaN(z)
	if !missing {
		if s.known == 0 {
			s.z, s.peak = z, z
			for i := range s.mean {
				s.mean[i] = z
			}
			for i := range s.lag {
				s.lag[i] = z
			}
			s.scale = 0.25 * math.Sqrt(z)
			s.quick = s.scale
		}
		s.reopen()
		change := math.Abs(z - s.z)
		if s.known > 0 {
			rate := max(scaleGain, 1/float64(s.known+1))
			s.scale = max(s.scale+rate*(change-s.scale), 1e-4*(1e-3+s.peak))
			rate = max(quickGain, 1/float64(s.known+1))
			s.quick = max(s.quick+rate*(change-s.quick), quickFloor*s.scale)
		}
		s.known++
		s.gap = 0
		s.z = z
		s.peak = max(z, s.peak*0.9998)
		for i := range s.mean {
			a := max(alphas[i], 1/float64(s.known))
			s.mean[i] += a * (z - s.mean[i])
		}
	} else {
		s.gap++
	}
	s.lag[s.steps&(lags-1)] = s.z
	s.remember(z, missing)
	if s.recent != nil {
		s.recent[s.steps&(recentSteps-1)] = pack(z)
	}
	s.steps++
	s.look()
	if s.bucketEnds() {
		s.close()
	}
	s.lookLong()
	s.smooth()
	s.compare()
}

// Skip takes n gaps, as so many Pushes of NaN would, but does work only for what is remembered: however long a silence was,
// the day and the week go on from where the clock is. The next call must be a Push.
func (s *Signal) Skip(n int) {
	if further := n - max(len(s.ring)*s.bucket, recentSteps, lags); further > 0 {
		s.sum, s.count = 0, 0 // of the bucket that is left behind
		s.steps += further
		s.gap += further
		n -= further
	}
	for range n {
		s.gap++
		s.lag[s.steps&(lags-1)] = s.z
		if s.recent != nil {
			s.recent[s.steps&(recentSteps-1)] = 0
		}
		s.steps++
		if s.bucketEnds() {
			s.close()
		}
	}
}

// Visit visits the state for a checkpoint.
func (s *Signal) Visit(c *checkpoint.Codec) {
	c.Same("day", s.day)
	c.Same("week", s.week)
	c.Same("reach", s.reach)
	c.Int(&s.steps)
	c.Int(&s.known)
	c.Int(&s.gap)
	c.Float64(&s.z)
	c.Float64s("lag", s.lag[:])
	c.Float64s("mean", s.mean[:])
	c.Float64(&s.scale)
	c.Float64(&s.quick)
	c.Float64(&s.peak)
	c.Uint16s("ring", s.ring)
	c.Float64(&s.sum)
	c.Int(&s.count)
	c.Uint16s("profile", s.profile)
	c.Float64(&s.lastSlotS)
	c.Float64s("shape", s.shape)
	c.Float64s("days apart", s.apart)
	c.Uint16s("recent", s.recent)
	c.Int(&s.found)
	c.Int(&s.checkAt)
	c.Int(&s.long)
	c.Int(&s.longAt)
}
