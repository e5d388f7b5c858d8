package eventlog

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// failing is a backend that keeps the ticks, and whose write number `at` fails, with an outcome that nobody knows; 0 is none.
type failing struct {
	Memory
	at    int
	ticks []Tick
}

func (f *failing) write(_ context.Context, s *Shard, b *batch) (int64, error) {
	if f.at--; f.at == 0 {
		return 0, errors.New("no answer")
	}
	f.ticks = append(f.ticks, b.ticks...)
	return s.end + int64(len(b.ticks)), nil
}

// TestAfterAFailureAShardWritesNoMore: what failed may be in the log, so that only a take-over knows what comes next.
func TestAfterAFailureAShardWritesNoMore(t *testing.T) {
	cfg := testConfig("a")
	names := policies(0, cfg.Shards, 1)
	s := &Shard{cfg: cfg, backend: &failing{at: 2}, last: map[string]position{}}
	ms := machines{}
	for i, want := range []string{"", "no answer", "append after a failure", "append after a failure"} {
		err := s.Append(t.Context(), ms.tick(s, t0.Add(time.Duration(i)*time.Second), names...))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("append %d: got %v, want %q", i, err, want)
		}
	}
	if err := s.Forget(t.Context(), names); err == nil || !strings.Contains(err.Error(), "forget after a failure") {
		t.Errorf("forget: got %v", err)
	}
}

// TestTheLogKeepsTheWallsTime: a time with a monotonic reading would seem later than the last where the clock was set back meanwhile.
func TestTheLogKeepsTheWallsTime(t *testing.T) {
	cfg := testConfig("a")
	s := &Shard{cfg: cfg, backend: &failing{}, last: map[string]position{}}
	name := policies(0, cfg.Shards, 1)[0]
	if err := s.Append(t.Context(), []Entry{{Policy: name, At: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	if last, _ := s.Known(name); last != last.Round(0) {
		t.Errorf("the last tick: got %v, want no monotonic reading", last)
	}
}

// TestForgettable: a policy is forgotten a day after the last of its observations has gone.
func TestForgettable(t *testing.T) {
	cfg := testConfig("a")
	s := &Shard{cfg: cfg, backend: &failing{}, last: map[string]position{}}
	names := policies(0, cfg.Shards, 2)
	if err := s.Append(t.Context(), machines{}.tick(s, t0, names...)); err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, tt := range []struct {
		after time.Duration
		want  []string
	}{
		{0, nil}, {cfg.Retention + 23*time.Hour, nil}, {cfg.Retention + 25*time.Hour, names},
	} {
		if got := s.Forgettable(t0.Add(tt.after)); !slices.Equal(got, tt.want) {
			t.Errorf("after %v: got %v, want %v", tt.after, got, tt.want)
		}
	}
}

// TestTheConfigurationStandsWhereItBeginsToHold, so that the log tells under which each tick was decided.
func TestTheConfigurationStandsWhereItBeginsToHold(t *testing.T) {
	cfg := testConfig("a")
	cfg.AnchorTicks = 0
	kept := &failing{}
	s := &Shard{cfg: cfg, backend: kept, last: map[string]position{}}
	name := policies(0, cfg.Shards, 1)[0]
	for i, configuration := range []string{"one", "one", "two", "two"} {
		entry := Entry{Policy: name, At: t0.Add(time.Duration(i) * time.Second), Configuration: []byte(configuration), Spec: uint64(len(configuration) + int(configuration[0]))}
		if err := s.Append(t.Context(), []Entry{entry}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, tick := range kept.ticks {
		got = append(got, string(tick.Configuration))
	}
	if want := []string{"one", "", "two", ""}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
