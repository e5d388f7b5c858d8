package scaler

import (
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
)

// A day of work for seven replicas under a budget for four: it is spent evenly enough never to end in a cliff, the lower bound
// stays paid for to the end, the binding rule is named, and the next day begins anew.
func TestBudgetThatBinds(t *testing.T) {
	config := testConfig()
	config.MinReplicas, config.BudgetReplicaHoursPerDay = 2, 96
	w := &world{a: newTest(t, config), lead: 4, partitions: 48, ready: 8}
	const ticksADay = 24 * 240
	spent, bound := 0.0, 0
	for i := range ticksADay - 1 {
		before := w.ready + len(w.starting)
		d := w.step(700)
		spent += float64(before) / 240
		if d.DesiredReplicas < config.MinReplicas {
			t.Fatalf("tick %d: %d replicas, below replicas.min", i, d.DesiredReplicas)
		}
		if slices.Contains(d.Verdicts, VerdictBudgetBound) {
			bound++
			if d.Reason != ReasonBudget && d.Reason != ReasonMinReplicas {
				t.Fatalf("tick %d: the budget binds and the reason is %s", i, d.Reason)
			}
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
