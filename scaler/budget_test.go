package scaler

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
)

// A day of work for seven replicas under a budget for four: it is told within the hour that the budget will not last, it is spent evenly
// enough never to end in a cliff, the lower bound stays paid for to the end, the binding rule is named, and the next day begins anew.
func TestBudgetThatBinds(t *testing.T) {
	config := testConfig()
	config.MinReplicas, config.BudgetReplicaHoursPerDay = 2, 96
	w := &world{a: newTest(t, config), lead: 4, partitions: 48, ready: 8}
	const ticksADay = 24 * 240
	spent, told, bound := 0.0, 0, 0
	for i := range ticksADay - 1 {
		before := w.ready + len(w.starting)
		d := w.step(700)
		spent += float64(before) / 240
		if d.DesiredReplicas < config.MinReplicas {
			t.Fatalf("tick %d: %d replicas, below replicas.min", i, d.DesiredReplicas)
		}
		if d.Reason == ReasonBudget || d.Reason == ReasonMinReplicas {
			bound++
			if !slices.Contains(d.Verdicts, VerdictBudgetBound) {
				t.Fatalf("tick %d: the budget binds and nothing says so", i)
			}
		}
		if i == 240 && told == 0 {
			t.Error("after an hour nothing says that the budget will not last")
		}
		if slices.Contains(d.Verdicts, VerdictBudgetBound) {
			told++
			if slices.Contains(d.Verdicts, VerdictLeadTimeTooLong) {
				t.Fatalf("tick %d: the budget binds and the lead time is named as well", i)
			}
		}
	}
	if bound == 0 {
		t.Error("the budget never bound")
	}
	if spent > 96+2 {
		t.Errorf("spent %v replica-hours of 96", spent)
	}
	for range 240 {
		w.step(700)
	}
	if n := w.counts[len(w.counts)-1]; n < 7 {
		t.Errorf("an hour into the next day: %d replicas, want the seven that the work takes", n)
	}
}

// Two days of arrivals that are twice as many by day, bursts among them, under nine tenths of what they are given without a budget: all of
// it is kept back a little, and none of the day is without.
func TestABudgetThatIsALittleShortIsSpreadOverTheDay(t *testing.T) {
	day := func(budget float64) (spent float64, late int, w *world) {
		config := testConfig()
		config.BudgetReplicaHoursPerDay = budget
		w = &world{a: newTest(t, config), lead: 4, partitions: 48, ready: 6, random: rand.New(rand.NewPCG(3, 7))}
		for i := range 2 * 24 * 240 {
			rate := 500 - 250*math.Cos(2*math.Pi*float64(i)/(24*240))
			if w.random.Float64() < 0.02 {
				rate *= 2
			}
			if i >= 24*240 {
				spent += float64(w.ready+len(w.starting)) / 240
			}
			if d := w.step(rate); i >= 24*240 && d.LagSeconds.Or(0) > config.ObjectiveLag.Seconds() {
				late++
			}
		}
		return spent, late, w
	}
	free, lateFree, _ := day(0)
	spent, late, w := day(0.9 * free)
	if spent > 0.9*free+1 {
		t.Errorf("spent %.1f replica-hours of %.1f", spent, 0.9*free)
	}
	if hour := 240; late > lateFree+hour/4 {
		t.Errorf("late for %d ticks, without a budget for %d: want no more than a quarter of an hour besides: %v", late, lateFree, w.counts[24*240:])
	}
}

// What the rest of a day asks for is what its hours asked for on the days before, and the mean where that is not known.
func TestTheRestOfADayIsKnownFromTheDaysBefore(t *testing.T) {
	midnight := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	var s spending
	for i := range 24 * 4 {
		n := 4.0
		if i >= 12*4 {
			n = 8
		}
		at := midnight.Add(time.Duration(i) * 15 * time.Minute)
		s.want(at, n)
		if i == 6*4+2 {
			if got := s.ahead(at); got != 17.5*4 {
				t.Errorf("at half past six on the first day: %g, want 17.5 hours of the 4 that were seen", got)
			}
		}
	}
	next := midnight.Add(30*time.Hour + 30*time.Minute)
	s.want(next, 6)
	if got := s.ahead(next); got != 0.5*6+5*4+12*8 {
		t.Errorf("at half past six on the second: %g, want half an hour of 6, five of 4 and twelve of 8", got)
	}
	if got := s.share(100, next); got != 100.0/119 {
		t.Errorf("of a budget for 100, on a day of which nothing is spent: a share of %g, want 100/119", got)
	}
}

func TestAffordableKeepsTheLowerBoundPaid(t *testing.T) {
	midnight := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		spent  float64
		budget float64
		lowest int
		hour   float64
		want   int
	}{
		{"a whole day left: an hour may take what is free", 0, 96, 2, 0, 2 + 48},
		{"half of it gone at noon", 48, 96, 2, 12, 2 + 24},
		{"nothing free", 72, 96, 2, 12, 2},
		{"more than all gone", 120, 96, 2, 12, 2},
		{"the last half hour may take what is left twice over", 90, 96, 2, 23.5, 2 + 10},
	} {
		s := spending{Day: midnight, ReplicaHours: tt.spent}
		if got := s.affordable(tt.budget, tt.lowest, midnight.Add(time.Duration(tt.hour*float64(time.Hour)))); got < tt.want-1 || got > tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
	// Yesterday's spending is not today's.
	s := spending{Day: midnight, ReplicaHours: 96}
	if got := s.affordable(96, 2, midnight.Add(24*time.Hour)); got < 49 {
		t.Errorf("the day after: got %d, want 50", got)
	}
}

// A schedule raises the lower bound a lead time ahead, so that the replicas are there when it begins; it crosses midnight, knows
// its time zone, and a budget does not undo it.
func TestSchedules(t *testing.T) {
	at := func(text string) time.Time {
		x, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	schedules, err := compileSchedules([]Schedule{
		{forecaster.Span{Start: "0 8 * * 1-5", Duration: 2 * time.Hour}, 10},
		{forecaster.Span{Start: "30 23 * * *", Duration: time.Hour}, 5},
		{forecaster.Span{Start: "0 9 * * 6", Duration: time.Hour, TimeZone: "America/New_York"}, 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		now  string
		want int
	}{
		{"2026-03-02 07:57", 0}, // Monday; the lead time is two minutes
		{"2026-03-02 07:58", 10},
		{"2026-03-02 09:59", 10},
		{"2026-03-02 10:00", 0},
		{"2026-03-01 08:30", 0}, // Sunday
		{"2026-03-02 23:45", 5},
		{"2026-03-03 00:15", 5},
		{"2026-03-03 00:30", 0},
		{"2026-03-07 14:30", 20}, // 9:30 in New York, in winter
		{"2026-03-14 13:30", 20}, // and in summer
	} {
		now := at(tt.now)
		if got := scheduledMin(schedules, now, now.Add(2*time.Minute)); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.now, got, tt.want)
		}
	}
	config := testConfig()
	config.Schedules = []Schedule{{forecaster.Span{Start: "0 0 * * *", Duration: 24 * time.Hour}, 10}}
	config.BudgetReplicaHoursPerDay = 24
	w := &world{a: newTest(t, config), lead: 4, partitions: 48, ready: 3}
	var d Decision
	for range 800 {
		d = w.step(100)
	}
	if d.DesiredReplicas != 10 || d.Reason != ReasonSchedule {
		t.Errorf("scheduled, with the budget gone: got %d because of %s, want 10 because of Schedule", d.DesiredReplicas, d.Reason)
	}
}
