package readmodel

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const tick = 15 * time.Second

func entryAt(policy string, at time.Time, lag float64, desired int) Entry {
	return Entry{
		Policy: policy, At: at, Interval: tick, Usable: true,
		Labels:      map[string]string{"group": "g"},
		Observation: series.Observation{Policy: policy, At: at, LagRecords: series.Of(lag)},
		Decision:    scaler.Decision{Policy: policy, At: at, DesiredReplicas: desired},
	}
}

func all(map[string]string) bool { return true }

func TestAgeDecidesWhetherAValueIsAnswered(t *testing.T) {
	now := start
	s := NewStore(func() time.Time { return now })
	s.Expect("ai/a", tick)

	var notReady *NotReadyError
	if _, err := s.Get("ai/a"); !errors.As(err, &notReady) {
		t.Fatalf("before the first entry: got %v, want NotReadyError", err)
	}
	if _, err := s.Get("ai/b"); !errors.Is(err, ErrUnknown) {
		t.Fatalf("a policy nobody made known: got %v, want ErrUnknown", err)
	}

	s.Publish(entryAt("ai/a", start, 7, 2))
	now = start.Add(StaleAfterTicks * tick)
	if e, err := s.Get("ai/a"); err != nil || e.Decision.DesiredReplicas != 2 {
		t.Fatalf("at the limit: got %+v, %v", e, err)
	}
	s.Fail("ai/a", errors.New("dial kafka:9092: connection refused"))
	now = now.Add(time.Nanosecond)
	var stale *StaleError
	if _, err := s.Get("ai/a"); !errors.As(err, &stale) || !strings.Contains(err.Error(), "connection refused") {
		t.Fatalf("past the limit: got %v, want a StaleError with its cause", err)
	}
	s.Publish(entryAt("ai/a", now, 8, 3))
	if e, err := s.Get("ai/a"); err != nil || e.Decision.DesiredReplicas != 3 {
		t.Fatalf("after a fresh entry: got %+v, %v", e, err)
	}
	s.Publish(entryAt("ai/a", start, 1, 9))
	if e, _ := s.Get("ai/a"); e.Decision.DesiredReplicas != 3 {
		t.Fatalf("an older entry took over: %+v", e)
	}
}

// TestAnAnswerFromTheFutureIsNoAnswer: a clock that was ahead for one tick, here or where it was decided, must not make that tick's answer
// the newest for as long as it was ahead. What clocks may differ by is what an answer may be old.
func TestAnAnswerFromTheFutureIsNoAnswer(t *testing.T) {
	now := start
	s := NewStore(func() time.Time { return now })
	s.Publish(entryAt("ai/a", start.Add(time.Hour), 7, 2))
	var stale *StaleError
	if _, err := s.Get("ai/a"); !errors.As(err, &stale) || !strings.Contains(err.Error(), "1h0m0s ahead of this clock") {
		t.Errorf("an hour ahead: got %v", err)
	}
	if samples, err := s.Query("ai", LagRecords, all, func(string) bool { return true }); err == nil {
		t.Errorf("an hour ahead: answered with %v", samples)
	}
	now = start.Add(time.Hour - StaleAfterTicks*tick)
	if _, err := s.Get("ai/a"); err != nil {
		t.Errorf("ahead by what clocks may differ: got %v", err)
	}
	s.Publish(entryAt("ai/a", now, 6, 2))
	if e, err := s.Get("ai/a"); err != nil || !e.At.Equal(start.Add(time.Hour)) {
		t.Errorf("an older one besides: got %v, %v, want the newest", e.At, err)
	}
	now = start
	s.Publish(entryAt("ai/a", start, 5, 2))
	if e, err := s.Get("ai/a"); err != nil || !e.At.Equal(start) {
		t.Errorf("with the clock set right: got %v, %v, want the answer of now", e.At, err)
	}
}

func TestAnUnusableEntryLeavesTheLastOneToAge(t *testing.T) {
	now := start
	s := NewStore(func() time.Time { return now })
	s.Publish(entryAt("ai/a", start, 7, 2))
	now = start.Add(tick)
	s.Publish(Entry{Policy: "ai/a", At: now, Interval: tick, Cause: "the broker is gone"})
	if e, err := s.Get("ai/a"); err != nil || !e.At.Equal(start) {
		t.Fatalf("got %+v, %v, want the entry of %v", e, err, start)
	}
	now = start.Add(StaleAfterTicks*tick + 1)
	if _, err := s.Get("ai/a"); err == nil || !strings.Contains(err.Error(), "the broker is gone") {
		t.Fatalf("got %v, want the cause", err)
	}
}

