package sim

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
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

// TestWhatWaitsAtTheEndIsLate: a rule that serves nothing keeps no promise. Of the records of the last 30 s nobody knows.
func TestWhatWaitsAtTheEndIsLate(t *testing.T) {
	s := DefaultScenario(constant(t, 800, 1))
	s.Min, s.Initial = 0, 0
	r := run(t, s, Fixed(0))
	if want := 800.0 * (3600 - 30); r.LateRatio != 1 || !near(r.Records, want, 1e-6) {
		t.Errorf("late: got %v of %v records, want all of %v", r.LateRatio, r.Records, want)
	}
	if r.WaitP50 < 1700 || r.WaitP50 > 2200 {
		t.Errorf("median wait: got %v s, want about 1815, that of those that came halfway", r.WaitP50)
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
	for _, a := range []Assignor{Range, RoundRobin, Sticky, Cooperative, Proportional} {
		owner := make([]int, 48)
		for p := range owner {
			owner[p] = -1
		}
		for _, members := range [][]int{{1}, {1, 2, 3}, {1, 2, 3, 4, 5, 6, 7}, {2, 3, 7}, {2, 3, 7, 8}} {
			var all []member
			for _, id := range members {
				all = append(all, member{id: id, capacity: 100})
			}
			moved := a.assign(owner, all)
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

// upAfter asks for one count at first and for another from a time on.
type upAfter struct {
	at       float64
	from, to int
	seen     []series.Observation
}

func (p *upAfter) Decide(now time.Time, o *series.Observation) int {
	kept := *o
	kept.StartupSeconds = slices.Clone(o.StartupSeconds)
	kept.ProvisionedStartupSeconds = slices.Clone(o.ProvisionedStartupSeconds)
	p.seen = append(p.seen, kept)
	if now.Sub(time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)).Seconds() < p.at {
		return p.from
	}
	return p.to
}

func TestNodesComeFirst(t *testing.T) {
	// Eight replicas on two nodes of four, and four more: 12 fill a third node, which takes 120 s to come, beside the 60 s that a
	// replica takes and the 3 s of its rebalance. With room for six on a node, four of the ten fit on the two that are there.
	for _, tt := range []struct{ perNode, plain, provisioned int }{{0, 4, 0}, {4, 0, 4}, {6, 4, 0}, {5, 2, 2}} {
		s := DefaultScenario(constant(t, 800, 1))
		s.LeadJitter, s.CapacityNoise, s.NodeReplicas, s.NodeLead = 0, 0, tt.perNode, 120
		p := &upAfter{at: 600, from: 8, to: 12}
		run(t, s, p)
		var plain, provisioned []float64
		for i := range p.seen {
			plain = append(plain, p.seen[i].StartupSeconds...)
			provisioned = append(provisioned, p.seen[i].ProvisionedStartupSeconds...)
		}
		if len(plain) != tt.plain || len(provisioned) != tt.provisioned {
			t.Errorf("%d on a node: %d start-ups on nodes that were there and %d on new ones, want %d and %d", tt.perNode, len(plain), len(provisioned), tt.plain, tt.provisioned)
		}
		for _, x := range plain {
			if !near(x, 63, 1e-6) {
				t.Errorf("%d on a node: a start-up took %v s, want 63", tt.perNode, x)
			}
		}
		for _, x := range provisioned {
			if !near(x, 183, 1e-6) {
				t.Errorf("%d on a node: a start-up on a new node took %v s, want 183", tt.perNode, x)
			}
		}
	}
}

func TestWhoStopsInARebalance(t *testing.T) {
	// Four replicas do the work of four exactly, so what a rebalance stops is a backlog that stays. A fifth that joins stops all
	// 48 partitions for the pause under an eager assignor, and the nine that it takes over (48/5, rounded down) under the cooperative one.
	const rate, pause = 400.0, 10.0
	for _, tt := range []struct {
		assignor Assignor
		stopped  float64
	}{{Range, 48}, {RoundRobin, 48}, {Sticky, 48}, {Cooperative, 9}} {
		s := DefaultScenario(constant(t, rate, 1))
		s.Capacity, s.CapacityNoise, s.LeadJitter, s.Initial = 100, 0, 0, 4
		s.Pause, s.Assignor, s.ShowPartitions = pause, tt.assignor, true
		p := &upAfter{at: 600, from: 4, to: 5}
		// The fifth is there at 615 + 60 s = 675 s; asked at the end of its first tick, with 15 s gone.
		most := 0.0
		s.Tick = 5
		run(t, s, p)
		for i := range p.seen {
			most = max(most, p.seen[i].LagRecords.Or(0))
		}
		if want := rate * pause * tt.stopped / 48; most < 0.5*want || most > 1.01*want {
			t.Errorf("%s: at most %v records waited, want about %v", tt.assignor, most, want)
		}
	}
}

func TestWhoJoinsWhileTheGroupStandsStill(t *testing.T) {
	// Four more that join within the pause of the first are one rebalance with it: runs of twelve partitions become runs of six, and
	// all but the first six change hands, as when the four come at once.
	for _, jitter := range []float64{0, 0.05} {
		s := DefaultScenario(constant(t, 400, 1))
		s.Tick, s.Lead, s.Capacity, s.CapacityNoise, s.LeadJitter, s.Initial, s.Pause, s.CountFrom = 60, 30, 200, 0, jitter, 4, 10, 300
		if r := run(t, s, &upAfter{at: 600, from: 4, to: 8}); r.Changes != 1 || r.Moves != 42 {
			t.Errorf("jitter %v: %d changes moved %d partitions, want 1 and 42", jitter, r.Changes, r.Moves)
		}
	}
}

func TestClairvoyantBounds(t *testing.T) {
	// On a constant rate that fills a useful count exactly there is nothing to gain by looking ahead, of however many counts.
	for _, partitions := range []int{48, 10000} {
		s := DefaultScenario(constant(t, 800, 3))
		s.CapacityNoise, s.Partitions, s.Max = 0, partitions, partitions
		o, err := ClairvoyantCost(s)
		if err != nil {
			t.Fatal(err)
		}
		if !near(o.Lower, 1, 0.02) || !near(o.Upper, 1, 0.05) {
			t.Errorf("constant rate, %d partitions: got %+v, want 1 and 1", partitions, o)
		}
	}
	// What comes last, or is more than all replicas can do in time, has to be served too: nobody pays less than for that.
	for _, minute := range []int{59, 100, 119} {
		rates := make([]float64, 120)
		for i := range rates {
			rates[i] = 1
		}
		rates[minute] = 1000
		trace, err := NewTrace("burst", 60, rates)
		if err != nil {
			t.Fatal(err)
		}
		if o, err := ClairvoyantCost(DefaultScenario(trace)); err != nil || !(1 <= o.Lower && o.Lower <= o.Upper) {
			t.Errorf("a burst in minute %d: got %+v (%v), want 1 or more, the upper no less than the lower", minute, o, err)
		}
	}
	// On a wave it lies between the bound and what the same rule pays that knows the future, if that is punctual too.
	s := DefaultScenario(wavy(t, 1))
	s.CapacityNoise, s.LeadJitter, s.CountFrom = 0, 0, 43200
	o, err := ClairvoyantCost(s)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPrescale(s.Config(0.001), Perfect(&s))
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, s, p)
	if !(1 <= o.Lower && o.Lower <= o.Upper && o.Lower <= r.Cost()) {
		t.Errorf("got %+v, and %v with perfect forecasts", o, r.Cost())
	}
	// Every fixed count that keeps all promises costs more than the plan.
	for n := 8; n <= 48; n += 4 {
		fixed := s
		fixed.Initial = n
		if r := run(t, fixed, Fixed(n)); r.LateRatio == 0 && r.Cost() < o.Lower {
			t.Errorf("%d replicas all the time: cost %v, below the bound %v", n, r.Cost(), o.Lower)
		}
	}
}
