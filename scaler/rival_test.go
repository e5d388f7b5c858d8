package scaler

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// feed tells r of every x a forecast of 1000 with a deviation of 10, and of the last value with the same.
func (r *rivals) feed(x ...float64) {
	last := 1000.0
	for _, x := range x {
		var next [pathCount]float64
		for j := range next {
			next[j] = 1000 + 10*gaussian[j]
		}
		r.note(next, last, 10)
		r.observe(x)
		if !math.IsNaN(x) {
			last = x
		}
	}
}

func TestAForecastThatDoesNotFollowAStepHasLost(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	level := func(mean float64, n int) (x []float64) {
		for range n {
			x = append(x, mean+10*random.NormFloat64())
		}
		return x
	}
	for _, tt := range []struct {
		name string
		x    []float64
		lost bool
	}{
		{"as forecast", level(1000, 200), false},
		{"a spike", append(level(1000, 50), 5000), false},
		{"and after it", append(append(level(1000, 50), 5000), level(1000, 1)...), false},
		{"a step", append(level(1000, 50), level(1300, 3)...), true},
		{"a step that has just come", append(level(1000, 50), 1300), false},
		{"a step down, which costs and is not late", append(level(1000, 50), level(500, 5)...), false},
		{"a step and back", append(append(level(1000, 50), level(2000, 5)...), level(1000, 60)...), false},
		{"ticks that are not known", append(level(1000, 50), 1300, math.NaN(), math.NaN()), false},
	} {
		var r rivals
		r.feed(tt.x...)
		if r.Lost != tt.lost {
			t.Errorf("%s: lost %v, want %v (losses %v and %v)", tt.name, r.Lost, tt.lost, r.Forecast, r.Last)
		}
	}
}

func TestTheLevelFollowsAStepWithTheSecondTick(t *testing.T) {
	var r recent
	for i := range 50 {
		r.observe(series.Of(1000 + float64(i%2)))
	}
	noise := r.Noise
	r.observe(series.Of(2000))
	if r.Level > 1500 {
		t.Errorf("after one tick: level %v, want less than half of the way", r.Level)
	}
	r.observe(series.Of(2010))
	if r.Level != 2010 || r.Noise > noise+0.05*1001 {
		t.Errorf("after two ticks: level %v and noise %v, want 2010 and no noise of the second", r.Level, r.Noise)
	}
}

