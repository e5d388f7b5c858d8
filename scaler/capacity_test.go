package scaler

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// unbusy is a group of two replicas of which nobody tells how busy they are: 55 records a second each arrive and are done.
type unbusy struct {
	a  *Autoscaler
	at time.Time
}

const shown = 55.0

// tick is one observation after span, which covers interval: each replica did perReplica a second, lag records are left.
func (u *unbusy) tick(span, interval time.Duration, perReplica, lag float64) Decision {
	u.at = u.at.Add(span)
	o := series.Observation{
		Policy: "default/test", At: u.at, Interval: interval, LagRecords: series.Of(lag), LagSeconds: series.Of(lag / 110),
		ReadyReplicas: series.Of(2), StartingReplicas: series.Of(0), Partitions: series.Of(12),
	}
	if interval > 0 {
		o.ArrivalRecords, o.ConsumedRecords = series.Of(2*shown*interval.Seconds()), series.Of(2*perReplica*interval.Seconds())
	}
	return u.a.Tick(u.at, o)
}

func settledUnbusy(t *testing.T) *unbusy {
	config := testConfig()
	config.MinReplicas = 2
	u := &unbusy{a: newTest(t, config), at: start}
	for range 30 {
		u.tick(config.Interval, config.Interval, shown, 20)
	}
	if got := u.a.state.Capacity.perReplica().Or(0); got < shown {
		t.Fatalf("settled: a replica can %.1f/s, want at least the %g shown", got, shown)
	}
	return u
}

func TestWhatWasShownOutweighsAFewIntervals(t *testing.T) {
	const tick = 15 * time.Second
	type step struct {
		span, interval  time.Duration
		perReplica, lag float64
	}
	for _, test := range []struct {
		name  string
		steps []step
		can   float64 // what is known at the end
	}{
		// A new process counts from its first observation on and looks again at the next multiple of the interval: less than a
		// commit may fall into that.
		{"take-over at once", []step{{tick, 0, 0, 400}, {3 * time.Second, 3 * time.Second, 8, 600}, {tick, tick, 100, 900}, {tick, tick, 100, 800}}, 100},
		{"take-over after an outage", []step{{4 * tick, 0, 0, 6600}, {3 * time.Second, 3 * time.Second, 8, 6900}, {tick, tick, 100, 5550}, {tick, tick, 100, 4200}}, 100},
		{"take-over with a longer remainder", []step{{4 * tick, 0, 0, 6600}, {11 * time.Second, 11 * time.Second, 8, 7700}, {tick, tick, 100, 6350}, {tick, tick, 100, 5000}}, 100},
		{"ticks that were dropped", []step{{tick, tick, 20, 900}, {4 * tick, tick, 8, 8000}, {tick, tick, 8, 9500}, {tick, tick, 100, 8000}}, 100},
		{"restarted between two looks", []step{{tick, tick, 0, 1650}, {tick, tick, 8, 3000}, {tick, tick, 100, 1700}}, 100},
		{"a few slow ones", []step{{tick, tick, 20, 1200}, {tick, tick, 8, 2500}, {tick, tick, 25, 3500}, {tick, tick, 100, 2100}}, 100},
		{"a little slower", []step{{tick, tick, 20, 1200}, {tick, tick, 45, 1500}, {tick, tick, 45, 1800}}, shown},
		{"a whole commit in a short remainder", []step{{tick, 0, 0, 400}, {11 * time.Second, 11 * time.Second, 80, 0}, {tick, tick, shown, 0}}, shown * exploreRatio},
		{"a whole commit after ticks that were dropped", []step{{4 * tick, tick, 80, 0}, {tick, tick, shown, 0}}, shown * exploreRatio},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := settledUnbusy(t)
			for i, s := range test.steps {
				d := u.tick(s.span, s.interval, s.perReplica, s.lag)
				if got := d.CapacityPerReplica.Or(0); got < 0.999*shown {
					t.Fatalf("step %d: a replica can %.1f/s, want no less than the %g shown", i, got, shown)
				}
			}
			if got := u.a.state.Capacity.perReplica().Or(0); got < 0.99*test.can || got > 1.01*test.can {
				t.Errorf("in the end a replica can %.1f/s, want %g", got, test.can)
			}
		})
	}
}

