package scaler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/prescale/prescale/metrics/series"
)

// loops calls try for a range of lead times, in ticks, rates and noises.
func loops(t *testing.T, try func(t *testing.T, lead int, rate float64, random *rand.Rand)) {
	for _, lead := range []int{2, 4, 12, 20} {
		for _, rate := range []float64{130, 250, 400, 700, 1500} {
			for seed := range uint64(4) {
				var random *rand.Rand // seed 0: no noise
				if seed > 0 {
					random = rand.New(rand.NewPCG(seed, 7))
				}
				t.Run(fmt.Sprintf("lead=%d/rate=%g/seed=%d", lead, rate, seed), func(t *testing.T) { try(t, lead, rate, random) })
			}
		}
	}
}

func TestConstantRateSettlesAndStays(t *testing.T) {
	loops(t, func(t *testing.T, lead int, rate float64, random *rand.Rand) {
		w := &world{a: newTest(t, testConfig()), lead: lead, partitions: 48, ready: 3, random: random}
		for range 400 {
			w.step(rate)
		}
		settled := 3*lead + 4*warmTicks
		for i := settled; i < len(w.counts); i++ {
			if w.counts[i] != w.counts[settled] {
				t.Fatalf("not settled after %d ticks: %v", settled, w.counts)
			}
		}
		// The useful count that does the work, or the next one.
		var p partitions
		p.observe(series.Of(48), nil)
		p.derive(48, rate, perSecond)
		least, _ := p.snap(rate / perSecond)
		most, _ := p.snap(1.25 * rate / perSecond)
		if n := w.counts[399]; n < least || n > most {
			t.Errorf("got %d replicas, want %d to %d", n, least, most)
		}
	})
}

func TestStepIsOneChange(t *testing.T) {
	loops(t, func(t *testing.T, lead int, rate float64, random *rand.Rand) {
		w := &world{a: newTest(t, testConfig()), lead: lead, partitions: 48, ready: int(rate/perSecond) + 1, random: random}
		for range 300 {
			w.step(rate)
		}
		for range 300 {
			w.step(2 * rate)
		}
		ups := 0
		for i := 300; i < 600; i++ {
			if w.counts[i] > w.counts[i-1] {
				ups++
			}
		}
		if ups < 1 || ups > 2 {
			t.Errorf("%d increases from %d replicas, want one or two: %v", ups, w.counts[299], w.counts[295:400])
		}
	})
}

// drawWorld is a group at work with an interval, a lead time of 30 s or more in ticks, a rate and partitions of any size, and the rate.
// Arrivals are even: at a rate where a little more noise needs another replica, and a model that takes it for the level, there is one now and then.
func drawWorld(t *rapid.T, replicas func(rate float64) int) (*world, float64) {
	config := testConfig()
	config.Interval = rapid.SampledFrom([]time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute}).Draw(t, "interval")
	config.MaxReplicas, config.ObjectiveLag = 96, max(30*time.Second, 2*config.Interval)
	rate := rapid.Float64Range(50, 2000).Draw(t, "rate")
	a, err := NewAutoscaler(config, &levelModel{step: config.Interval})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		a: a, lead: rapid.IntRange(int(max(1, 30*time.Second/config.Interval)), 24).Draw(t, "lead"), ready: replicas(rate),
		partitions: rapid.SampledFrom([]int{48, 96, 480}).Draw(t, "partitions"),
	}
	for range startupsNeeded { // how long a start takes is known
		a.state.Lead.Plain.add(float64(w.lead) * config.Interval.Seconds())
	}
	return w, rate
}

func TestConstantRateSettlesWhateverItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, rate := drawWorld(t, func(float64) int { return 3 })
		for range 400 {
			w.step(rate)
		}
		settled, changes := 3*w.lead+4*warmTicks, 0
		for i := settled + 1; i < len(w.counts); i++ {
			if w.counts[i] != w.counts[i-1] {
				changes++
			}
		}
		// A count that falls short by a few per cent is kept while its backlog may wait, and left once; one that is a little more than
		// the work takes is left once hours without a late record have lowered their price. Never is there a way back.
		if changes > 1 {
			t.Fatalf("not settled after %d ticks: %v", settled, w.counts)
		}
	})
}

func TestStepIsOneChangeWhateverItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, rate := drawWorld(t, func(rate float64) int { return int(rate/perSecond) + 1 })
		for range 300 {
			w.step(rate)
		}
		factor := rapid.Float64Range(1.5, 4).Draw(t, "factor")
		for range 300 {
			w.step(factor * rate)
		}
		ups := 0
		for i := 300; i < 600; i++ {
			if w.counts[i] > w.counts[i-1] {
				ups++
			}
		}
		if ups > 2 {
			t.Errorf("%d increases from %d replicas on a step by %v, want two at most: %v", ups, w.counts[299], factor, w.counts[295:400])
		}
	})
}

// A step without noise where 16 and 17 replicas are enough but for what a change leaves, for which 18 were asked, twelve minutes later:
// 18, 17, 16 and 18 followed each other for ever.
func TestCountsDoNotFollowEachOtherForEver(t *testing.T) {
	config := testConfig()
	config.Interval, config.MaxReplicas, config.ObjectiveLag = 30*time.Second, 96, time.Minute
	a, err := NewAutoscaler(config, &levelModel{step: config.Interval})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{a: a, lead: 24, ready: 9, partitions: 480}
	for range startupsNeeded { // how long a start takes is known
		a.state.Lead.Plain.add(float64(w.lead) * config.Interval.Seconds())
	}
	for i := range 600 {
		rate := 894.0625
		if i >= 300 {
			rate *= 1.6875
		}
		w.step(rate)
	}
	ups := 0
	for i := 300; i < 600; i++ {
		if w.counts[i] > w.counts[i-1] {
			ups++
		}
	}
	if ups > 2 {
		t.Errorf("%d increases after a step, want two at most: %v", ups, w.counts[295:])
	}
}

func TestComesDownWhenNothingArrives(t *testing.T) {
	// Within Hold, which is 45 s, and the ticks that the backlog takes to drain; a remainder that nobody consumes, with an age
	// that grows for ever, changes nothing of that.
	for _, leftover := range []float64{0, 3} {
		loops(t, func(t *testing.T, lead int, rate float64, random *rand.Rand) {
			w := &world{a: newTest(t, testConfig()), lead: lead, partitions: 48, ready: int(rate/perSecond) + 1, random: random}
			for range 200 {
				w.step(rate)
			}
			w.leftover = leftover
			for range 12 {
				w.step(0)
			}
			if n := w.counts[211]; n != 1 {
				t.Errorf("leftover %g: %d replicas three minutes after the last record, want 1: %v", leftover, n, w.counts[195:])
			}
		})
	}
}

func TestABacklogKeepsTheCountForABoundedTime(t *testing.T) {
	// A partition of which nothing is consumed, and half the traffic gone: the count may wait for a drain that does not come for
	// three objectives, and then follows the traffic.
	a := newTest(t, testConfig())
	n, lags := 12, make([]series.Value, 12)
	for i := range 120 {
		rate := 900.0
		if i > 60 {
			rate = 150
		}
		for p := range lags {
			lags[p] = series.Of(0)
		}
		lags[3] = series.Of(1e6)
		at := start.Add(time.Duration(i+1) * 15 * time.Second)
		d := a.Tick(at, series.Observation{
			At: at, Interval: 15 * time.Second, ArrivalRecords: series.Of(rate * 15), ConsumedRecords: series.Of(rate * 15),
			LagRecords: series.Of(1e6), LagSeconds: series.Of(1e4), ReadyReplicas: series.OfInt(n), StartingReplicas: series.Of(0),
			Partitions: series.Of(12), PartitionLagRecords: lags, BusyRatio: series.Of(min(1, rate/(perSecond*float64(n)))),
		})
		n = d.DesiredReplicas
	}
	if n > 4 {
		t.Errorf("got %d replicas, want at most 4 for 150 records/s at 100 each", n)
	}
}

