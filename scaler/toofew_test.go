package scaler

import (
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// TestADecreaseThatIsTakenBackIsNotMadeAgain: from 8 to 7 replicas at 600 records/s forecast, and up again.
func TestADecreaseThatIsTakenBackIsNotMadeAgain(t *testing.T) {
	for _, tt := range []struct {
		name       string
		partitions int
		noise      float64       // relative, from tick to tick
		planned    int           // what the plan asks for from 7 on
		forecast   float64       // when it does
		stay       time.Duration // and how long after the decrease
		now        float64       // what is forecast later
		after      time.Duration // and how much
		want       int
	}{
		{"by chance", 48, 0.05, 8, 630, 10 * time.Minute, 600, 20 * time.Minute, 7},
		{"later", 48, 0.05, 8, 630, 10 * time.Minute, 600, 5 * time.Hour, 0},
		{"less arrives", 48, 0.05, 8, 630, 10 * time.Minute, 570, 20 * time.Minute, 0},
		{"more arrived", 48, 0.05, 8, 700, 10 * time.Minute, 600, 20 * time.Minute, 0},
		{"more arrived, by chance", 48, 0.2, 8, 700, 10 * time.Minute, 600, 20 * time.Minute, 7},
		{"less arrives, by chance", 48, 0.2, 8, 630, 10 * time.Minute, 570, 20 * time.Minute, 7},
		{"more than chance makes", 48, 0.2, 8, 730, 10 * time.Minute, 600, 20 * time.Minute, 0},
		{"less than chance makes", 48, 0.2, 8, 630, 10 * time.Minute, 560, 20 * time.Minute, 0},
		{"after hours", 48, 0.05, 8, 630, 2 * time.Hour, 600, 20 * time.Minute, 0},
		{"for a schedule", 48, 0.05, 7, 600, 10 * time.Minute, 600, 20 * time.Minute, 0},
		{"a long way up", 14, 0.05, 14, 630, 10 * time.Minute, 600, 20 * time.Minute, 7}, // 7 replicas have two partitions each, as have 8 to 13
		{"a long way up, an hour ago", 14, 0.05, 14, 630, 10 * time.Minute, 600, 61 * time.Minute, 0},
	} {
		s := State{Capacity: capacity{Mean: 100, Samples: 40}, Partitions: partitions{Count: tt.partitions}}
		s.Arrivals = recent{Level: 600, Noise: 0.8 * tt.noise * 600} // the mean of the errors of a normal variable
		s.Partitions.derive(96, 600, 100)
		s.noteChange(&Decision{At: start, CurrentReplicas: series.Of(8), DesiredReplicas: 7, planned: 7, sustained: 600}, 8)
		back := start.Add(tt.stay)
		s.noteChange(&Decision{At: back, CurrentReplicas: series.Of(7), DesiredReplicas: 8, planned: tt.planned, sustained: tt.forecast}, 7)
		if got := s.takenBack(tt.now, back.Add(tt.after)); got != tt.want {
			t.Errorf("%s: %d was taken back, want %d", tt.name, got, tt.want)
		}
	}
}

// TestAChangesOwnPauseIsNoStandstill: ticks of a second in which the group stands still for the change itself, or longer.
func TestAChangesOwnPauseIsNoStandstill(t *testing.T) {
	for _, tt := range []struct {
		seconds, want int
	}{{2, 7}, {10, 0}} {
		s := State{Capacity: capacity{Mean: 100, Samples: 40}, Partitions: partitions{Count: 48}, Arrivals: recent{Level: 600, Noise: 20}}
		s.Partitions.derive(96, 600, 100)
		o := series.Observation{Interval: time.Second, ReadyReplicas: series.Of(8)}
		s.Record(&Decision{At: start, CurrentReplicas: series.Of(8), DesiredReplicas: 7, planned: 7, sustained: 600}, &o)
		s.Promise.Stalled = true
		o.ReadyReplicas = series.Of(7)
		back := start.Add(time.Duration(tt.seconds) * time.Second)
		s.Record(&Decision{At: back, CurrentReplicas: series.Of(7), DesiredReplicas: 8, planned: 8, sustained: 605}, &o)
		if got := s.takenBack(600, back.Add(time.Minute)); got != tt.want {
			t.Errorf("after %d s: %d was taken back, want %d", tt.seconds, got, tt.want)
		}
	}
}

// TestWhatLiesBetweenIsTakenBackToo: from 40 to 35 of 480 partitions and back by chance. 37 would be tried next, for as little.
func TestWhatLiesBetweenIsTakenBackToo(t *testing.T) {
	for _, tt := range []struct{ planned, want int }{{37, 35}, {40, 37}, {44, 35}} { // 44 is more than a quarter more
		s := State{Capacity: capacity{Mean: 100, Samples: 40}, Partitions: partitions{Count: 480}, Arrivals: recent{Level: 3300}}
		s.Partitions.derive(96, 3300, 100)
		s.noteChange(&Decision{At: start, CurrentReplicas: series.Of(40), DesiredReplicas: 35, planned: 35, sustained: 3300}, 40)
		at := start.Add(10 * time.Minute)
		s.noteChange(&Decision{At: at, CurrentReplicas: series.Of(35), DesiredReplicas: tt.planned, planned: tt.planned, sustained: 3350}, 35)
		if got := s.takenBack(3300, at); got != tt.want {
			t.Errorf("for %d: %d are not gone down to, want %d", tt.planned, got, tt.want)
		}
	}
}

// TestADecreaseThatIsTakenBackByHabitIsNotMadeAgain: from 8 to 3 replicas and back whenever twice as much is forecast.
func TestADecreaseThatIsTakenBackByHabitIsNotMadeAgain(t *testing.T) {
	for _, tt := range []struct {
		name  string
		times int
		stay  time.Duration // of the decreases
		last  time.Duration // of the one before the last
		want  int
	}{
		{"every five minutes", 11, 4 * time.Minute, 4 * time.Minute, 3},
		{"not yet a habit", 10, 4 * time.Minute, 4 * time.Minute, 0},
		{"one stayed", 11, 4 * time.Minute, 20 * time.Minute, 0},
		{"every half hour", 11, 29 * time.Minute, 29 * time.Minute, 0},
	} {
		s := State{Capacity: capacity{Mean: 100, Samples: 40}, Partitions: partitions{Count: 48}}
		s.Arrivals = recent{Level: 300, Noise: 10}
		s.Partitions.derive(96, 300, 100)
		at := start
		for i := range tt.times {
			s.noteChange(&Decision{At: at, CurrentReplicas: series.Of(8), DesiredReplicas: 3, planned: 3, sustained: 300}, 8)
			at = at.Add(tt.stay)
			if i == tt.times-2 {
				at = at.Add(tt.last - tt.stay)
			}
			s.noteChange(&Decision{At: at, CurrentReplicas: series.Of(3), DesiredReplicas: 8, planned: 8, sustained: 600}, 3)
		}
		if got := s.takenBack(300, at.Add(time.Minute)); got != tt.want {
			t.Errorf("%s: %d was taken back, want %d", tt.name, got, tt.want)
		}
	}
}

// TestACountThatABacklogOfItsOwnLeavesIsTooFew: from 6 to 12 of 12 partitions for a backlog, at 595 records/s.
func TestACountThatABacklogOfItsOwnLeavesIsTooFew(t *testing.T) {
	measured, guessed := capacity{Mean: 100, Samples: 40}, capacity{LowerBound: 99}
	for _, tt := range []struct {
		name           string
		capacity       capacity
		settled, grows bool
		last           float64 // what the last tick brought
		want           int
	}{
		{"it had none before", measured, true, false, 595, 6},
		{"it was there before they were ready", measured, false, false, 595, 0},
		{"and they do not get it down", measured, false, true, 595, 6},
		{"for of late more arrives", measured, false, true, 700, 0},
		{"they do all that was ever seen", guessed, true, false, 595, 6}, // which is less than arrives
	} {
		s := State{
			Capacity: tt.capacity, Partitions: partitions{Count: 12}, Settled: tt.settled, Pace: pace{Grows: tt.grows},
			Arrivals: recent{Level: 595, Last: tt.last, Count: 100}, HasDesired: true, Desired: 6,
		}
		s.Partitions.derive(12, 595, 100)
		o := series.Observation{At: start, Interval: 15 * time.Second, ReadyReplicas: series.Of(6)}
		s.Record(&Decision{At: start, CurrentReplicas: series.Of(6), DesiredReplicas: 12, planned: 12, Reason: ReasonBacklog}, &o)
		if got := s.TooFew.Replicas; got != tt.want {
			t.Errorf("%s: %d were too few, want %d", tt.name, got, tt.want)
		}
	}
}

// TestAScheduleDoesNotEndATrial: what a schedule, or a latency, asks for on top of 7 that are tried is no sign that they were too few.
func TestAScheduleDoesNotEndATrial(t *testing.T) {
	for _, tt := range []struct {
		reason        Reason
		planned, want int
	}{{ReasonSchedule, 7, 0}, {ReasonLatency, 6, 0}, {ReasonForecast, 10, 7}} {
		s := State{Capacity: capacity{LowerBound: 99}, Partitions: partitions{Count: 48}, Tried: 7, HasDesired: true, Desired: 7}
		s.Record(&Decision{At: start, CurrentReplicas: series.Of(7), DesiredReplicas: 10, planned: tt.planned, Reason: tt.reason}, &series.Observation{ReadyReplicas: series.Of(7)})
		if got := s.TooFew.Replicas; got != tt.want {
			t.Errorf("%s for 10: %d were too few, want %d", tt.reason, got, tt.want)
		}
	}
}

// TestADrainDoesNotForgetATrial: 24 of 48 replicas were too few for 1,000 records/s when one was known to do 21. To drain what they left
// the 48 did 26 each, which is not the news that 24 do more.
func TestADrainDoesNotForgetATrial(t *testing.T) {
	config := testConfig()
	s := State{
		Capacity: capacity{LowerBound: 21}, Partitions: partitions{Count: 48}, Arrivals: recent{Level: 1000, Last: 1000, Count: 100},
		TooFew: tooFew{Replicas: 24, Rate: 1000, Load: 48, At: start}, Tried: 48, HasDesired: true, Desired: 48, LastReady: series.Of(48),
	}
	tick := func(i int, rate, each, lag float64) {
		s.Learn(&config, &series.Observation{
			At: start.Add(time.Duration(i) * 15 * time.Second), Interval: 15 * time.Second, ArrivalRecords: series.Of(rate * 15), ConsumedRecords: series.Of(48 * each * 15),
			LagRecords: series.Of(lag), LagSeconds: series.Of(lag / 1000), ReadyReplicas: series.Of(48), StartingReplicas: series.Of(0), Partitions: series.Of(48),
		})
	}
	tick(1, 1000, 21, 4000)
	tick(2, 1000, 26, 1000) // a fifth more than arrives
	for i := range 3 {
		tick(i+3, 1000, 1000.0/48, 0)
	}
	if few := s.tooFew(start.Add(time.Hour)); few != 24 || s.Tried != 0 || s.Capacity.shown() < 25.9 {
		t.Errorf("an hour later %d are too few, %d are tried and one does %g, want 24, none and 26", few, s.Tried, s.Capacity.shown())
	}
	for i := range 9 {
		tick(i+6, 1440, 30, 0)
	}
	tick(15, 1000, 1000.0/48, 0)
	if few := s.tooFew(start.Add(time.Hour)); few != 0 {
		t.Errorf("once each did 30 without a backlog: %d are too few, want none", few)
	}
}

// TestATrialWaitsWhereItCouldLeaveSomethingLate: 48 partitions, an objective of 30 s and ticks of 15 s.
func TestATrialWaitsWhereItCouldLeaveSomethingLate(t *testing.T) {
	for _, tt := range []struct {
		fewer, current int
		lead           float64
		want           float64
	}{
		{7, 8, 30, 120},  // a seventh too few for a minute: 9 s behind, of which 21 are room
		{1, 2, 30, 600},  // half of them for a minute: 30 s
		{7, 8, 250, 600}, // a seventh for nearly five minutes: 40 s
		{7, 8, 400, 800}, // two lead times
	} {
		config, tune := testConfig(), DefaultTuning()
		config.Interval, config.ObjectiveLag = 15*time.Second, 30*time.Second
		s := State{Partitions: partitions{Count: 48}}
		s.Partitions.derive(48, 600, 100)
		d := decider{config: &config, state: &s, tune: &tune}
		if got := d.quiet(tt.fewer, tt.current, tt.lead); got != tt.want {
			t.Errorf("%d instead of %d replicas with a lead time of %g s: after %g s, want %g", tt.fewer, tt.current, tt.lead, got, tt.want)
		}
	}
}

func TestACountThatWasTooFewIsNamedWhereItHoldsADecrease(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 480, ready: 12}
	for range 100 {
		w.step(600)
	}
	at := start.Add(100 * 15 * time.Second)
	observation := series.Observation{
		At: at, Interval: 15 * time.Second, ArrivalRecords: series.Of(600 * 15), LagRecords: series.Of(0),
		ReadyReplicas: series.Of(14), StartingReplicas: series.Of(0), Partitions: series.Of(480),
	}
	for _, tt := range []struct {
		few, want int
		detail    string
	}{
		{0, 0, ""},
		{10, 11, "with as much arriving, 10 were too few lately, or were tried and soon raised again: the count stays at 11"},
	} {
		s := w.a.state
		s.TooFew = tooFew{Replicas: tt.few, Rate: 600, Load: s.load(), At: at}
		d := Decide(at, Input{Config: &w.a.config, State: &s, Observation: &observation, Forecast: &w.a.forecast})
		detail := ""
		for _, term := range d.Terms {
			if term.Name == "hold" {
				detail = term.Detail
			}
		}
		if tt.few > 0 && d.DesiredReplicas != tt.want || detail != tt.detail {
			t.Errorf("%d too few: got %d and %q, want %d and %q", tt.few, d.DesiredReplicas, detail, tt.want, tt.detail)
		}
	}
}