// TestACountThatWasTooFewIsNotGoneBackTo: seven replicas do on average what arrives, but the slowest of them does not.
func TestACountThatWasTooFewIsNotGoneBackTo(t *testing.T) {
	for _, tt := range []struct {
		name           string
		rate, capacity float64
		after          time.Duration
		want           int
	}{
		{"as much arrives", 650, 100, time.Hour, 7},
		{"chance", 640, 100, time.Hour, 7},
		{"more arrives", 800, 100, time.Hour, 7},
		{"less arrives", 620, 100, time.Hour, 0},
		{"the estimate of what a replica does settles", 650, 105, time.Hour, 7},
		{"a replica does more", 650, 115, time.Hour, 0},
		{"a day later", 650, 100, 25 * time.Hour, 0},
	} {
		s := State{TooFew: tooFew{Replicas: 7, Rate: 650, Load: 6.5, At: start}, Arrivals: recent{Level: tt.rate}, Capacity: capacity{Mean: tt.capacity, Samples: 40}}
		if got := s.tooFew(start.Add(tt.after)); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestWhereTheForecastLostRecentArrivalsDecide(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 480, ready: 8}
	for range 100 {
		w.step(600)
	}
	w.a.state.Arrivals.Level = 1200
	observation := series.Observation{
		At: start.Add(100 * 15 * time.Second), Interval: 15 * time.Second, ArrivalRecords: series.Of(1200 * 15), LagRecords: series.Of(0),
		ReadyReplicas: series.Of(8), StartingReplicas: series.Of(0), Partitions: series.Of(480),
	}
	decide := func() Decision {
		return Decide(observation.At, Input{Config: &w.a.config, State: &w.a.state, Observation: &observation, Forecast: &w.a.forecast})
	}
	if d := decide(); d.DesiredReplicas > 8 || d.Reason == ReasonReactive {
		t.Errorf("forecast of 600 that has not lost: %d replicas (%s), want 8 at most by the forecast", d.DesiredReplicas, d.Reason)
	}
	w.a.state.Rivals.Lost = true
	d := decide()
	if d.DesiredReplicas < 12 || d.Reason != ReasonReactive || !slices.Contains(d.Verdicts, VerdictForecastUntrusted) {
		t.Errorf("forecast of 600 that lost to 1200: %d replicas (%s, %v), want 12 or more, Reactive and ForecastUntrusted", d.DesiredReplicas, d.Reason, d.Verdicts)
	}
	w.a.state.Increase, observation.ReadyReplicas = 1, series.Of(10) // more than half of what is wanted, so no panic
	for _, tt := range []struct {
		since time.Duration
		held  bool
	}{{5 * time.Second, true}, {14990 * time.Millisecond, false}, {15 * time.Second, false}} {
		w.a.state.Changed = observation.At.Add(-tt.since)
		if d := decide(); (d.DesiredReplicas == 10) != tt.held {
			t.Errorf("%v after an increase, at an interval of 15 s: %d replicas of 10; want them kept: %v", tt.since, d.DesiredReplicas, tt.held)
		}
	}
}

// While no more than half of what was asked for is ready, the forecast is at its widest since the step that asked for it: less than a
// quarter more waits, much more does not.
func TestALittleMoreWaitsWhileMostIsStillToCome(t *testing.T) {
	for _, tt := range []struct{ ready, want, get int }{{10, 24, 20}, {10, 25, 25}, {11, 24, 24}} {
		config := testConfig()
		s := State{Increase: 10, Desired: 20, Changed: start.Add(-5 * time.Minute)}
		d := decider{Decision: &Decision{}, config: &config, state: &s}
		if n := d.postpone(&choice{current: 20, scene: &scene{ready: tt.ready}}, tt.want, start); n != tt.get {
			t.Errorf("%d of 20 are ready and %d are wanted: got %d, want %d", tt.ready, tt.want, n, tt.get)
		}
	}
}

// What the pause of replicas that have just come leaves waiting asks for one more, which waits; much more does not.
func TestALittleMoreWaitsUntilThoseThatCameAreSeenAtWork(t *testing.T) {
	for _, tt := range []struct {
		interval, came time.Duration
		ready          int
		held           bool
	}{
		{15 * time.Second, 0, 11, true},
		{15 * time.Second, 14990 * time.Millisecond, 11, false},
		{5 * time.Second, 10 * time.Second, 11, true},
		{5 * time.Second, 15 * time.Second, 11, false},
		{time.Minute, 0, 11, true},
		{time.Minute, time.Minute, 11, false},
		{15 * time.Second, 0, 8, false}, // a half more
	} {
		config := testConfig()
		config.Interval = tt.interval
		a, err := NewAutoscaler(config, &levelModel{step: tt.interval})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{a: a, lead: 4, partitions: 480, ready: tt.ready}
		for range 100 {
			w.step(600)
		}
		s := &w.a.state
		o := series.Observation{
			At: s.At, Interval: tt.interval, ArrivalRecords: series.Of(1200 * tt.interval.Seconds()), LagRecords: series.Of(0),
			ReadyReplicas: series.OfInt(tt.ready), StartingReplicas: series.Of(0), Partitions: series.Of(480),
		}
		s.Arrivals.Level, s.Rivals.Lost = 1200, true
		s.Increase, s.Changed, s.Came = 1, o.At.Add(-10*time.Minute), o.At.Add(-tt.came)
		d := Decide(o.At, Input{Config: &config, State: s, Observation: &o, Forecast: &w.a.forecast})
		if (d.DesiredReplicas == tt.ready) != tt.held {
			t.Errorf("%v after they came, at an interval of %v: %d replicas of %d; want them kept: %v", tt.came, tt.interval, d.DesiredReplicas, tt.ready, tt.held)
		}
	}
}

// An orchestrator looks every 15 s: until then an increase must not be withdrawn, whatever the interval.
func TestAnIncreaseStandsUntilItIsCarriedOut(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, 5 * time.Second, 15 * time.Second} {
		config := testConfig()
		config.Interval = interval
		a, err := NewAutoscaler(config, &levelModel{step: interval})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{a: a, lead: int(time.Minute / interval), partitions: 480, ready: 11}
		for range 200 {
			w.step(600)
		}
		before, ordered, since := w.ready, 0, time.Duration(0)
		for range int(3 * time.Minute / interval) {
			n := w.step(760).DesiredReplicas
			w.starting = nil // nobody looked
			if ordered > 0 {
				since += interval
			}
			if n < ordered {
				t.Errorf("at an interval of %v: %d replicas %v after %d were ordered instead of %d", interval, n, since, ordered, before)
			}
			if n < ordered || since >= 15*time.Second {
				break
			}
			if n > before {
				ordered = n
			}
		}
		if ordered == 0 {
			t.Errorf("at an interval of %v: nothing was ordered on top of %d, want an increase", interval, before)
		}
	}
}

// A step leaves a backlog to what was ordered against it: that one more is asked for until it is gone is no sign of too few.
func TestABacklogThatWasThereBeforeDoesNotMakeACountTooFew(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 480, ready: 15}
	for range 100 {
		w.step(1100)
	}
	s := &w.a.state
	observe := func(ready int, lag float64) series.Observation {
		return series.Observation{
			At: s.At.Add(15 * time.Second), Interval: 15 * time.Second, ArrivalRecords: series.Of(1100 * 15), ConsumedRecords: series.Of(1100 * 15),
			LagRecords: series.Of(lag), LagSeconds: series.Of(lag / 1100), ReadyReplicas: series.OfInt(ready), StartingReplicas: series.Of(0),
			Partitions: series.Of(480),
		}
	}
	s.TooFew = tooFew{}
	for _, tt := range []struct {
		name  string
		ready int
		lag   float64
		asks  Reason
		want  int
	}{
		{"they have just started", 16, 40000, ReasonBacklog, 0},
		{"the backlog is drained", 16, 30000, ReasonBacklog, 0},
		{"it is gone", 16, 0, ReasonHold, 0},
		{"one comes of itself", 16, 20000, ReasonBacklog, 16},
	} {
		o := observe(tt.ready, tt.lag)
		s.Learn(&w.a.config, &o)
		s.Record(&Decision{At: o.At, CurrentReplicas: series.OfInt(tt.ready), DesiredReplicas: tt.ready + 1, Reason: tt.asks}, &o)
		if s.TooFew.Replicas != tt.want {
			t.Fatalf("%s: got %d too few, want %d", tt.name, s.TooFew.Replicas, tt.want)
		}
	}
}