func TestASlowerWorkloadIsLearned(t *testing.T) {
	u := settledUnbusy(t)
	lag := 20.0
	for range 12 {
		lag += 2 * (shown - 20) * 15
		u.tick(15*time.Second, 15*time.Second, 20, lag)
	}
	if got := u.a.state.Capacity.perReplica().Or(0); got < 19 || got > 21 {
		t.Errorf("after three minutes of a backlog at 20/s each: a replica can %.1f/s, want 20", got)
	}
}

// A release that halves what a replica does is believed at the third sample where the replicas tell how busy they are; two may be
// anything, as may any that are no further off than samples are wont to be.
func TestAHalvedCapacityIsBelievedSoon(t *testing.T) {
	for _, test := range []struct {
		name   string
		told   bool
		spread float64 // of the samples before
		half   int     // samples of the half
		want   float64
	}{
		{"two samples", true, 2, 2, 100},
		{"three samples", true, 2, 3, 50},
		{"three, as far off as some before", true, 15, 3, 100},
		{"six, as far off as some before", true, 15, 6, 50},
		{"three of throughput under a backlog", false, 2, 3, 100},
		{"six of throughput under a backlog", false, 2, 6, 50},
	} {
		var c capacity
		for i := range 60 {
			c.add(100+test.spread*(2*float64(i%2)-1), test.told)
		}
		for range test.half {
			c.add(50, test.told)
		}
		if got := c.perReplica().Or(0); math.Abs(got-test.want) > 0.02*test.want {
			t.Errorf("%s: a replica can %.1f/s, want %g", test.name, got, test.want)
		}
	}
}

// Traffic falls off and some lag remains, as it does between commits: the less is consumed, the more seconds that lag is worth.
func TestLittleLagIsNoSaturation(t *testing.T) {
	u := settledUnbusy(t)
	for range 20 {
		u.tick(15*time.Second, 15*time.Second, 10, 100)
	}
	if got := u.a.state.Capacity.perReplica().Or(0); got < 0.999*shown {
		t.Errorf("a replica can %.1f/s, want no less than the %g shown", got, shown)
	}
}

func TestLagBeforeIsThatOfTheIntervalsStart(t *testing.T) {
	// Four ticks were lost: the lag before them says nothing of what arrived in the last interval.
	s := &State{At: start, LastLag: series.Of(100)}
	o := series.Observation{At: start.Add(75 * time.Second), Interval: 15 * time.Second, ConsumedRecords: series.Of(1500), LagRecords: series.Of(6100)}
	if v := s.arrivalRate(&o); v.Known() {
		t.Errorf("arrivals of %.0f/s were derived over a gap, want none", v.Or(0))
	}
	o.At = start.Add(15 * time.Second)
	if v := s.arrivalRate(&o).Or(0); v != 500 {
		t.Errorf("got %.0f/s, want 500: (1500 + 6100 - 100) / 15 s", v)
	}
}

func TestAPartialIntervalTeachesNoCapacityWithABusyRatioEither(t *testing.T) {
	config := testConfig()
	s, at := &State{}, start
	for i, interval := range []time.Duration{0, 3 * time.Second, 15 * time.Second} {
		at = at.Add(interval)
		s.Learn(&config, &series.Observation{
			At: at, Interval: interval, ConsumedRecords: series.Of(600), ReadyReplicas: series.Of(1),
			BusyRatio: series.Of(0.5),
		})
		if i < 2 && s.Capacity.Samples > 0 {
			t.Errorf("observation %d over %s: a replica can %.0f/s", i, interval, s.Capacity.Mean)
		}
	}
	if got := s.Capacity.perReplica().Or(0); got != 80 {
		t.Errorf("after a whole interval: a replica can %g/s, want 80: 600 records in half of 15 s", got)
	}
}

// skewed is a group of consumers with contiguous partitions of which the first gets `hot` of the arrivals, and of which nobody
// tells how busy they are.
type skewed struct {
	a      *Autoscaler
	at     time.Time
	hot    float64
	lists  bool
	lags   []float64
	ages   []float64 // of the oldest record, in seconds
	ready  int
	due    []int // ticks until each of those that start is there
	counts []int
}

