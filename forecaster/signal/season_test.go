package signal

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestSeasonIsFoundWhereThereIsOneAndNotElsewhere(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	walk, short := 50.0, 0.0
	for _, tt := range []struct {
		name  string
		value func(i int) float64
		want  int
	}{
		{"wave of 120", func(i int) float64 {
			return 100 + 40*math.Sin(2*math.Pi*float64(i)/120) + 10*random.NormFloat64()
		}, 120},
		{"wave of 48 on a rising level", func(i int) float64 {
			return 100 + 0.2*float64(i) + 40*math.Sin(2*math.Pi*float64(i)/48) + 10*random.NormFloat64()
		}, 48},
		{"a pulse every 60", func(i int) float64 {
			if i%60 < 3 {
				return 400 + 20*random.NormFloat64()
			}
			return 20 + 3*random.NormFloat64()
		}, 60},
		{"a wave and its double", func(i int) float64 {
			return 100 + 40*math.Sin(2*math.Pi*float64(i)/200) + 25*math.Sin(2*math.Pi*float64(i)/100) + 5*random.NormFloat64()
		}, 200},
		{"noise", func(int) float64 { return 100 + 10*random.NormFloat64() }, 0},
		{"random walk", func(int) float64 { walk = max(1, walk+random.NormFloat64()); return walk }, 0},
		{"level that wanders", func(int) float64 { short = 0.95*short + random.NormFloat64(); return 100 + 5*short }, 0},
		{"constant", func(int) float64 { return 40 }, 0},
		{"zeros", func(int) float64 { return 0 }, 0},
		{"gaps", func(int) float64 { return math.NaN() }, 0},
		{"bursts that come by chance", func(int) float64 {
			if random.IntN(100) == 0 {
				return 1000
			}
			return 10
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := New(5760, 0, 4)
			s.Seek()
			for i := range 3000 {
				if v := tt.value(i); math.IsNaN(v) {
					s.Push(v)
				} else {
					s.Push(Forward(v))
				}
				if tt.want == 0 && s.foundSteps() != 0 {
					t.Fatalf("after %d steps a season of %d was found", i+1, s.foundSteps())
				}
			}
			if got := s.foundSteps(); got != tt.want {
				t.Errorf("found %d, want %d", got, tt.want)
			}
		})
	}
}

func TestSeasonThatEndsIsForgotten(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	s := New(0, 0, 4)
	s.Seek()
	for i := range 6000 {
		v := 100 + 10*random.NormFloat64()
		if i < 2500 {
			v += 40 * math.Sin(2*math.Pi*float64(i)/120)
		}
		s.Push(Forward(v))
		if i == 2499 && s.foundSteps() == 0 {
			t.Fatal("no season was found while there was one")
		}
	}
	if s.foundSteps() != 0 {
		t.Errorf("3500 steps after it ended a season of %d is still there", s.foundSteps())
	}
}

func TestTurnIsTheSamePhase(t *testing.T) {
	s := New(0, 0, 12)
	s.Seek()
	for i := range 500 {
		s.Push(float64(1 + i%20))
	}
	if s.foundSteps() != 20 {
		t.Fatalf("found %d, want 20", s.foundSteps())
	}
	for k := range 60 { // the latest step is 499, of phase 19
		if got, want := s.Turn(k), float64(1+(499+k)%20); got != want {
			t.Errorf("%d steps ahead: %v, want %v", k, got, want)
		}
	}
}

