package eventlog

import (
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestAReadingCutsNoTickInTwo has a tick written whenever the reader asks where a topic ends.
func TestAReadingCutsNoTickInTwo(t *testing.T) {
	fake, opts, cfg := fakeLog(t)
	name := policies(0, cfg.Shards, 1)[0]
	s, ms := openShard(t, cfg, opts, 0)
	at := t0
	tick := func() {
		at = at.Add(time.Second)
		if err := s.Append(t.Context(), ms.tick(s, at, name)); err != nil {
			t.Error(err)
		}
	}
	tick()
	var mu sync.Mutex
	asked := 0
	fake.ControlKey(int16(kmsg.ListOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		fake.SleepControl(func() {
			mu.Lock()
			defer mu.Unlock()
			if asked++; asked <= 20 {
				tick()
			}
		})
		return nil, nil, false
	})
	client := newClient(t, opts)
	for range 3 {
		report, err := Check(t.Context(), client, cfg, nil)
		if err != nil || report.ViolationCount > 0 || report.Ticks == 0 {
			t.Fatalf("check: %v, %+v", err, report)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if asked < 20 {
		t.Errorf("the reader asked %d times only", asked)
	}
}

// deriver finds every other decision to be another one.
type deriver struct{ asked int }

func (d *deriver) Derive(*Event) (string, bool) {
	if d.asked++; d.asked%2 == 0 {
		return "now 8", true
	}
	return "", true
}

func TestDecisionsThatAreDerivedOtherwiseAreCounted(t *testing.T) {
	_, opts, cfg := fakeLog(t)
	s, ms := openShard(t, cfg, opts, 1)
	for i := range 6 {
		if err := s.Append(t.Context(), ms.tick(s, t0.Add(time.Duration(i)*time.Second), policies(1, cfg.Shards, 1)...)); err != nil {
			t.Fatal(err)
		}
	}
	report, err := Check(t.Context(), newClient(t, opts), cfg, &deriver{})
	if err != nil || report.Derived != 6 || report.DerivedOtherwise != 3 || report.ViolationCount != 3 {
		t.Errorf("%v, %+v; want 3 of 6 derived otherwise, and no other violation", err, report)
	}
}

func TestObservationsBetweenTwoTimes(t *testing.T) {
	_, opts, cfg := fakeLog(t)
	names := policies(1, cfg.Shards, 2)
	s, ms := openShard(t, cfg, opts, 1)
	for i := range 20 {
		if err := s.Append(t.Context(), ms.tick(s, t0.Add(time.Duration(i)*time.Second), names...)); err != nil {
			t.Fatal(err)
		}
	}
	client := newClient(t, opts)
	for _, tt := range []struct {
		name        string
		from, to    time.Duration
		first, last uint64
	}{
		{"in the middle", 5 * time.Second, 8 * time.Second, 6, 9},
		{"all", -time.Hour, time.Hour, 1, 20},
		{"before the log", -2 * time.Hour, -time.Hour, 0, 0},
		{"after it", time.Hour, 2 * time.Hour, 0, 0},
	} {
		var first, last, count uint64
		for tick, err := range Observations(t.Context(), client, cfg, names[0], t0.Add(tt.from), t0.Add(tt.to)) {
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			if count == 0 {
				first = tick.Seq
			}
			last = tick.Seq
			count++
		}
		if first != tt.first || last != tt.last || count > 0 && count != last-first+1 {
			t.Errorf("%s: got %d ticks, %d to %d, want %d to %d", tt.name, count, first, last, tt.first, tt.last)
		}
	}
}
