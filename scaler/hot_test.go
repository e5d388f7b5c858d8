package scaler

import (
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// fair is a group of consumers with contiguous runs of partitions, each of which serves what waits on its partitions in equal
// parts. Nobody tells what arrives on which partition.
type fair struct {
	a        *Autoscaler
	at       time.Time
	ready    int
	rate     float64
	starting int
	shares   []float64 // of the arrivals
	lags     []float64
	stuck    int     // a partition that nobody reads, -1 for none
	slow     float64 // what the first consumer does of what the others do
}

func newFair(t *testing.T, count, ready int) *fair {
	g := &fair{a: newTest(t, testConfig()), at: start, ready: ready, rate: 400, shares: make([]float64, count), lags: make([]float64, count), stuck: -1, slow: 1}
	g.first(1 / float64(count))
	return g
}

// first gives the first partition a share of the arrivals, and the others the rest in equal parts.
func (g *fair) first(share float64) {
	for p := range g.shares {
		g.shares[p] = (1 - share) / float64(len(g.shares)-1)
	}
	g.shares[0] = share
}

func (g *fair) tick(rate float64) Decision {
	const interval = 15.0
	count, at, consumed, busy := len(g.lags), 0, 0.0, 0.0
	for c := range g.ready {
		size := count / g.ready
		if c < count%g.ready {
			size++
		}
		can := perSecond * interval
		if c == 0 {
			can *= g.slow
		}
		left := can
		for range size {
			waiting := 0
			for p := at; p < at+size; p++ {
				if g.lags[p]+g.shares[p]*rate*interval > 0 && p != g.stuck {
					waiting++
				}
			}
			part := left / float64(max(waiting, 1))
			for p := at; p < at+size; p++ {
				if p != g.stuck {
					x := min(part, max(0, g.lags[p]+g.shares[p]*rate*interval))
					g.lags[p], left, consumed = g.lags[p]-x, left-x, consumed+x
				}
			}
		}
		busy += (can - left) / can / float64(g.ready)
		at += size
	}
	g.at = g.at.Add(interval * time.Second)
	o := series.Observation{
		Policy: "default/test", At: g.at, Interval: interval * time.Second, ArrivalRecords: series.Of(rate * interval), ConsumedRecords: series.Of(consumed),
		ReadyReplicas: series.OfInt(g.ready), StartingReplicas: series.OfInt(max(g.starting, 0)), Partitions: series.OfInt(count), BusyRatio: series.Of(busy),
	}
	lag, age := 0.0, 0.0
	for p := range g.lags {
		g.lags[p] += g.shares[p] * rate * interval
		lag, age = lag+g.lags[p], max(age, g.lags[p]/(g.shares[p]*rate))
		o.PartitionLagRecords = append(o.PartitionLagRecords, series.Of(g.lags[p]))
	}
	o.LagRecords, o.LagSeconds = series.Of(lag), series.Of(age)
	return g.a.Tick(g.at, o)
}

func TestAHotPartitionIsSeenByItsBacklogAlone(t *testing.T) {
	const before = 40
	for _, test := range []struct {
		name   string
		change func(*fair)
		hot    bool
	}{
		{"a third more than a replica's work on one", func(g *fair) { g.first(1. / 3) }, true}, // falls behind by 1.7 times the mean
		{"1.6 replicas' work on one", func(g *fair) { g.first(0.4) }, true},
		{"two replicas' work on one", func(g *fair) { g.first(0.5) }, true},
		{"nine tenths on one", func(g *fair) { g.first(0.9) }, true},
		{"half a replica's work on one", func(g *fair) { g.first(0.125) }, false},
		{"one that nobody reads", func(g *fair) { g.stuck = 0 }, false},
		{"one that gets twice as much and nobody reads", func(g *fair) { g.first(2. / 12); g.stuck = 0 }, false},
		{"one consumer at a fifth of the pace", func(g *fair) { g.slow = 0.2 }, false},
		{"an overload on all alike", func(g *fair) { g.ready = 3 }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newFair(t, 12, 6)
			for i := range before {
				if d := g.tick(g.rate); slices.Contains(d.Verdicts, VerdictHotPartition) {
					t.Fatalf("tick %d: evenly spread: %v", i, d.Verdicts)
				}
			}
			test.change(g)
			for i := range 20 {
				d := g.tick(g.rate)
				if got := slices.Contains(d.Verdicts, VerdictHotPartition); got != (test.hot && i > 0) {
					t.Fatalf("%d ticks after the change: HotPartition is %v: %v", i+1, got, d.Verdicts)
				}
				if test.hot && d.DesiredReplicas > g.ready {
					t.Fatalf("%d ticks after the change: %d replicas for a hot partition", i+1, d.DesiredReplicas)
				}
			}
			if !test.hot {
				return
			}
			g.first(1. / 12)
			for range 200 {
				g.ready = g.tick(g.rate).DesiredReplicas
			}
			if d := g.tick(g.rate); slices.Contains(d.Verdicts, VerdictHotPartition) {
				t.Errorf("evenly spread again: %v", d.Verdicts)
			}
		})
	}
}

