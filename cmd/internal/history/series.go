package history

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Series is one regularly sampled series. Rows may be missing between its rows; a value may be NaN for a gap. A value is the
// amount, not the rate, in the step that begins at its time.
type Series struct {
	Name   string
	Column string
	// Others is how many more columns of a file might have been meant, where nobody named one.
	Others int
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

// findStep sets the step to the one given or, where that is 0, to the one that the rows up to o.StepRow tell, and checks that all
// distances are multiples of it.
func (s *Series) findStep(o Options) error {
	seen := len(s.Times) - 1
	if o.StepRow > 0 {
		seen = min(seen, o.StepRow)
	}
	nearest := s.distance(1)
	for i := 2; i <= seen; i++ {
		nearest = min(nearest, s.distance(i))
	}
	want := fmt.Sprintf("the step of %v (--step)", o.Step)
	if s.Step = o.Step; s.Step == 0 {
		n := 0
		if s.Step, n = s.meanNear(nearest, seen); 2*n <= seen {
			return s.mixedSteps(nearest, seen, o.remedy())
		}
		want = fmt.Sprintf("%v, as %d of the %d distances up to row %d are; or %s", s.Step, n, seen, seen, o.remedy())
	} else if nearest >= 2*s.Step-s.Step/stepTolerance && (o.StepRow == 0 || seen >= 10) { // fewer may all be gaps
		return fmt.Errorf("%s: rows are %v apart at least, and the step is said to be %v; want --step %v, or without it", s.Name,
			nearest, s.Step, nearest)
	}
	for i := 1; i < len(s.Times); i++ {
		distance := s.distance(i)
		if off := distance % s.Step; min(off, s.Step-off) > s.Step/stepTolerance || distance < s.Step/2 {
			return fmt.Errorf("%s: line %d (row %d): %v after the row before; want a multiple of %s", s.Name, s.lines[i], i, distance, want)
		}
	}
	return nil
}

// distance is how long a row comes after the one before it.
func (s *Series) distance(row int) time.Duration { return s.Times[row].Sub(s.Times[row-1]) }

// near reports whether a distance is the nearest but for the jitter that two rows may have.
func near(distance, nearest time.Duration) bool { return distance-nearest <= 2*nearest/stepTolerance }

// meanNear returns the mean of the distances up to a row that are near the nearest, which is too short where times jitter, and how
// many they are.
func (s *Series) meanNear(nearest time.Duration, row int) (step time.Duration, n int) {
	var sum time.Duration
	for i := 1; i <= row; i++ {
		if d := s.distance(i); near(d, nearest) {
			sum += d - nearest
			n++
		}
	}
	if sum == 0 {
		return nearest, n
	}
	unit := time.Duration(1)
	for unit*10*stepTolerance <= nearest/10 {
		unit *= 10
	}
	return (nearest + sum/time.Duration(n)).Round(unit), n
}

// mixedSteps tells of rows of which at most half are the nearest distance apart. It names the first one that is not as the first is.
func (s *Series) mixedSteps(nearest time.Duration, row int, remedy string) error {
	counts := map[time.Duration]int{}
	odd := 0
	for i := 1; i <= row; i++ {
		counts[s.distance(i)]++
		if odd == 0 && near(s.distance(i), nearest) != near(s.distance(1), nearest) {
			odd = i
		}
	}
	distances := slices.SortedFunc(maps.Keys(counts), func(a, b time.Duration) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var told []string
	for _, d := range distances[:min(3, len(distances))] {
		told = append(told, fmt.Sprintf("%d× %v", counts[d], d))
	}
	if others := len(distances) - len(told); others > 0 {
		told = append(told, fmt.Sprintf("%d others", others))
	}
	return fmt.Errorf("%s: line %d (row %d): %v after the row before, and that one %v after its own: mixed steps (of %d distances %s); "+
		"want most rows one step apart, or %s",
		s.Name, s.lines[odd], odd, s.distance(odd), s.distance(odd-1), row, strings.Join(told, ", "), remedy)
}

func (o Options) remedy() string { return cmp.Or(o.StepRemedy, "say what the step is (--step)") }

// stepTolerance is what share of a step, one in so many, a row may lie beside the grid that the row before it spans.
const stepTolerance = 50

// FormatTime writes a time in the file's own kind.
func (s *Series) FormatTime(at time.Time) string {
	if s.Dated {
		return at.UTC().Format(time.RFC3339Nano)
	}
	return strconv.FormatFloat(float64(at.Unix())+float64(at.Nanosecond())/1e9, 'f', -1, 64)
}
