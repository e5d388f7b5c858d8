package scaler

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// Of start-ups with a deviation of 18 s all but one in twenty lie within 72 s of each other; what 32 of them tell of it is good to half.
func TestSpreadOfStartUps(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var s startups
	s.add(180)
	s.add(20)
	if got := s.spread(); got != 0 {
		t.Errorf("of two start-ups: got %g s, want 0", got)
	}
	sum := 0.0
	for i := range 320 {
		s.add(180 + 18*random.NormFloat64())
		if i%startupsKept == startupsKept-1 {
			got := s.spread()
			if sum += got; math.Abs(got-72) > 36 {
				t.Errorf("after %d start-ups: got %g s, want about 72", i+1, got)
			}
		}
	}
	if mean := sum / 10; math.Abs(mean-72) > 10 {
		t.Errorf("mean of ten: got %g s, want 72", mean)
	}
}

// Where replicas take between two and a half and three and a half minutes to start, dozens of them join one after the other, and what
// is asked for on a slight chance is no more than join in passing; the decision says so.
func TestReplicasThatJoinOneAfterTheOther(t *testing.T) {
	for _, tt := range []struct {
		seconds [2]float64
		want    int
		says    bool
	}{{[2]float64{180, 180}, 48, false}, {[2]float64{150, 210}, 24, true}} {
		w := &world{a: newTest(t, testConfig()), lead: 12, partitions: 48, ready: 16}
		for range 200 {
			w.step(1000)
		}
		s := w.a.State()
		s.Calibration = calibration{} // in a constant rate the paths narrow
		for i := range startupsKept {
			s.Lead.Plain.add(tt.seconds[i%2])
		}
		for i := range s.Wanted {
			s.Wanted[i] = 48 // it is no chance
		}
		forecast := *w.a.Forecast()
		forecast.PerStep = nil
		for range forecast.Steps {
			for _, x := range [5]float64{1, 1.05, 1.1, 1.15, 2} {
				forecast.PerStep = append(forecast.PerStep, 1000*x)
			}
		}
		at := start.Add(time.Duration(w.tick) * w.a.config.Interval)
		o := series.Observation{
			At: at, Interval: w.a.config.Interval, ArrivalRecords: series.Of(15000), ConsumedRecords: series.Of(15000), LagRecords: series.Of(0), LagSeconds: series.Of(0),
			ReadyReplicas: series.Of(16), StartingReplicas: series.Of(0), Partitions: series.Of(48), BusyRatio: series.Of(0.6),
		}
		d := Decide(at, Input{Config: &w.a.config, State: s, Observation: &o, Forecast: &forecast})
		says := slices.ContainsFunc(d.Terms, func(t Term) bool { return t.Name == "joins" && t.Amount == 48 && t.Detail != "" })
		if d.DesiredReplicas != tt.want || says != tt.says {
			t.Errorf("start-ups of %v s: %d replicas, says that they join one after the other: %v; want %d, %v", tt.seconds, d.DesiredReplicas, says, tt.want, tt.says)
		}
	}
}

// A start-up that waited for a node says for ten minutes, at any interval, that the next one waits as well.
func TestANodeIsExpectedForTenMinutes(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, 15 * time.Second, time.Minute} {
		var l leadTimes
		for range startupsNeeded {
			l.observe([]float64{30}, []float64{200}, 1, true, start, 60)
		}
		for at := interval; at < 15*time.Minute; at += interval {
			l.observe(nil, nil, 1, true, start.Add(at), 60)
			want := 200.0
			if at >= 10*time.Minute {
				want = 30
			}
			if got := l.usual(30, 1); got != want {
				t.Fatalf("at intervals of %v, %v after it: a lead time of %g s, want %g", interval, at, got, want)
			}
		}
	}
}

// Start-ups take 30 s, and two of an order hang. What is asked for a minute and a half later does not make them seem to be about to come:
// the lead time is as long as they have been waited for, to five times the usual at most.
func TestOneMoreDoesNotHideThoseThatHang(t *testing.T) {
	w := newTest(t, testConfig())
	s := w.State()
	for range startupsNeeded {
		s.Lead.Plain.add(30)
	}
	tick := func(i, starting int) float64 {
		at := start.Add(time.Duration(i) * w.config.Interval)
		o := series.Observation{
			At: at, Interval: w.config.Interval, ArrivalRecords: series.Of(6000), ConsumedRecords: series.Of(6000), LagRecords: series.Of(0),
			ReadyReplicas: series.Of(4), StartingReplicas: series.OfInt(starting), Partitions: series.Of(48), BusyRatio: series.Of(0.9),
		}
		s.Learn(&w.config, &o)
		return s.Lead.seconds(60, 4+starting)
	}
	ask := func(i, from, to int) {
		at := start.Add(time.Duration(i) * w.config.Interval)
		d := Decision{At: at, DesiredReplicas: to, CurrentReplicas: series.OfInt(from), LeadTimeSeconds: series.Of(30)}
		s.Record(&d, &series.Observation{At: at, Interval: w.config.Interval, ReadyReplicas: series.Of(4)})
	}
	tick(0, 0)
	ask(0, 4, 4)
	ask(0, 4, 6)
	for i := 1; i <= 14; i++ {
		starting := 2
		if i > 6 {
			starting = 3
		}
		want := min(max(15*float64(i), 30), 150)
		if got := tick(i, starting); got != want {
			t.Errorf("%d s after the order: a lead time of %g s, want %g", 15*i, got, want)
		}
		if i == 6 {
			ask(i, 6, 7)
		}
	}
}