// tick lets rate records a second arrive for 15 s; a consumer does perSecond.
func (g *skewed) tick(rate float64) Decision {
	const interval, lead = 15.0, 4
	started := g.due
	g.due = nil
	for _, left := range started {
		if left--; left <= 0 {
			g.ready++
		} else {
			g.due = append(g.due, left)
		}
	}
	count := len(g.lags)
	share := func(p int) float64 {
		if p == 0 {
			return g.hot
		}
		return (1 - g.hot) / float64(count-1)
	}
	arrived, consumed, at := make([]float64, count), 0.0, 0
	for c := range g.ready {
		size := count / g.ready
		if c < count%g.ready {
			size++
		}
		waiting := 0.0
		for p := at; p < at+size; p++ {
			arrived[p] = share(p) * rate * interval
			g.lags[p] += arrived[p]
			waiting += g.lags[p]
		}
		served := min(1, perSecond*interval/max(waiting, 1))
		for p := at; p < at+size; p++ {
			consumed += g.lags[p] * served
			g.lags[p] *= 1 - served
			g.ages[p] = g.lags[p] / (share(p) * rate)
		}
		at += size
	}
	g.at = g.at.Add(interval * time.Second)
	o := series.Observation{
		Policy: "default/test", At: g.at, Interval: interval * time.Second, ArrivalRecords: series.Of(rate * interval), ConsumedRecords: series.Of(consumed),
		ReadyReplicas: series.OfInt(g.ready), StartingReplicas: series.OfInt(len(g.due)), Partitions: series.OfInt(count),
	}
	lag, oldest := 0.0, 0.0
	for p := range g.lags {
		lag, oldest = lag+g.lags[p], max(oldest, g.ages[p])
		if g.lists {
			o.PartitionLagRecords = append(o.PartitionLagRecords, series.Of(g.lags[p]))
			o.PartitionArrivalRecords = append(o.PartitionArrivalRecords, series.Of(arrived[p]))
		}
	}
	o.LagRecords, o.LagSeconds = series.Of(lag), series.Of(oldest)
	d := g.a.Tick(g.at, o)
	for range d.DesiredReplicas - g.ready - len(g.due) {
		g.due = append(g.due, lead)
	}
	if d.DesiredReplicas < g.ready+len(g.due) {
		g.due = g.due[:max(0, d.DesiredReplicas-g.ready)]
		g.ready = min(g.ready, d.DesiredReplicas)
	}
	g.counts = append(g.counts, d.DesiredReplicas)
	return d
}

// A partition gets more than a consumer can do. What waits there keeps the others idle: their throughput under that backlog is
// not what they can do, and more of them would change nothing.
func TestAHotPartitionIsNoSaturationOfTheGroup(t *testing.T) {
	for _, c := range []struct {
		partitions int
		hot        float64
		lists      bool
		most       int
	}{
		{48, 0.3, false, 16}, // 560 records/s on 47 partitions
		{48, 0.3, true, 16},
		{12, 0.5, true, 8}, // 400 records/s on 11 partitions, and the hot one's own consumer
	} {
		g := &skewed{a: newTest(t, testConfig()), at: start, hot: c.hot, lists: c.lists, lags: make([]float64, c.partitions), ages: make([]float64, c.partitions), ready: 8}
		var d Decision
		for range 240 {
			d = g.tick(800)
		}
		if can := d.CapacityPerReplica.Or(0); can < 0.8*perSecond || d.DesiredReplicas > c.most {
			t.Errorf("%+v: got %d replicas, a replica can %.0f/s; want at most %d and %g/s or nearly: %v", c, d.DesiredReplicas, can, c.most, perSecond, g.counts)
		}
	}
}

// Nearly all records go to one partition, whose consumer gets through them alone: it is not too slow because the others have nothing to do.
func TestWhoeverHasMostDoesAllOfThat(t *testing.T) {
	for _, c := range []struct {
		hot  float64
		most int
	}{{1, 1}, {0.9, 2}, {0.6, 2}} {
		g := &skewed{a: newTest(t, testConfig()), at: start, hot: c.hot, lists: true, lags: make([]float64, 8), ages: make([]float64, 8), ready: 3}
		var d Decision
		for i := range 240 {
			d = g.tick(60)
			if slices.Contains(d.Verdicts, VerdictHotPartition) {
				t.Fatalf("%g on one partition, tick %d: a hot partition, where a replica can %g/s", c.hot, i, d.CapacityPerReplica.Or(0))
			}
		}
		if can := d.CapacityPerReplica.Or(0); can < 60*c.hot || can > perSecond || d.DesiredReplicas > c.most {
			t.Errorf("%g on one partition: %d replicas, each of %.0f/s; want at most %d and %g to %g/s", c.hot, d.DesiredReplicas, can, c.most,
				60*c.hot, perSecond)
		}
	}
}

