package external

import (
	"errors"
	"math"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

// fixed is a Source of what it holds.
type fixed []Value

func (f fixed) Metrics() []Info                                        { return nil }
func (f fixed) Query(string, string, labels.Selector) ([]Value, error) { return f, nil }

// TestWhatIsNeverAnswered asks on both sides of a value's end, and for values that are no quantity.
func TestWhatIsNeverAnswered(t *testing.T) {
	now := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	value := func(policy string, x float64, left time.Duration) Value {
		return Value{Labels: labels.Set{"policy": policy}, Value: x, At: now.Add(-time.Minute), Expires: now.Add(left)}
	}
	for _, tt := range []struct {
		name   string
		values fixed
		stale  bool
		bad    bool
		items  int
	}{
		{"a moment before its end", fixed{value("a", 1, time.Nanosecond)}, false, false, 1},
		{"at its end", fixed{value("a", 1, 0)}, true, false, 0},
		{"a second after", fixed{value("a", 1, -time.Second)}, true, false, 0},
		{"one of two: a part of a sum is a wrong sum", fixed{value("b", 1, time.Minute), value("a", 1, -time.Second)}, true, false, 0},
		{"without an end", fixed{{Labels: labels.Set{"policy": "a"}, Value: 1, At: now.Add(-1000 * time.Hour)}}, false, false, 1},
		{"not a number", fixed{value("a", math.NaN(), time.Minute)}, false, true, 0},
		{"infinite", fixed{value("a", 1, time.Minute), value("b", math.Inf(1), time.Minute)}, false, true, 0},
		{"beyond 64 bits", fixed{value("a", 1<<63, time.Minute)}, false, true, 0},
	} {
		got, err := query(tt.values, now, "ai", "lag", labels.Everything())
		var unavailable *UnavailableError
		stale := errors.As(err, &unavailable) && unavailable.Cause == CauseStale
		if stale != tt.stale || (err != nil && !stale) != tt.bad || len(got) != tt.items {
			t.Errorf("%s: got %v, %v", tt.name, got, err)
		}
	}
}

func TestQuantity(t *testing.T) {
	for _, tt := range []struct {
		x    float64
		want string
		ok   bool
	}{
		{0, "0", true}, {3, "3", true}, {-1.5, "-1500m", true}, {0.1234567, "123457u", true}, {2.0000004, "2", true},
		{123456789.25, "123456789250m", true}, {1e12, "1T", true}, {1234567890123456.7, "1234567890123457", true}, {9e18, "9E", true},
		{1 << 63, "0", false}, {-(1 << 63), "0", false}, {math.NaN(), "0", false}, {math.Inf(-1), "0", false},
	} {
		q, ok := quantity(tt.x)
		if ok != tt.ok || q.String() != tt.want {
			t.Errorf("%v: got %s, %v; want %s, %v", tt.x, q.String(), ok, tt.want, tt.ok)
		}
	}
}