func TestTheSlowestConsumersWaitCounts(t *testing.T) {
	// Little lag in all, for it is one consumer's; its oldest record is about to be late.
	config := testConfig()
	w := &world{a: newTest(t, config), lead: 4, partitions: 48, ready: 8}
	for range 100 {
		w.step(700)
	}
	at := start.Add(101 * 15 * time.Second)
	observation := func(age float64) series.Observation {
		return series.Observation{
			At: at, Interval: 15 * time.Second, ArrivalRecords: series.Of(700 * 15), ConsumedRecords: series.Of(695 * 15),
			LagRecords: series.Of(900), LagSeconds: series.Of(age), ReadyReplicas: series.Of(8), StartingReplicas: series.Of(0),
			Partitions: series.Of(48), BusyRatio: series.Of(0.88),
		}
	}
	w.a.State().Pace.Age = 20 // it has grown by little since the last tick
	for _, c := range []struct {
		age  float64
		more bool
	}{{1.3, false}, {25, true}} {
		b := newTest(t, config)
		if err := b.Restore(w.a.AppendCheckpoint(nil)); err != nil {
			t.Fatal(err)
		}
		if n := b.Tick(at, observation(c.age)).DesiredReplicas; n > 8 != c.more {
			t.Errorf("oldest record %g s old: got %d replicas from 8, want more: %v", c.age, n, c.more)
		}
	}
}

func TestAStartUpThatIsWaitedForStretchesTheLeadTime(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 40, partitions: 48, ready: 5}
	for range 100 {
		w.step(400)
	}
	var waited float64
	for range 20 {
		waited = w.step(1000).LeadTimeSeconds.Or(0)
	}
	if waited < 200 || waited > mostWaiting*60 {
		t.Errorf("ordered 20 ticks ago and not there: lead time %g s, want 200 to %d", waited, mostWaiting*60)
	}
}

func TestAnIdleGroupIsNotKeptForWantOfACapacity(t *testing.T) {
	for _, busy := range []series.Value{series.Of(0.03), series.Missing} {
		a := newTest(t, testConfig())
		n := 8
		for i := range 400 {
			at := start.Add(time.Duration(i+1) * 15 * time.Second)
			o := series.Observation{
				At: at, Interval: 15 * time.Second, ArrivalRecords: series.Of(24 * 15), ConsumedRecords: series.Of(24 * 15), LagRecords: series.Of(0),
				LagSeconds: series.Of(0), ReadyReplicas: series.OfInt(n), StartingReplicas: series.Of(0), Partitions: series.Of(48), BusyRatio: busy,
			}
			if b, ok := busy.Get(); ok {
				o.BusyRatio = series.Of(8 * b / float64(n))
			}
			n = a.Tick(at, o).DesiredReplicas
		}
		if n != 1 {
			t.Errorf("busy %v: 24 records/s at 100 a replica: got %d replicas, want 1", busy, n)
		}
	}
	// Nothing was ever seen to arrive.
	a := newTest(t, testConfig())
	n := 6
	for i := range 60 {
		at := start.Add(time.Duration(i+1) * 15 * time.Second)
		n = a.Tick(at, series.Observation{
			At: at, Interval: 15 * time.Second, ArrivalRecords: series.Of(0), LagRecords: series.Of(0), ReadyReplicas: series.OfInt(n), StartingReplicas: series.Of(0),
		}).DesiredReplicas
	}
	if n != 1 {
		t.Errorf("nothing arrived for 15 minutes: got %d replicas, want 1", n)
	}
}