// What a replica can do is guessed beyond what it was seen to do. Where that guess took one too many and the group fell behind,
// it must not be made again and again.
func TestAGuessThatFailedIsNotRepeated(t *testing.T) {
	a := newTest(t, testConfig())
	at, ready, lag, changes := start, 8, 0.0, 0
	for range 2 * 240 {
		at = at.Add(15 * time.Second)
		// 700 records/s; of eight each can do 100, the slowest 90: with fewer some partitions fall behind, and others do not.
		served := min(700*15+lag, 97*15*float64(ready))
		if ready < 8 {
			served = 690 * 15
		}
		lag += 700*15 - served
		o := series.Observation{
			Policy: "default/test", At: at, Interval: 15 * time.Second, ArrivalRecords: series.Of(700 * 15), ConsumedRecords: series.Of(served),
			LagRecords: series.Of(lag), LagSeconds: series.Of(2 * lag / 700), ReadyReplicas: series.OfInt(ready), StartingReplicas: series.Of(0),
			Partitions: series.Of(48),
		}
		for p := range 48 {
			o.PartitionLagRecords = append(o.PartitionLagRecords, series.Of(lag/8*float64(1-min(p%6, 1))))
		}
		n := a.Tick(at, o).DesiredReplicas
		if n != ready {
			changes++
			lag += 3 * 700 // a pause of three seconds
		}
		ready = n
	}
	if changes > 6 {
		t.Errorf("%d changes in two hours of the same arrivals, want a few", changes)
	}
}

func TestABusyRatioThatClocksPutSlightlyOverOneIsOne(t *testing.T) {
	for _, test := range []struct{ busy, can float64 }{{1, 100}, {1.0000001, 100}, {1.05, 100}, {80, 0}} {
		var c capacity
		c.observe(15, series.Of(200), series.Of(test.busy), 2, 2, false, false, 1)
		if got := c.perReplica().Or(0); got != test.can {
			t.Errorf("200/s by two that are busy %g: got %g a replica, want %g", test.busy, got, test.can)
		}
	}
}

// TestAGroupThatIdlesForgetsWhatHeavyRecordsTaught: enlarged for records three times as heavy, the group idles once they are light again,
// too much for a direct sample, and would be kept as large for ever.
func TestAGroupThatIdlesForgetsWhatHeavyRecordsTaught(t *testing.T) {
	var c capacity
	for range 40 {
		c.observe(15, series.Of(800), series.Of(0.5), 48, 48, false, false, 1) // 33 each
	}
	if x := c.perReplica().Or(0); math.Abs(x-100.0/3) > 1 {
		t.Fatalf("heavy records: got %v, want 33", x)
	}
	for range resetRun {
		c.observe(15, series.Of(500), series.Of(500/4800.0), 48, 48, false, false, 1)
	}
	if x := c.perReplica().Or(0); math.Abs(x-100) > 1 {
		t.Errorf("light records: got %v, want 100", x)
	}
	// What else they are busy with makes the figure of an idle group lower, and that is not taken for less capacity.
	for range 40 {
		c.observe(15, series.Of(2400), series.Of(0.5), 48, 48, false, false, 1)
	}
	for range 40 {
		c.observe(15, series.Of(100), series.Of(0.15), 48, 48, false, false, 1)
	}
	if x := c.perReplica().Or(0); math.Abs(x-100) > 1 {
		t.Errorf("idle and busy with something else: got %v, want 100", x)
	}
}

// TestAnIdleGroupIsLearnedFromBelow: a busy ratio that tells nothing must not hide what the throughput shows.
func TestAnIdleGroupIsLearnedFromBelow(t *testing.T) {
	var c capacity
	c.observe(15, series.Of(2), series.Of(0.001), 8, 8, false, false, 1)
	if got := c.perReplica().Or(0); got != 0.25*exploreRatio || !c.guessed() {
		t.Errorf("got %v a replica, want a guess from 0.25", got)
	}
}

// What was shown is half forgotten in a week and what was refuted in a day, at any interval.
func TestWhatIsForgottenInTime(t *testing.T) {
	for _, interval := range []float64{1, 15, 60} {
		week, day := capacity{LowerBound: 100}, capacity{LowerBound: 100, Refuted: 1}
		for range int(7 * secondsDay / interval) {
			week.observe(interval, series.Of(0.001), series.Missing, 1, 1, false, false, 1)
		}
		for range int(secondsDay / interval) {
			day.observe(interval, series.Of(0.001), series.Missing, 1, 1, false, false, 1)
		}
		if math.Abs(week.LowerBound-50) > 0.1 || math.Abs(day.Refuted-0.5) > 0.001 {
			t.Errorf("at intervals of %g s: %g of 100 is left after a week and %g of 1 after a day, want half", interval, week.LowerBound, day.Refuted)
		}
	}
}