// TestSkipIsManyGaps: after it every question is answered as after as many gaps one by one, across buckets and further back than
// anything is kept.
func TestSkipIsManyGaps(t *testing.T) {
	for _, n := range []int{1, 3, 50, 700, 5000, 80_000} {
		random := rand.New(rand.NewPCG(1, 2))
		one, many := New(2880, 7*2880, 6), New(2880, 7*2880, 6)
		one.Seek()
		many.Seek()
		for i := range 6001 {
			z := Forward(100 + 50*math.Sin(2*math.Pi*float64(i)/2880) + random.NormFloat64())
			one.Push(z)
			many.Push(z)
		}
		one.Skip(n)
		for range n {
			many.Push(math.NaN())
		}
		for range 10 {
			z := Forward(100 + random.NormFloat64())
			one.Push(z)
			many.Push(z)
		}
		same := func(name string, a, b float64) {
			t.Helper()
			if a != b && !(math.IsNaN(a) && math.IsNaN(b)) && math.Abs(a-b) > 0.05 { // a bucket cut by a long gap may be let go
				t.Errorf("%d gaps: %s is %v, one by one %v", n, name, a, b)
			}
		}
		same("steps", float64(one.Steps()), float64(many.Steps()))
		same("now", one.Now(), many.Now())
		same("mean", one.Mean(Mean60), many.Mean(Mean60))
		for k := range 7 {
			a, _ := one.Shape(k)
			b, _ := many.Shape(k)
			same("shape", a, b)
		}
		for ago := range 7*2880 + 6 {
			same("past", one.Past(ago), many.Past(ago))
		}
		for ago := range lags {
			same("lag", one.Lag(ago), many.Lag(ago))
		}
	}
}

// TestLongSeasonIsFoundWhereThereIsOneAndNotElsewhere: of minutes, over two weeks. What is found is within a fiftieth, where it is
// as sharp as a pulse within a step.
func TestLongSeasonIsFoundWhereThereIsOneAndNotElsewhere(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const day = 1440
	wave := func(i, season int) float64 { return 60 * math.Sin(2*math.Pi*float64(i)/float64(season)) }
	walk, burst := 50.0, 0.0
	for _, tt := range []struct {
		name      string
		value     func(i int) float64
		want, off int
	}{
		{"36 hours", func(i int) float64 { return 100 + wave(i, 2160) + 20*random.NormFloat64() }, 2160, 43},
		{"a pulse every 13 hours over a day, to which two turns are nearer", func(i int) float64 {
			v := 100 + wave(i, day)/2 + 7*random.NormFloat64()
			if i%780 < 30 {
				v += 200
			}
			return v
		}, 1560, 2},
		{"50 hours, on and off", func(i int) float64 {
			if i%3000 < 1000 {
				return 150 + 20*random.NormFloat64()
			}
			return 50 + 20*random.NormFloat64()
		}, 3000, 10},
		{"a day, which is known", func(i int) float64 { return 100 + wave(i, day) + 40*random.NormFloat64() }, 0, 0},
		{"a week, which is known", func(i int) float64 { return 100 + wave(i, 7*day) + 20*random.NormFloat64() }, 0, 0},
		{"noise", func(int) float64 { return 100 + 10*random.NormFloat64() }, 0, 0},
		{"random walk", func(int) float64 { walk = max(1, walk+random.NormFloat64()); return walk }, 0, 0},
		{"bursts that decay", func(int) float64 {
			burst *= 0.98
			if random.IntN(300) == 0 {
				burst += 500 * random.ExpFloat64()
			}
			return 20 + burst + 3*random.NormFloat64()
		}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := New(day, 7*day, 4)
			s.Seek()
			for i := range 14 * day {
				s.Push(Forward(tt.value(i)))
				if tt.want == 0 && s.Long() != 0 {
					t.Fatalf("after %d steps a season of %d was found", i+1, s.Long())
				}
			}
			if got := s.Long(); got < tt.want-tt.off || got > tt.want+tt.off {
				t.Errorf("found %d, want %d", got, tt.want)
			}
			if tt.want == 0 {
				return
			}
			for k := range 5 { // the latest step is 14*day-1
				if got, want := s.Turn(k), s.Past(s.Long()-k); got != want {
					t.Errorf("%d steps ahead: %v, a season before it %v", k, got, want)
				}
			}
		})
	}
}

// foundSteps returns the length in steps of the season that was found, or 0 for none: one of at most 682 steps before a longer one.
func (s *Signal) foundSteps() int {
	if s.found == 0 {
		return s.long
	}
	return s.found
}
