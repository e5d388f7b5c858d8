package seasonal_test

import (
	"math"
	"testing"

	"github.com/prescale/prescale/forecaster/seasonal"
	"github.com/prescale/prescale/forecaster/signal"
)

// TestSeasonsGoOnBeyondWhatIsRemembered: steps of six hours whose days, or weeks, are all alike are foreseen for two weeks, of which
// the second comes after all that is remembered.
func TestSeasonsGoOnBeyondWhatIsRemembered(t *testing.T) {
	const day, week, reach = 4, 28, 56
	for _, tt := range []struct {
		name   string
		expert interface {
			Points(s *signal.Signal, dst []float64)
		}
		season int
	}{
		{"day", seasonal.Day{}, day},
		{"week", seasonal.Week{}, week},
	} {
		s, dst := signal.New(day, week, reach), make([]float64, reach)
		value := func(step int) float64 { return 10 + float64(step%tt.season) }
		steps := 3*week + 1
		for i := range steps {
			s.Push(value(i))
		}
		tt.expert.Points(s, dst)
		for k, got := range dst {
			if want := value(steps + k); math.Abs(got-want) > 0.01*want {
				t.Errorf("%s, step %d: %.2f, want %.2f", tt.name, k+1, got, want)
			}
		}
	}
}

// TestTheDayIsOneLikeToday: a calm day follows a busy one, and is foreseen as the calm days before it were, not as yesterday.
func TestTheDayIsOneLikeToday(t *testing.T) {
	const day, reach = 24, 6
	s, dst := signal.New(day, 7*day, reach), make([]float64, reach)
	value := func(d, i int) float64 {
		if busy := d%2 == 1; busy {
			return 40 + float64(i)
		}
		return 10 + float64(i)
	}
	for step := range 4*day + day/2 {
		s.Push(value(step/day, step%day))
	}
	seasonal.Day{}.Points(s, dst)
	for k, got := range dst {
		if want := value(4, day/2+k); math.Abs(got-want) > 0.5 {
			t.Errorf("step %d: %.2f, want %.2f", k+1, got, want)
		}
	}
}