// What a sooner start would not mend is not put down to the lead time, and what has not started yet is not ineffective.
func TestALateRecordIsNotPutDownToWhatIsNotItsCause(t *testing.T) {
	for _, test := range []struct {
		name   string
		most   int // replicas.max
		pause  bool
		change func(*fair)
		want   Verdict // empty where the lead time is the cause
	}{
		{"a hot partition", 12, false, func(g *fair) { g.first(0.5) }, VerdictHotPartition},
		{"replicas.max", 6, false, func(g *fair) { g.rate = 900 }, VerdictMaxBound},
		{"the partitions", 48, false, func(g *fair) { g.rate = 1500 }, VerdictPartitionBound},
		{"paused", 12, true, func(g *fair) { g.rate = 900 }, ""},
		{"a start of ten minutes", 12, false, func(g *fair) { g.rate = 900 }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newFair(t, 12, 6)
			g.a.config.MaxReplicas, g.a.config.Paused = test.most, test.pause
			for range 40 {
				g.tick(g.rate)
			}
			test.change(g)
			var seen []Verdict
			for i := range 40 {
				d := g.tick(g.rate)
				seen = append(seen, d.Verdicts...)
				g.starting = d.DesiredReplicas - g.ready
				if i > 20 && test.want != "" && !slices.Contains(d.Verdicts, test.want) {
					t.Fatalf("tick %d: %v, want %s", i, d.Verdicts, test.want)
				}
			}
			if got, want := slices.Contains(seen, VerdictLeadTimeTooLong), test.want == "" && !test.pause; got != want {
				t.Errorf("LeadTimeTooLong: got %v, want %v", got, want)
			}
			if slices.Contains(seen, VerdictIneffective) {
				t.Error("Ineffective, while all that was ordered still starts")
			}
		})
	}
}

// TestWhatNobodyReadsIsNotPutDownToTheLeadTime: one partition stands still for an hour, and is then drained by its one consumer. Other
// replicas would do nothing for it, however soon they start.
func TestWhatNobodyReadsIsNotPutDownToTheLeadTime(t *testing.T) {
	g := newFair(t, 12, 6)
	for range 40 {
		g.tick(g.rate)
	}
	g.stuck = 0
	old := 0
	for i := range 300 {
		if i == 240 {
			g.stuck = -1
		}
		d := g.tick(g.rate)
		if d.LagSeconds.Or(0) <= 180 {
			continue
		}
		if old++; slices.Contains(d.Verdicts, VerdictLeadTimeTooLong) {
			t.Fatalf("tick %d, the oldest record %v s old: %v", i, d.LagSeconds, d.Verdicts)
		}
	}
	if old < 250 {
		t.Errorf("%d ticks with a record older than any start, want most of them", old)
	}
}

// TestWhatMaxHasLeftIsPutDownToIt: six replicas fall behind for twenty minutes under nine replicas' work and then have twenty
// minutes' more to do, with three replicas' arriving. That they are all that is allowed is why records are late.
func TestWhatMaxHasLeftIsPutDownToIt(t *testing.T) {
	g := newFair(t, 12, 6)
	g.a.config.MaxReplicas = 6
	for range 40 {
		g.tick(300)
	}
	for range 80 {
		g.tick(900)
	}
	late := 0
	for i := range 160 {
		d := g.tick(300)
		if i < 2*warmTicks {
			continue // the forecast still expects more
		}
		behind, got := d.LagSeconds.Or(0), slices.Contains(d.Verdicts, VerdictMaxBound)
		if behind > 90 {
			late++
		}
		if want := behind > 90; got != want && (want || behind <= 30) { // what six get rid of in 90 s takes no more
			t.Fatalf("%d ticks after the peak, %v s behind: MaxBound is %v", i, behind, got)
		}
	}
	if late < 20 || g.ready != 6 {
		t.Errorf("late in %d ticks with %d replicas, want a backlog that takes six long", late, g.ready)
	}
}

// What a backlog told of the hottest partition has no say once the arrivals of each are observed.
func TestTheHottestPartitionIsTheOneThatIsObserved(t *testing.T) {
	p := partitions{Count: 2, ByLag: hotByLag{WorstRate: 0.9}}
	if got := p.hottest(100); got != 90 {
		t.Errorf("by the backlog alone: got %v, want 90", got)
	}
	p.observe(series.Of(2), []series.Value{series.Of(50), series.Of(50)})
	if got := p.hottest(100); got != 50 {
		t.Errorf("with observed arrivals: got %v, want 50", got)
	}
}

// TestAHotPartitionIsSeenWhileAllElseIsNew: four replicas, of which the first has a partition that gets 1.3 times what it can do, and
// nothing known. Two ticks tell; none is added for what it leaves, and the four are not too few for that.
func TestAHotPartitionIsSeenWhileAllElseIsNew(t *testing.T) {
	g := newFair(t, 12, 4)
	g.rate = 240
	g.first(0.55)
	for i := range 12 {
		d := g.tick(g.rate)
		if got := slices.Contains(d.Verdicts, VerdictHotPartition); i > 0 && !got {
			t.Errorf("tick %d: %v", i, d.Verdicts)
		}
		if d.DesiredReplicas > 4 || g.a.state.TooFew.Replicas > 0 {
			t.Errorf("tick %d: %d replicas, %d are too few", i, d.DesiredReplicas, g.a.state.TooFew.Replicas)
		}
	}
	if n := g.a.state.Desired; n != 3 {
		t.Errorf("%d replicas in the end, want 3", n)
	}
}
