package forecaster

import (
	"math/rand"
	"testing"
	"time"
)

// TestRecurrence checks On against every start in turn, at random times in no order, over both changes of a year's clocks.
func TestRecurrence(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		span   Span
		starts func(local time.Time) bool
	}{
		{Span{"0 9 * * *", 90 * time.Minute, "Europe/Paris"}, func(l time.Time) bool { return l.Hour() == 9 && l.Minute() == 0 }},
		{Span{"30 23 * * 6", 5 * time.Hour, "Europe/Paris"}, func(l time.Time) bool {
			return l.Weekday() == time.Saturday && l.Hour() == 23 && l.Minute() == 30
		}},
		{Span{"0 */2 * * *", 3 * time.Hour, "Europe/Paris"}, func(l time.Time) bool { return l.Hour()%2 == 0 && l.Minute() == 0 }}, // overlaps itself
		{Span{"0 0 30 2 *", time.Hour, ""}, func(time.Time) bool { return false }},
	} {
		r, err := tt.span.Compile()
		if err != nil {
			t.Fatal(err)
		}
		slow := func(at time.Time) bool {
			for s := at.Truncate(time.Minute); s.After(at.Add(-tt.span.Duration)); s = s.Add(-time.Minute) {
				if tt.starts(s.In(zone)) {
					return true
				}
			}
			return false
		}
		rng := rand.New(rand.NewSource(1))
		for _, day := range []time.Time{time.Date(2026, 3, 27, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 23, 0, 0, 0, 0, time.UTC)} {
			for range 300 {
				at := day.Add(time.Duration(rng.Intn(5*86400)) * time.Second)
				on, until := r.On(at)
				if want := slow(at); on != want {
					t.Fatalf("%+v at %v: got %t, want %t", tt.span, at.In(zone), on, want)
				}
				if !until.After(at) {
					t.Fatalf("%+v at %v: holds until %v, which is not later", tt.span, at, until)
				}
				within := at.Add(time.Duration(rng.Int63n(int64(min(until.Sub(at), 24*time.Hour)))))
				if slow(within) != on {
					t.Fatalf("%+v at %v: said %t until %v, and at %v it is not", tt.span, at, on, until, within)
				}
			}
		}
	}
}

func TestSpansThatAreRefused(t *testing.T) {
	for _, s := range []Span{
		{"", time.Hour, ""}, {"0 8 * *", time.Hour, ""}, {"0 25 * * *", time.Hour, ""}, {"@daily", time.Hour, ""},
		{"TZ=UTC 0 8 * * *", time.Hour, ""}, {"0 8 * * *", 0, ""}, {"0 8 * * *", 745 * time.Hour, ""}, {"0 8 * * *", time.Hour, "Atlantis"},
	} {
		if s.Validate("x") == nil {
			t.Errorf("%+v: no error", s)
		}
		if _, err := s.Compile(); err == nil {
			t.Errorf("%+v: compiled", s)
		}
	}
}