func TestQuery(t *testing.T) {
	now := start
	s := NewStore(func() time.Time { return now })
	s.Publish(entryAt("ai/a", start, 7, 2))
	s.Publish(entryAt("ai/b", start, 0, 3))
	s.Publish(entryAt("other/a", start, 5, 4))
	s.Expect("ai/cold", tick)
	s.Refuse(map[string]string{"ai/second": "Conflict: Deployment web is scaled by the older policy a"})
	policy := func(want string) func(string) bool { return func(p string) bool { return p == want } }
	for _, tt := range []struct {
		name, namespace, metric, policy string
		want                            []float64
		wantErr                         string
	}{
		{"one policy", "ai", LagRecords, "a", []float64{7}, ""},
		{"zero is a value", "ai", LagRecords, "b", []float64{0}, ""},
		{"namespace is a wall", "other", DesiredReplicas, "a", []float64{4}, ""},
		{"unknown policy", "ai", LagRecords, "nope", nil, ""},
		{"refused", "ai", LagRecords, "second", nil, "policy ai/second is not run: Conflict: Deployment web"},
		{"refused elsewhere", "other", LagRecords, "second", nil, ""},
		{"unknown metric", "ai", "nope", "a", nil, "unknown metric"},
		{"unknown namespace", "nope", LagRecords, "a", nil, ""},
		{"missing value is an error", "ai", LagSeconds, "a", nil, "no value for"},
		{"not ready", "ai", LagRecords, "cold", nil, "no sample yet"},
	} {
		got, err := s.Query(tt.namespace, tt.metric, all, policy(tt.policy))
		if (err != nil) != (tt.wantErr != "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
			t.Errorf("%s: got error %v, want %q", tt.name, err, tt.wantErr)
		}
		var values []float64
		for _, sample := range got {
			values = append(values, sample.Value)
		}
		if len(values) != len(tt.want) || len(values) > 0 && values[0] != tt.want[0] {
			t.Errorf("%s: got %v, want %v", tt.name, values, tt.want)
		}
	}
	if got, err := s.Query("ai", LagRecords, all, nil); len(got) != 2 || err == nil {
		t.Errorf("all policies, one of them cold: got %v, %v, want two values and an error", got, err)
	}
}

func TestAForgottenPolicyIsUnknown(t *testing.T) {
	now := start
	s := NewStore(func() time.Time { return now })
	s.Publish(entryAt("ai/a", start, 7, 2))
	s.Expect("ai/a", 100*tick) // it is asked less often now
	now = start.Add(2 * StaleAfterTicks * tick)
	if _, err := s.Get("ai/a"); err != nil {
		t.Errorf("within the limit of the interval that it has now: %v", err)
	}
	s.Forget("ai/a")
	if _, err := s.Get("ai/a"); !errors.Is(err, ErrUnknown) {
		t.Errorf("forgotten: got %v, want ErrUnknown", err)
	}
}

func TestAWatcherSeesWhatIsPublished(t *testing.T) {
	s := NewStore(func() time.Time { return start })
	seen := make(chan Entry, 1)
	stop := s.Watch(seen)
	s.Publish(entryAt("ai/a", start, 7, 2))
	s.Publish(entryAt("ai/b", start, 7, 2)) // nobody holds the store up
	if e := <-seen; e.Policy != "ai/a" || len(seen) > 0 {
		t.Errorf("saw %s and %d more, want ai/a alone", e.Policy, len(seen))
	}
	stop()
	s.Publish(entryAt("ai/c", start, 7, 2))
	if len(seen) > 0 {
		t.Errorf("saw %s after the end", (<-seen).Policy)
	}
}

func TestErrorsSayWhy(t *testing.T) {
	s := NewStore(func() time.Time { return start })
	s.Expect("ai/new", tick)
	s.Fail("ai/new", errors.New("dial kafka:9092: connection refused"))
	if _, err := s.Get("ai/new"); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("not ready: got %v, want the cause", err)
	}
	partial := entryAt("ai/a", start, 7, 2)
	partial.Observation.LagRecords, partial.Observation.Problems = series.Missing, []string{"orders/3: not available"}
	s.Publish(partial)
	_, err := s.Query("ai", LagRecords, all, func(policy string) bool { return policy == "a" })
	if err == nil || !strings.Contains(err.Error(), "policy ai/a has no value for prescale_kafka_lag_records: orders/3: not available") {
		t.Errorf("a value that is missing: got %v, want the observation's problems", err)
	}
}
