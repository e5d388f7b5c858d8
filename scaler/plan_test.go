package scaler

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// randomScene is a scene of the plan with steep paths, in any state of the group.
type randomScene struct {
	scene
	paths                    paths
	parts                    *partitions
	current, lowest, highest int
	price                    float64
	tune                     Tuning
}

// scenePartitions are the counts of partitions that random scenes have; 0 stands for one that is not known.
var scenePartitions = func() (all []*partitions) {
	for _, count := range []int{0, 1, 3, 12, 48, 100, 480} {
		p := &partitions{Count: count}
		p.derive(96, 0, 0)
		all = append(all, p)
	}
	return all
}()

func (s *randomScene) draw(r *rand.Rand) {
	s.tune = DefaultTuning()
	s.parts = scenePartitions[r.IntN(len(scenePartitions))]
	s.highest = 1 + r.IntN(60)
	s.lowest = r.IntN(min(3, s.highest) + 1)
	s.current = r.IntN(s.highest + 1)
	ready := s.current
	if r.IntN(3) == 0 {
		ready = r.IntN(s.current + 1)
	}
	s.price = []float64{3, 10, 50, 200, 1000, 3000}[r.IntN(6)]
	lead := 1 + r.IntN(16)
	s.scene = scene{
		paths: &s.paths, perReplica: 100, pauseTicks: []float64{0, 0.05, 0.2, 1, 3}[r.IntN(5)], delayTicks: []float64{0.5, 2, 6}[r.IntN(3)], leadSteps: lead,
	}
	s.now = s.parts.work(ready) * s.perReplica
	s.ready, s.joining = ready, s.current-ready
	s.joinPause, s.joinTicks = []float64{0.05, 0.2, 1}[r.IntN(3)], []float64{0, 2, 5, 12}[r.IntN(4)]
	come := ready
	for k := range s.unchanged {
		if k == lead-1 {
			come = s.current
		}
		if come < s.current && r.IntN(4) == 0 {
			come += 1 + r.IntN(s.current-come)
		}
		s.unchanged[k] = s.parts.work(come) * s.perReplica
	}
	s.paths.steps = lead + max(s.tune.upSteps(lead), s.tune.DownSteps)
	level := r.Float64() * float64(s.highest) * 100
	steep := r.Float64() * 2
	for k := range s.paths.steps {
		if r.IntN(4) == 0 {
			level *= 0.5 + r.Float64()
		}
		x := level
		for j := range pathCount {
			s.paths.at[j][k] = x
			x *= 1 + steep*r.Float64()*r.Float64()
		}
	}
	if r.IntN(4) > 0 {
		s.backlog = level * r.Float64() * r.Float64() * 10
	}
}

func (s *randomScene) best() int {
	n, _ := s.scene.best(s.parts, s.current, s.lowest, s.highest, s.price, &s.tune)
	return n
}

// more adds to the backlog or to the arrivals of every path, and says which.
func (s *randomScene) more(r *rand.Rand) string {
	x := r.Float64() * r.Float64() * float64(1+r.IntN(100)) * 10
	switch r.IntN(4) {
	case 0, 1:
		s.backlog += x
		return "backlog"
	case 2:
		for j := range pathCount {
			for k := range s.paths.steps {
				s.paths.at[j][k] *= 1 + x/1000
			}
		}
		return "arrivals"
	default:
		from := r.IntN(s.paths.steps)
		for j := range pathCount {
			for k := from; k < s.paths.steps; k++ {
				s.paths.at[j][k] += x
			}
		}
		return "arrivals from a tick on"
	}
}

// monotone draws a scene and fails where more of anything makes the plan ask for fewer.
func (s *randomScene) monotone(t *testing.T, r *rand.Rand) bool {
	s.draw(r)
	less := s.best()
	before := s.backlog
	what := s.more(r)
	if more := s.best(); more < less {
		t.Errorf("more %s, backlog %v to %v: %d, which is less than %d; %d are there, scene %+v", what, before, s.backlog, more, less, s.current, s.scene)
		return false
	}
	return true
}

// Thirty-two replicas that join within a minute stop the group for most of it, which makes more records late than they save where the
// need for them is one in a hundred; eight do not. A need that is sure is met all the same.
func TestManyReplicasAreNotStartedForWhatIsUnlikely(t *testing.T) {
	p := &partitions{Count: 48}
	p.derive(48, 0, 0)
	tune := DefaultTuning()
	const ready, interval, price = 16, 15.0, 1000
	plan := func(joinTicks float64, replicas [pathCount]float64) int {
		s := scene{
			paths: &paths{steps: 16}, perReplica: 100, delayTicks: 30 / interval, leadSteps: 12, ready: ready, joinPause: assumedPause / interval, joinTicks: joinTicks,
		}
		s.now = ready * s.perReplica
		for k := range s.unchanged {
			s.unchanged[k] = s.now
		}
		for j, n := range replicas {
			for k := range s.paths.steps {
				s.paths.at[j][k] = 0.5 * ready * s.perReplica
				if k >= s.leadSteps-2 {
					s.paths.at[j][k] = n * s.perReplica
				}
			}
		}
		n, _ := s.best(p, ready, 1, 48, price, &tune)
		return n
	}
	unlikely := [pathCount]float64{9, 10, 11, 12, 13, 22, 45}
	sure := [pathCount]float64{40, 41, 42, 43, 44, 45, 46}
	for _, tt := range []struct {
		name      string
		joinTicks float64
		replicas  [pathCount]float64
		want      int
	}{
		{"unlikely, all at once", 0, unlikely, 48},
		{"unlikely, within a minute", 60 / interval, unlikely, 24},
		{"sure, all at once", 0, sure, 48},
		{"sure, within a minute", 60 / interval, sure, 48},
	} {
		if got := plan(tt.joinTicks, tt.replicas); got != tt.want {
			t.Errorf("%s: %d replicas, want %d", tt.name, got, tt.want)
		}
	}
}

// TestADecreaseIsNotTakenBackForALittle: once fewer are there the same paths do not ask for those that went, not even when late records
// are 1.4 times as dear.
func TestADecreaseIsNotTakenBackForALittle(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var s randomScene
	decreases := 0
	for range 20_000 {
		s.draw(r)
		before := s.current
		n := s.best()
		if n >= before {
			continue
		}
		decreases++
		s.current, s.highest, s.ready, s.joining, s.joinTicks = n, before, n, 0, 0
		s.now = s.parts.work(n) * s.perReplica
		for k := range s.unchanged {
			s.unchanged[k] = s.now
		}
		s.price *= 1.4
		if again := s.best(); again > n {
			t.Fatalf("from %d to %d, and then to %d; scene %+v", before, n, again, s.scene)
		}
	}
	if decreases < 1000 {
		t.Errorf("%d decreases, want more of them to be tried", decreases)
	}
}

// TestThePlanIsMonotone takes a tenth of a millisecond a draw; PRESCALE_DRAWS asks for more of them.
func TestThePlanIsMonotone(t *testing.T) {
	draws := 20_000
	if s := os.Getenv("PRESCALE_DRAWS"); s != "" {
		var err error
		if draws, err = strconv.Atoi(s); err != nil {
			t.Fatalf("PRESCALE_DRAWS: %v", err)
		}
	}
	r := rand.New(rand.NewPCG(1, uint64(draws)))
	var s randomScene
	for range draws {
		s.monotone(t, r)
	}
}

func FuzzThePlanIsMonotone(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 3))
		var s randomScene
		s.monotone(t, r)
	})
}
