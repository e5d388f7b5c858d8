package signal

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestADayLikeTodayIsFollowed: busy days and calm ones come in no order that a week or yesterday would tell. Three hours after
// midnight, while a busy day is five times a calm one, what is left of the day is foreseen by days of its kind.
func TestADayLikeTodayIsFollowed(t *testing.T) {
	const day, reach = 96, 8
	random := rand.New(rand.NewPCG(1, 2))
	s := New(day, 7*day, reach)
	value := func(kind, i int) float64 {
		m := 40 + 30*math.Sin(2*math.Pi*float64(i)/day)
		if kind == 1 {
			m *= 5
		}
		return Forward(m)
	}
	kinds := []int{0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 1, 1, 1, 0, 1, 0}
	for d, kind := range kinds {
		for i := range day {
			s.Push(value(kind, i) + 0.1*random.NormFloat64())
			if d < 2 || i < 12 || i+reach >= day {
				continue
			}
			for k := range reach + 1 {
				if got, want := s.Alike(k), value(kind, i+k); !(math.Abs(got-want) < 0.5) {
					t.Fatalf("day %d, step %d, %d ahead: %.2f, want %.2f", d, i, k, got, want)
				}
			}
		}
	}
}

// TestAQuietNightTellsOfNoDay: busy days and calm ones end in nights that are all the same. What such a night leaves of how the days
// before it differed is nothing to go by, so that in the morning each of the seven counts as much.
func TestAQuietNightTellsOfNoDay(t *testing.T) {
	const day, dawn, reach = 288, 200, 8
	random := rand.New(rand.NewPCG(5, 6))
	s := New(day, 7*day, reach)
	kinds := []int{0, 1, 1, 0, 1, 0, 0, 1}
	want, last := 0.0, kinds[len(kinds)-7:]
	for _, kind := range last {
		want += (10 + 20*float64(kind)) / float64(len(last))
	}
	for _, kind := range kinds {
		for i := range day {
			if i < dawn {
				s.Push(1)
			} else {
				s.Push(10 + 20*float64(kind) + 0.1*random.NormFloat64())
			}
		}
	}
	for range dawn {
		s.Push(1)
	}
	if got := s.Alike(reach); math.Abs(got-want) > 0.5 {
		t.Errorf("after the night the days say %.2f of the morning, want their mean, %.2f", got, want)
	}
}

// TestWhatADaySaidIsPast: what the days say is read in one go, and is what Past says one by one, also in gaps and where several steps
// share a bucket.
func TestWhatADaySaidIsPast(t *testing.T) {
	for _, day := range []int{24, 1440, 8640, 2000} {
		random := rand.New(rand.NewPCG(3, 4))
		s := New(day, 7*day, 9)
		for range 3*day + 17 {
			if random.IntN(10) == 0 {
				s.Push(math.NaN())
			} else {
				s.Push(10 + random.NormFloat64())
			}
			ago := random.IntN(s.Steps())
			s.read(ago)
			for k, got := range s.then {
				if want := s.Past(ago - k); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
					t.Fatalf("day of %d, step %d: %d steps ago %v, want %v", day, s.Steps(), ago-k, got, want)
				}
			}
		}
	}
}

// TestNoDayIsKnown: before a second day, and where there is none, nothing is said.
func TestNoDayIsKnown(t *testing.T) {
	for _, day := range []int{0, 24} {
		s := New(day, 7*day, 4)
		for i := range 24 {
			if got := s.Alike(0); !math.IsNaN(got) {
				t.Fatalf("day of %d, step %d: %v", day, i, got)
			}
			s.Push(5)
		}
	}
}
