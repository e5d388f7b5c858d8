package sim

import (
	"math"
	"testing"
)

func constant(t testing.TB, rate float64, hours float64) *Trace {
	t.Helper()
	rates := make([]float64, int(hours*60))
	for i := range rates {
		rates[i] = rate
	}
	trace, err := NewTrace("constant", 60, rates)
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

func run(t testing.TB, s Scenario, p Policy) Result {
	t.Helper()
	r, err := Run(s, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(got, want, tolerance float64) bool {
	return math.Abs(got-want) <= tolerance*math.Max(math.Abs(want), 1e-9)
}

func TestCostOfAFixedCount(t *testing.T) {
	s := DefaultScenario(constant(t, 800, 2))
	s.CapacityNoise = 0
	r := run(t, s, Fixed(16))
	// Mean need 8, so the bound is 8 replicas for two hours; 16 are paid for but for the first tick's 8.
	if want := 8.0 * 7200; !near(r.LowerBound, want, 1e-9) {
		t.Errorf("lower bound: got %v, want %v", r.LowerBound, want)
	}
	if want := 16.0*7200 - 8*15; !near(r.ReplicaSeconds, want, 1e-9) {
		t.Errorf("replica seconds: got %v, want %v", r.ReplicaSeconds, want)
	}
	if r.LateRatio != 0 || !near(r.Records, 800*7200, 1e-6) {
		t.Errorf("late %v of %v records, want none of %v", r.LateRatio, r.Records, 800*7200)
	}
}

func TestOverloadWaitsGrowLinearly(t *testing.T) {
	// 4 replicas for the work of 8: after t seconds of arrivals the backlog is t/2 seconds of arrivals, which takes t to serve;
	// a record that arrives at t waits t. So those that arrive after 30 s are late: all but what was consumed in the first 60 s.
	s := DefaultScenario(constant(t, 800, 1))
	s.CapacityNoise, s.Initial = 0, 4
	r := run(t, s, Fixed(4))
	if want := 1 - 60.0/3600; !near(r.LateRatio, want, 0.01) {
		t.Errorf("late: got %v, want %v", r.LateRatio, want)
	}
	if want := 3600 * 800 / 2.0; !near(r.EndsWithLag, want, 0.01) {
		t.Errorf("lag at the end: got %v, want %v", r.EndsWithLag, want)
	}
	if want := 1800.0 / 2 * 2; r.MaxLag < 0.95*want || r.MaxLag > 1.05*want {
		t.Errorf("oldest record at the end: got %v s, want %v", r.MaxLag, want)
	}
}

func TestSlowestConsumerSetsThePace(t *testing.T) {
	// With 48 partitions 20 consumers do the work of 16: 17 replicas' worth of arrivals never catches up.
	trace := constant(t, 1700, 1)
	for _, tt := range []struct {
		replicas int
		late     bool
	}{{16, true}, {20, true}, {23, true}, {24, false}} {
		s := DefaultScenario(trace)
		s.Capacity, s.CapacityNoise, s.Initial = 100, 0, tt.replicas
		if r := run(t, s, Fixed(tt.replicas)); (r.LateRatio > 0.1) != tt.late {
			t.Errorf("%d replicas: late %v, want late: %v", tt.replicas, r.LateRatio, tt.late)
		}
	}
}

func TestAssignors(t *testing.T) {
	for _, a := range []Assignor{Range, RoundRobin, Sticky, Cooperative} {
		owner := make([]int, 48)
		for p := range owner {
			owner[p] = -1
		}
		for _, members := range [][]int{{1}, {1, 2, 3}, {1, 2, 3, 4, 5, 6, 7}, {2, 3, 7}, {2, 3, 7, 8}} {
			moved := a.assign(owner, members)
			counts := map[int]int{}
			for _, m := range owner {
				counts[m]++
			}
			for _, m := range members {
				if n := counts[m]; n < 48/len(members) || n > (48+len(members)-1)/len(members) {
					t.Errorf("%s: %v: member %d has %d partitions", a, members, m, n)
				}
			}
			if len(counts) != len(members) {
				t.Errorf("%s: %v: owners %v", a, members, counts)
			}
			// From three members to four, sticky moves no more than the newcomer's share.
			if len(members) == 4 && (a == Sticky || a == Cooperative) && moved != 12 {
				t.Errorf("%s: moved %d partitions for a fourth member, want 12", a, moved)
			}
		}
	}
}

func TestSameSeedSameResult(t *testing.T) {
	s := DefaultScenario(constant(t, 800, 5))
	a, b := run(t, s, NewHPARate(&s, 0.7)), run(t, s, NewHPARate(&s, 0.7))
	if a.ReplicaSeconds != b.ReplicaSeconds || a.LateRatio != b.LateRatio {
		t.Errorf("got %+v and %+v", a, b)
	}
}
