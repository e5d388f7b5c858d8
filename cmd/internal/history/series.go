package history

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Series is one regularly sampled series. Rows may be missing between its rows; a value may be NaN for a gap. A value is the
// amount, not the rate, in the step that begins at its time.
type Series struct {
	Name   string
	Column string
	Step   time.Duration
	// Dated reports whether times were calendar times; else they are seconds since some start.
	Dated  bool
	Times  []time.Time
	Values []float64

	lines []int // of each row in the file, for messages
}

// maxSlots bounds a Series with its gaps filled in, so that a slip in a unit does not ask for gigabytes.
const maxSlots = 5e7

// Filled returns the values step by step from the first row's time on, NaN where a row is missing.
func (s *Series) Filled() ([]float64, error) {
	at := make([]int, len(s.Times))
	for i := 1; i < len(at); i++ {
		at[i] = at[i-1] + int(math.Round(float64(s.Times[i].Sub(s.Times[i-1]))/float64(s.Step)))
	}
	n := at[len(at)-1] + 1
	if n > maxSlots {
		return nil, fmt.Errorf("%s: %d steps of %v: too many; give a longer step", s.Name, n, s.Step)
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	for i, v := range s.Values {
		out[at[i]] = v
	}
	return out, nil
}

// findStep sets the step to the one given or, where that is 0, to the commonest of about the shortest distance between rows,
// and checks that all distances are multiples of it.
func (s *Series) findStep(step time.Duration) error {
	nearest := s.Times[1].Sub(s.Times[0])
	for i := 2; i < len(s.Times); i++ {
		nearest = min(nearest, s.Times[i].Sub(s.Times[i-1]))
	}
	if step == 0 {
		step = nearest
		// Times that jitter have a shortest distance that is too short: take the mean of those near it.
		var sum time.Duration
		n := 0
		for i := 1; i < len(s.Times); i++ {
			if d := s.Times[i].Sub(s.Times[i-1]); d-step <= 2*step/stepTolerance {
				sum += d
				n++
			}
		}
		if mean := sum / time.Duration(n); mean != step {
			unit := time.Duration(1)
			for unit*10*stepTolerance <= step/10 {
				unit *= 10
			}
			step = mean.Round(unit)
		}
	}
	if s.Step = step; nearest >= 2*step-step/stepTolerance {
		return fmt.Errorf("%s: rows are %v apart at least, and the step is said to be %v; want --step %v, or without it", s.Name, nearest, step, nearest)
	}
	for i := 1; i < len(s.Times); i++ {
		distance := s.Times[i].Sub(s.Times[i-1])
		if off := distance % step; min(off, step-off) > step/stepTolerance || distance < step/2 {
			return fmt.Errorf("%s: line %d (row %d): %v after the row before; want a multiple of the step of %v (--step)", s.Name, s.lines[i], i, distance, step)
		}
	}
	return nil
}

// stepTolerance is what share of a step, one in so many, a row may lie beside the grid that the row before it spans.
const stepTolerance = 50

// FormatTime writes a time in the file's own kind.
func (s *Series) FormatTime(at time.Time) string {
	if s.Dated {
		return at.UTC().Format(time.RFC3339Nano)
	}
	return strconv.FormatFloat(float64(at.Unix())+float64(at.Nanosecond())/1e9, 'f', -1, 64)
}
