package kafka

import (
	"testing"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// set returns a time with its monotonic reading, as of a wall clock that was set forward by so much. Package time has no way to
// make one: the seconds are the 33 bits above the nanoseconds (its type Time says so).
func set(t *testing.T, at time.Time, by time.Duration) time.Time {
	t.Helper()
	was := at
	*(*uint64)(unsafe.Pointer(&at)) += uint64(int64(by/time.Second)) << 30
	if at.Sub(was) != 0 || at.Round(0).Sub(was.Round(0)) != by {
		t.Fatalf("package time has changed: %v and %v", was, at)
	}
	return at
}

// TestAClockThatIsSet: no rate is higher for it than it was, whichever of the clocks went on.
func TestAClockThatIsSet(t *testing.T) {
	for _, tt := range []struct {
		name     string
		by       time.Duration
		interval time.Duration
	}{
		{"back, by less than an interval", -3 * time.Second, 5 * time.Second},
		{"back, by an hour", -time.Hour, 5 * time.Second},
		{"forward, or the machine stood still", time.Minute, 65 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, 1, map[string]int32{"a": 1})
			f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
			f.produce("a", 0, 10)
			f.commit("g", "a", 0, 0)
			f.tick(0)
			f.tick(5 * time.Second)
			f.produce("a", 0, 650)
			f.commit("g", "a", 0, 325)
			f.now = set(t, f.now, tt.by)
			o := f.tick(5 * time.Second)[0].Observation
			if o.Interval != tt.interval {
				t.Errorf("interval: got %v, want %v", o.Interval, tt.interval)
			}
			wantValue(t, "arrivals", o.ArrivalRecords, series.Of(650))
			wantValue(t, "consumed", o.ConsumedRecords, series.Of(325))
		})
	}
}

// TestAStampThatTheSamplesContradict: that a record came between two ticks is certain, whatever its producer's clock says.
func TestAStampThatTheSamplesContradict(t *testing.T) {
	f := newFixture(t, 1, map[string]int32{"a": 2})
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
	f.produce("a", 0, 1)
	f.produce("a", 1, 1)
	f.commit("g", "a", 0, 1)
	f.commit("g", "a", 1, 1)
	f.tick(0)
	f.tick(5 * time.Second)
	for _, away := range []time.Duration{-time.Hour, time.Hour} {
		stamped := &kgo.Record{Topic: "a", Timestamp: f.now.Add(away), Value: []byte("x")}
		if err := f.client.ProduceSync(t.Context(), stamped).FirstErr(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second tick has looked the batch up
			o := f.tick(5 * time.Second)[0].Observation
			if got, bound := o.LagSeconds.Or(-1), o.LagSecondsError.Or(-1); got < 0 || got > 15 || bound < 0 || bound > 15 {
				t.Errorf("a record that came a tick ago, stamped %v away: behind %v ± %v", away, o.LagSeconds, o.LagSecondsError)
			}
		}
		f.commit("g", "a", 0, f.end("a", 0))
		f.tick(5 * time.Second)
	}
}

func (f *fixture) end(topic string, partition int32) int64 {
	f.t.Helper()
	ends, err := f.admin.ListEndOffsets(f.t.Context(), topic)
	if err != nil {
		f.t.Fatal(err)
	}
	o, _ := ends.Lookup(topic, partition)
	return o.Offset
}
