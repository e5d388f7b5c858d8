package kafka

import (
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// TestCountingGoesOnInAnotherProcess has a second collector take a target over whose arrivals the first has counted, and the
// first take it back.
func TestCountingGoesOnInAnotherProcess(t *testing.T) {
	const step = 5 * time.Second
	f := newFixture(t, 1, map[string]int32{"a": 2, "b": 1})
	target := collector.Target{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a", "b"}}
	first := f.collector
	first.SetTargets([]collector.Target{target})
	f.produce("a", 0, 100)
	before := f.tick(0)[0].Observation
	if !before.Counted.Known() || before.Counted.EndRecords != 100 || !before.Counted.At.Equal(f.now) {
		t.Fatalf("counted: got %+v, want 100 records at %v", before.Counted, f.now)
	}

	f.produce("a", 1, 7)
	f.produce("b", 0, 1)
	second := f.newCollector()
	taken := target
	taken.Counted = before.Counted
	second.SetTargets([]collector.Target{taken})
	f.collector = second
	o := f.tick(3 * step)[0].Observation
	wantValue(t, "arrivals since the other's count", o.ArrivalRecords, series.Of(8))
	if o.Interval != 3*step {
		t.Errorf("interval: got %v, want %v", o.Interval, 3*step)
	}
	if want := before.Counted.Then(&series.Observation{At: f.now, ArrivalRecords: series.Of(8)}); !o.Counted.Equal(want) {
		t.Errorf("counted: got %+v, want %+v", o.Counted, want)
	}
	// Which it does once.
	second.SetTargets([]collector.Target{target})
	f.produce("b", 0, 2)
	after := f.tick(step)[0].Observation
	wantValue(t, "arrivals of the next tick", after.ArrivalRecords, series.Of(2))

	// The first has a count of its own, which is older than what the second has counted since.
	taken.Counted = after.Counted
	first.SetTargets([]collector.Target{taken})
	f.collector = first
	f.produce("a", 0, 5)
	back := f.tick(step)[0].Observation
	wantValue(t, "arrivals when it comes back", back.ArrivalRecords, series.Of(5))
	if back.Interval != step {
		t.Errorf("interval when it comes back: got %v, want %v", back.Interval, step)
	}
}

// TestACountOfOtherTopicsIsNoStart takes over counts that do not fit: what arrived is missing then, and not a guess.
func TestACountOfOtherTopicsIsNoStart(t *testing.T) {
	f := newFixture(t, 1, map[string]int32{"a": 1, "b": 1})
	target := collector.Target{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}
	f.produce("a", 0, 10)
	f.collector.SetTargets([]collector.Target{target})
	right := f.tick(0)[0].Observation.Counted
	other, more := right, right
	other.Topics++
	more.EndRecords++
	for _, tt := range []struct {
		name    string
		counted series.Counted
		want    series.Value
	}{
		{"right", right, series.Of(0)},
		{"a topic created again", other, series.Missing},
		{"records that are no longer there", more, series.Missing},
	} {
		f.collector = f.newCollector()
		taken := target
		taken.Counted = tt.counted
		f.collector.SetTargets([]collector.Target{taken})
		o := f.tick(5 * time.Second)[0].Observation
		wantValue(t, tt.name, o.ArrivalRecords, tt.want)
		if o.Counted.EndRecords != 10 || o.Counted.Topics != right.Topics {
			t.Errorf("%s: counted %+v, want 10 records of topics %x", tt.name, o.Counted, right.Topics)
		}
		wantValue(t, tt.name+", then", f.tick(5 * time.Second)[0].Observation.ArrivalRecords, series.Of(0))
	}
}