// TestACountIsTooFewThoughNobodyTellsHowManyAreReady: seven of eight replicas, asked for two minutes ago, have a backlog that asks for
// eight. They are there at once; eight that were added to six would not be for a lead time.
func TestACountIsTooFewThoughNobodyTellsHowManyAreReady(t *testing.T) {
	for _, tt := range []struct {
		increase int
		ago      time.Duration
		few      int
	}{{-1, 30 * time.Second, 7}, {-1, 5 * time.Second, 0}, {1, 30 * time.Second, 0}, {1, 2 * time.Minute, 7}} {
		s := State{
			Capacity: capacity{Mean: 100, Samples: 40}, Partitions: partitions{Count: 48}, Arrivals: recent{Level: 650, Last: 650, Count: 100},
			HasDesired: true, Desired: 7, Changed: start.Add(-tt.ago), Increase: tt.increase, Settled: true,
		}
		s.Partitions.derive(48, 650, 100)
		s.Record(&Decision{At: start, DesiredReplicas: 8, planned: 8, Reason: ReasonBacklog, LeadTimeSeconds: series.Of(60)}, &series.Observation{Interval: 15 * time.Second})
		if got := s.tooFew(start); got != tt.few {
			t.Errorf("%d replicas %v ago: %d are too few, want %d", tt.increase, tt.ago, got, tt.few)
		}
	}
}

