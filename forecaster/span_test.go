package forecaster

import (
	"fmt"
	"math/rand"
	"strings"
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
		{Span{"0 9 * * 7", time.Hour, "Europe/Paris"}, func(l time.Time) bool { return l.Weekday() == time.Sunday && l.Hour() == 9 && l.Minute() == 0 }},
		{Span{"0 9 * * 3,5-7/2", time.Hour, "Europe/Paris"}, func(l time.Time) bool {
			return (l.Weekday() == time.Wednesday || l.Weekday() == time.Friday || l.Weekday() == time.Sunday) && l.Hour() == 9 && l.Minute() == 0
		}},
		{Span{"0 0 29 2 *", time.Hour, "Europe/Paris"}, func(time.Time) bool { return false }}, // not in 2026
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

func TestASpanMayLastAMonth(t *testing.T) {
	if err := (Span{"0 8 1 * *", maxSpan, ""}).Validate("x"); err != nil {
		t.Error(err)
	}
}

func TestSpansThatAreRefused(t *testing.T) {
	for _, tt := range []struct {
		span Span
		says string
	}{
		{Span{"", time.Hour, ""}, `x.start: "": has 0 fields: want five such as "0 8 * * 1-5"`},
		{Span{"0 8 * *", time.Hour, ""}, "has 4 fields"},
		{Span{"@daily", time.Hour, ""}, "has 1 fields"},
		{Span{"TZ=UTC 0 8 * * *", time.Hour, ""}, "has 6 fields"},
		{Span{"TZ=UTC 8 * * *", time.Hour, ""}, `minute "TZ=UTC": want 0 to 59`},
		{Span{"@every 1h * * *", time.Hour, ""}, `minute "@every": want 0 to 59`},
		{Span{"60 8 * * *", time.Hour, ""}, `x.start: "60 8 * * *": minute "60": want 0 to 59`},
		{Span{"0 25 * * *", time.Hour, ""}, `hour "25": want 0 to 23`},
		{Span{"0 17-9 * * *", time.Hour, ""}, `hour "17-9": want 0 to 23, a range upwards`},
		{Span{"0 8 0 * *", time.Hour, ""}, `day of month "0": want 1 to 31`},
		{Span{"0 8 , * *", time.Hour, ""}, `day of month ",": want 1 to 31`},
		{Span{"0 8 * 13 *", time.Hour, ""}, `month "13": want 1 to 12 or jan to dec`},
		{Span{"0 8 * * 1,8", time.Hour, ""}, `day of week "1,8": want 0 to 7 or sun to sat, 0 and 7 being Sunday`},
		{Span{"0 8 * * 6-8", time.Hour, ""}, `day of week "6-8"`},
		{Span{"0 8 * * 5-7/0", time.Hour, ""}, `day of week "5-7/0"`},
		{Span{"0 8 31 2 *", time.Hour, ""}, `x.start: "0 8 31 2 *": never fires: day of month "31" does not come in month "2"`},
		{Span{"0 8 31 4,6 *", time.Hour, ""}, "never fires"},
		{Span{"0 8 * * *", 0, ""}, "x.duration: 0s: want more than 0"},
		{Span{"0 8 * * *", 745 * time.Hour, ""}, "x.duration: 745h0m0s: want"},
		{Span{"0 8 * * *", time.Hour, "Atlantis"}, `x.timeZone: "Atlantis": want an IANA name`},
	} {
		if err := tt.span.Validate("x"); !strings.Contains(fmt.Sprint(err), tt.says) {
			t.Errorf("%+v: got %v, want it to say %s", tt.span, err, tt.says)
		}
		if _, err := tt.span.Compile(); err == nil {
			t.Errorf("%+v: compiled", tt.span)
		}
	}
}