// Before any start-up was seen one that takes as long as was assumed is expected after as long again, reckoned from the oldest that is
// waited for; the first of a group at zero, whose own time may be known, is not.
func TestAStartOfUnknownLengthMayTakeAsLongAgain(t *testing.T) {
	for _, c := range []struct {
		from           int
		waited, oldest time.Duration
		want           float64
	}{
		{4, 45 * time.Second, 45 * time.Second, 60},
		{4, 60 * time.Second, 60 * time.Second, 120},
		{4, 15 * time.Second, 90 * time.Second, 180},
		{4, 15 * time.Second, 20 * time.Minute, mostWaiting * 60},
		{0, 75 * time.Second, 75 * time.Second, 75},
	} {
		at := start.Add(time.Hour)
		l := leadTimes{OrderedAt: at.Add(-c.waited), OrderedFrom: c.from, OrderedTo: 6}
		l.observe(nil, nil, float64(c.from), true, at, 60)
		l.hangs(at.Add(-c.oldest), at, 60, 6)
		if got := l.seconds(60, c.from); got != c.want {
			t.Errorf("from %d replicas, %v after the order and %v after the oldest: a lead time of %g s, want %g", c.from, c.waited, c.oldest, got, c.want)
		}
	}
}

// Nineteen start-ups that an outage kept for up to 1,938 s teach as much as one of five times the usual, and starts that have become ten
// times as long are learned within a few increases.
func TestAnOutageIsNoLeadTime(t *testing.T) {
	for _, before := range []int{startupsNeeded, startupsKept} {
		var l leadTimes
		for range before {
			l.observe([]float64{60}, nil, 1, true, start, 60)
		}
		at := start.Add(time.Hour)
		for i := range 19 { // they come over three minutes
			l.observe([]float64{1758 + 10*float64(i)}, nil, 1, true, at.Add(time.Duration(10*i)*time.Second), 60)
		}
		if got := l.usual(60, 1); got > mostWaiting*60 {
			t.Errorf("%d start-ups of 60 s, and 19 that hung: a lead time of %g s, want %d at most", before, got, mostWaiting*60)
		}
		for range 10 {
			l.observe([]float64{60}, nil, 1, true, at.Add(time.Hour), 60)
		}
		if got := l.usual(60, 1); got != 60 {
			t.Errorf("%d start-ups of 60 s, 19 that hung and ten of 60 s: a lead time of %g s, want 60", before, got)
		}
		for i := range 8 {
			at := at.Add(time.Duration(i+2) * time.Hour)
			l.observe([]float64{600, 600, 600}, nil, 1, true, at, 60)
		}
		if got := l.usual(60, 1); got != 600 {
			t.Errorf("after eight increases of three replicas that took 600 s: a lead time of %g s, want 600", got)
		}
	}
}

// Of a service that starts in a second one that takes half a minute, for want of its image, is no outage.
func TestAQuickStartMayTakeLongerAtOnce(t *testing.T) {
	var l leadTimes
	for range startupsKept {
		l.observe([]float64{1}, nil, 1, true, start, 60)
	}
	l.observe([]float64{30, 30, 30, 30}, nil, 1, true, start.Add(time.Hour), 60)
	if got := l.usual(60, 1); got != 30 {
		t.Errorf("got a lead time of %g s, want 30", got)
	}
}

// TestWhatNobodyCarriesOutIsAskedForSteadily: an HPA whose maxReplicas is less than the policy's, or whose tolerance swallows what is asked
// for. It is said so, and not that the replicas were ineffective, or slow to start; and what is asked for stays the same.
func TestWhatNobodyCarriesOutIsAskedForSteadily(t *testing.T) {
	for _, most := range []int{5, 7} {
		w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 5, random: rand.New(rand.NewPCG(1, 7))}
		const late, released = 120, 600
		changes := 0
		for i := range released + 40 {
			d := w.step(830)
			if room := max(0, most-w.ready); i < released && len(w.starting) > room {
				w.starting = w.starting[:room]
			}
			if i >= late && i <= released && d.DesiredReplicas != w.counts[i-1] {
				changes++
			}
			if says := slices.Contains(d.Verdicts, VerdictUnheeded); says != (i >= late) && (i < 8 || i >= late) && i <= released {
				t.Fatalf("up to %d replicas, tick %d: verdicts %v", most, i, d.Verdicts)
			}
			if slices.Contains(d.Verdicts, VerdictIneffective) || i >= late && i <= released && slices.Contains(d.Verdicts, VerdictLeadTimeTooLong) {
				t.Fatalf("up to %d replicas, tick %d: verdicts %v", most, i, d.Verdicts)
			}
			if i > released+1 && slices.Contains(d.Verdicts, VerdictUnheeded) {
				t.Fatalf("tick %d: it is carried out since %d: verdicts %v", i, released, d.Verdicts)
			}
		}
		if changes > 2 {
			t.Errorf("up to %d replicas: what is asked for changed %d times: %v", most, changes, w.counts[late:released])
		}
	}
}