// TestAGroupThatStoodStillHadNotTooFew: 6 replicas of 12 partitions consume nothing of 520 records/s, as when what they call is down. It is
// said while it lasts, nothing is said of start-ups afterwards, and the 12 that drain what it left go when it is drained.
func TestAGroupThatStoodStillHadNotTooFew(t *testing.T) {
	for _, tt := range []struct {
		interval   time.Duration
		ticks      int
		first      float64 // what is consumed of what comes in the tick in which it begins
		rest       float64 // and then: of other partitions
		least, max int     // how often it is said
	}{
		{15 * time.Second, 80, 0, 0, 75, 78},
		{15 * time.Second, 80, 0.6, 0, 75, 77},
		{15 * time.Second, 80, 0.6, 0.6, 75, 77},
		{15 * time.Second, 2, 0, 0, 0, 0},
		{time.Minute, 20, 0, 0, 18, 18},
		{time.Minute, 20, 0.6, 0, 17, 17},
	} {
		config := testConfig()
		config.Interval = tt.interval
		w := &world{a: newTest(t, config), lead: int(time.Minute / tt.interval), partitions: 12, ready: 6}
		w.load(2*time.Hour, 520)
		said, most := 0, 0
		for i := range tt.ticks + int(time.Hour/tt.interval) {
			w.stalled, w.served, w.hide = i < tt.ticks, tt.rest, nil
			if i == 0 {
				w.served = tt.first
			}
			if w.stalled && tt.rest > 0 {
				w.hide = func(o *series.Observation) { o.LagSeconds = series.Of(float64(i+1) * tt.interval.Seconds()) }
			}
			d := w.step(520)
			most = max(most, d.DesiredReplicas)
			if slices.Contains(d.Verdicts, VerdictStalled) || slices.Contains(d.Verdicts, VerdictPartitionStalled) {
				said++
			}
			if slices.Contains(d.Verdicts, VerdictLeadTimeTooLong) {
				t.Errorf("%+v: tick %d: got %v, want nothing of start-ups", tt, i, d.Verdicts)
			}
		}
		if end := w.counts[len(w.counts)-1]; said < tt.least || said > tt.max || most != 12 || end != 6 {
			t.Errorf("%+v: said %d times, %d replicas at most, %d in the end with %+v too few; want 12 and 6", tt, said, most, end, w.a.state.TooFew)
		}
	}
}

