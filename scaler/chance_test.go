package scaler

import (
	"math"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// TestPeaksForgetAfterTenMinutes: what was wanted once is the most for ten minutes, or ten ticks where these are longer.
func TestPeaksForgetAfterTenMinutes(t *testing.T) {
	for _, c := range []struct{ interval, kept time.Duration }{
		{time.Second, 10 * time.Minute},
		{15 * time.Second, 10 * time.Minute},
		{time.Minute, 10 * time.Minute},
		{2 * time.Minute, 20 * time.Minute},
	} {
		var p peaks
		at := start
		for p.most() == 0 { // nothing is held until as much is known
			p.observe(6, at)
			at = at.Add(c.interval)
		}
		if known := at.Sub(start); known < 9*time.Minute {
			t.Errorf("every %v: known after %v", c.interval, known)
		}
		start := at.Add(time.Hour)
		at = start
		p.observe(7, at)
		for p.most() == 7 && at.Sub(start) < time.Hour {
			at = at.Add(c.interval)
			p.observe(5, at)
		}
		if kept := at.Sub(start); kept != c.kept || p.most() != 5 {
			t.Errorf("every %v: %d after %v, want 5 after %v", c.interval, p.most(), kept, c.kept)
		}
		p.observe(6, at.Add(-time.Hour)) // the clock was set back
		if p.most() != 6 {
			t.Errorf("every %v: %d, want 6", c.interval, p.most())
		}
	}
}

// calmGroup returns a decider over ten replicas of 100 records/s each in ticks of 15 s, where `level` records/s arrive and are forecast, and
// vary by deviation (a share of them).
func calmGroup(level, deviation float64) (decider, *choice) {
	config, tune := DefaultConfig(), DefaultTuning()
	config.Interval = 15 * time.Second
	s := &State{Partitions: partitions{Count: 480}, Arrivals: recent{Level: level, Noise: deviation * level / 1.25}}
	s.Partitions.derive(96, level, 100)
	p := &paths{steps: 8}
	for j := range p.at {
		for k := range p.steps {
			p.at[j][k] = level * 15
		}
	}
	sc := &scene{paths: p, now: 15000, leadSteps: 4, perReplica: 1500, delayTicks: 2, ready: 10}
	for k := range sc.unchanged {
		sc.unchanged[k] = 15000
	}
	d := decider{Decision: &Decision{sustained: level}, config: &config, state: s, o: new(series.Observation), tune: &tune}
	return d, &choice{current: 10, lowest: 1, highest: 96, perReplica: 100, price: 200, scene: sc}
}

// TestFewerAreTakenAtOnceOnlyIfSure: 780 records/s want eight replicas, and with 5 % more nine.
func TestFewerAreTakenAtOnceOnlyIfSure(t *testing.T) {
	for _, c := range []struct {
		what      string
		deviation float64
		peak      int // the most that was wanted lately
		exploring bool
		want      int
	}{
		{"noise", 0.05, 10, false, 9},
		{"no noise", 0, 10, false, 8},
		{"not calm", 0.11, 10, false, 8},
		{"for ten minutes", 0.05, 8, false, 8},
		{"more was wanted than there are", 0.05, 20, false, 9},
		{"a trial", 0.05, 10, true, 8},
	} {
		d, group := calmGroup(780, c.deviation)
		d.exploring = c.exploring
		for i := range peaksKept {
			d.state.Peaks.observe(c.peak, start.Add(time.Duration(i)*time.Minute))
		}
		if n, _ := d.best(group, group.scene); n != 8 {
			t.Fatalf("%d are planned, want 8", n)
		}
		if n := d.sure(group, 8); n != c.want {
			t.Errorf("%s: %d, want %d", c.what, n, c.want)
		}
	}
}

// TestASuddenTickMayBeAStep: up to eight times the level.
func TestASuddenTickMayBeAStep(t *testing.T) {
	for _, c := range []struct {
		what        string
		noise, last float64
		want        float64
	}{
		{"a step", 4, 200, 200},
		{"beyond what is believed", 4, 10000, 800},
		{"chance", 4, 110, 0},
		{"less", 4, 20, 0},
		{"not calm", 12, 300, 0},
	} {
		r := recent{Level: 100, Noise: c.noise, Count: 1000}
		if r.observe(series.Of(c.last)); math.Abs(r.stepTo()-c.want) > 1e-9 {
			t.Errorf("%s: %g, want %g", c.what, r.stepTo(), c.want)
		}
		if r.observe(series.Of(c.last)); r.stepTo() != 0 {
			t.Errorf("%s: %g after the second tick, want 0: the level is known", c.what, r.stepTo())
		}
	}
}

// TestMoreThatIsNotNeededWaits: 900 records/s are what ten replicas can do.
func TestMoreThatIsNotNeededWaits(t *testing.T) {
	for _, c := range []struct {
		what             string
		level, deviation float64
		age, lag         float64
		lost             bool
		lately           [3]int // what was wanted, the last one last
		want             int
	}{
		{"wanted for a tick", 900, 0.05, 0, 0, false, [3]int{10, 10, 12}, 10},
		{"wanted for less", 900, 0.05, 0, 0, false, [3]int{11, 12, 12}, 11},
		{"wanted for 45 s", 900, 0.05, 0, 0, false, [3]int{12, 13, 12}, 12},
		{"fewer were wanted", 900, 0.05, 0, 0, false, [3]int{8, 12, 12}, 10},
		{"more than they can do", 1010, 0.05, 0, 0, false, [3]int{10, 10, 12}, 12},
		{"not calm", 900, 0.11, 0, 0, false, [3]int{10, 10, 12}, 12},
		{"records wait", 900, 0.05, 4, 3600, false, [3]int{10, 10, 12}, 12},
		{"a backlog", 900, 0.05, 0, 14000, false, [3]int{10, 10, 12}, 12},
		{"a step that the forecast does not follow", 900, 0.05, 0, 0, true, [3]int{10, 10, 12}, 12},
	} {
		d, group := calmGroup(c.level, c.deviation)
		d.o.LagSeconds, group.scene.backlog = series.Of(c.age), c.lag
		d.state.Rivals.Lost = c.lost
		for _, n := range c.lately {
			d.state.Wanted[d.state.WantedAt] = n
			d.state.WantedAt++
		}
		if n := d.lasting(group, 12); n != c.want {
			t.Errorf("%s: %d, want %d", c.what, n, c.want)
		}
	}
}