// TestWhatIsConsumedOfABacklogIsAnEffort: twelve partitions on nine replicas, of which three have two, and 120 records/s.
func TestWhatIsConsumedOfABacklogIsAnEffort(t *testing.T) {
	for _, tt := range []struct {
		name               string
		before, lag, drain float64 // of the ticks: what waits at both ends, and consumed beyond what arrives, in records per second
		most               float64 // what one is thought to do
	}{
		{"without a backlog", 0, 0, 0, 20 * exploreRatio}, // those that have two do 20
		{"a little of a backlog", 150, 0, 10, 20 * exploreRatio},
		{"much of one", 900, 0, 60, 30},
		{"falling behind", 600, 750, -10, 110.0 / 6},
	} {
		for _, aged := range []bool{false, true} { // what waits is told in records, or in seconds
			config := testConfig()
			s := State{Partitions: partitions{Count: 12}}
			for i, lag := range []float64{tt.before, tt.lag} {
				o := series.Observation{
					At: start.Add(time.Duration(i) * 15 * time.Second), Interval: 15 * time.Second, ArrivalRecords: series.Of(120 * 15), ConsumedRecords: series.Of((120 + tt.drain) * 15 * float64(i)),
					LagRecords: series.Of(lag), ReadyReplicas: series.Of(9), Partitions: series.Of(12),
				}
				if aged {
					o.LagRecords, o.LagSeconds = series.Missing, series.Of(lag/120)
				}
				s.Learn(&config, &o)
			}
			if got := s.Capacity.perReplica().Or(0); math.Abs(got-tt.most) > 1e-9 {
				t.Errorf("%s, in seconds %v: one is thought to do %g/s, want %g", tt.name, aged, got, tt.most)
			}
		}
	}
}

// TestWhatMayHaveComeTeachesNothing: nobody tells how many replicas are ready in the tick in which fourteen of sixteen may come, a minute
// after they were asked for.
func TestWhatMayHaveComeTeachesNothing(t *testing.T) {
	for _, tt := range []struct {
		ready series.Value // told
		after time.Duration
		want  float64 // what one is thought to do, 0 where nothing is known
	}{
		{series.Missing, time.Minute, 0},
		{series.Missing, 75 * time.Second, 200. / 16},
		{series.Of(2), time.Minute, 100},
	} {
		config := testConfig()
		config.InitialLeadTime = time.Minute
		at := start.Add(tt.after)
		s := State{HasDesired: true, Desired: 16, Changed: start, LastReady: series.Of(2), LastLag: series.Of(20000), At: at.Add(-15 * time.Second)}
		s.Learn(&config, &series.Observation{
			At: at, Interval: 15 * time.Second, ArrivalRecords: series.Of(10000), ConsumedRecords: series.Of(200 * 15), BusyRatio: series.Of(1),
			LagRecords: series.Of(27000), ReadyReplicas: tt.ready, Partitions: series.Of(48),
		})
		if got := s.Capacity.perReplica().Or(0); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("ready %v, %v after the order: one is thought to do %g/s, want %g", tt.ready, tt.after, got, tt.want)
		}
	}
}

// TestAQuarterMoreIsMoreWhateverItIsKnownBy: what would change a decision scales what a replica does, also where an idle group's rough
// figure or what was done with effort is all that is known of it; and that is what a rate is reckoned by in replicas.
func TestAQuarterMoreIsMoreWhateverItIsKnownBy(t *testing.T) {
	for _, c := range []capacity{{Mean: 40, Samples: 9}, {Mean: 40, Samples: 1, Shown: 50}, {Rough: 40}, {LowerBound: 40}, {LowerBound: 10, Shown: 40}, {Shown: 40}} {
		s := State{Capacity: c}
		before, load := c.perReplica().Or(0), s.replicas(80)
		s.Capacity.scale(1.25)
		if got := s.Capacity.perReplica().Or(0); math.Abs(got-1.25*before) > 1e-9 {
			t.Errorf("%+v: one does %g, and with a quarter more %g", c, before, got)
		}
		if got := s.replicas(80); math.Abs(1.25*got-load) > 1e-9 || load > 8 {
			t.Errorf("%+v: 80/s are the work of %g, and with a quarter more of %g", c, load, got)
		}
	}
}