// TestATrialSaysThatItIsOne, and not that the forecast asks for fewer: nobody tells how busy the 12 replicas are that do the work of 6.
func TestATrialSaysThatItIsOne(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 12}
	w.hide = func(o *series.Observation) { o.BusyRatio = series.Missing }
	trials := 0
	for i := range 400 {
		d := w.step(600)
		tries := slices.ContainsFunc(d.Terms, func(term Term) bool { return term.Name == "explore" })
		if fewer := d.DesiredReplicas < int(d.CurrentReplicas.Or(0)); tries && fewer != (d.Reason == ReasonTrial) || d.Reason == ReasonTrial && !tries {
			t.Fatalf("tick %d: %d replicas instead of %v (%s, %v)", i, d.DesiredReplicas, d.CurrentReplicas, d.Reason, d.Terms)
		}
		if d.Reason == ReasonTrial {
			trials++
		}
	}
	if trials == 0 {
		t.Error("no trial")
	}
}

// TestATrialWhoseReplicasAreLost: that all of them are gone, and nobody knows what waits, is not what was tried.
func TestATrialWhoseReplicasAreLost(t *testing.T) {
	for _, left := range []float64{0, 1} {
		w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 12}
		w.hide = func(o *series.Observation) { o.BusyRatio = series.Missing }
		var d Decision
		for i := 0; d.Reason != ReasonTrial; i++ {
			if d = w.step(600); i > 400 {
				t.Fatal("no trial")
			}
		}
		tried := d.DesiredReplicas
		w.hide = func(o *series.Observation) {
			o.BusyRatio, o.LagRecords, o.LagSeconds, o.ConsumedRecords = series.Missing, series.Missing, series.Missing, series.Missing
			o.ReadyReplicas, o.StartingReplicas = series.Of(left), series.Of(0)
		}
		for i := range 4 {
			if d = w.step(600); d.DesiredReplicas < tried {
				t.Errorf("%v replicas left, %d ticks later: %d are asked for (%s), want the %d that were tried: %v", left, i+1, d.DesiredReplicas, d.Reason, tried, d.Terms)
			}
		}
	}
}