// A release that halves what a replica does leaves a backlog, and what is seen of the slowest consumer meanwhile is set against a
// capacity that is no more: it may not outlast that capacity.
func TestACapacityThatHalvesIsFollowed(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 8, random: rand.New(rand.NewPCG(1, 7))}
	for range 960 {
		w.step(700)
	}
	w.heavy = 2
	for range 40 {
		w.step(700)
	}
	if n := w.counts[len(w.counts)-1]; n != 16 {
		t.Errorf("ten minutes after a replica does 50 records/s instead of 100: %d replicas, want the 16 that do 700: %v", n, w.counts[955:])
	}
	if most := slices.Max(w.counts[960:]); most > 24 {
		t.Errorf("on the way to the 16 that are needed: %d replicas, want 24 at most, for what is late already: %v", most, w.counts[955:])
	}
}

// Where nobody tells how busy replicas are the same is learned from a backlog, in more ticks. What is seen of the slowest consumer in these
// would make it too slow for ever: half as many replicas more.
func TestACapacityThatHalvesIsFollowedByBacklogAlone(t *testing.T) {
	for _, test := range []struct{ before, after int }{{8, 16}, {16, 32}} {
		partitions := 6 * test.before // each replica has 6, and then 3
		rate := 0.875 * perSecond * float64(test.before)
		w := &world{a: newTest(t, testConfig()), lead: 4, partitions: partitions, ready: test.before, random: rand.New(rand.NewPCG(1, 7))}
		w.hide = func(o *series.Observation) { o.BusyRatio = series.Missing }
		for range 480 {
			w.step(rate)
		}
		w.heavy = 2
		for range 480 {
			w.step(rate)
		}
		if n := w.counts[959]; w.counts[479] != test.before || n != test.after {
			t.Errorf("%d replicas, and two hours after each does 50 records/s instead of 100: %d, want %d and %d", w.counts[479], n, test.before, test.after)
		}
	}
}

// One replica where eight are needed: what waits when the others are there is drained in minutes, and not by all that are allowed.
func TestAColdStartOrdersWhatItNeeds(t *testing.T) {
	for _, lead := range []int{4, 20} {
		w := &world{a: newTest(t, testConfig()), lead: lead, partitions: 48, ready: 1, random: rand.New(rand.NewPCG(1, 7))}
		for range 240 {
			w.step(730)
		}
		if most := slices.Max(w.counts); most > 24 {
			t.Errorf("lead %d: up to %d replicas for the work of 7.3, want 24 at most: %v", lead, most, w.counts[:80])
		}
		if n := w.counts[239]; n != 8 {
			t.Errorf("lead %d: %d replicas after an hour, want 8", lead, n)
		}
	}
}

// Eight replicas where twelve are needed: how busy they are tells what one does, so that the first tick tells what is missing.
func TestAColdStartWaitsForNoLateRecord(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 8}
	for range 40 {
		w.step(1190)
	}
	if n := w.counts[0]; n < 12 || n > 16 {
		t.Errorf("the first tick asks for %d replicas, want the 12 that do 1,190 records/s, or 16: %v", n, w.counts)
	}
	if n := w.counts[39]; n > 16 {
		t.Errorf("ten minutes later: %d replicas, want 16 at most: %v", n, w.counts)
	}
}

// An hour's backlog, starts as quick as a tick, and nobody tells how busy replicas are: the first whole tick of as many tells what they
// do, and that is awaited. Half as many more were asked for in each tick, of which none was such a one.
func TestAColdStartLooksAtThoseThatHaveCome(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 1, partitions: 480, ready: 2, lag: 290 * 3600}
	w.hide = func(o *series.Observation) { o.BusyRatio = series.Missing }
	for range 12 {
		w.step(290)
	}
	ups, before := 0, 2
	for _, n := range w.counts {
		if n > before {
			ups++
		}
		before = n
	}
	if ups != 2 {
		t.Errorf("%d increases, want one by half and one to what drains the backlog: %v", ups, w.counts)
	}
}
