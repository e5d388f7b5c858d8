package scaler

import (
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// TestWhatIsStartingComesWhenItsOrderSays: ticks of 15 s, a lead time of four of them, four replicas ready.
func TestWhatIsStartingComesWhenItsOrderSays(t *testing.T) {
	type change struct{ ago, more int } // in seconds
	for _, tt := range []struct {
		name    string
		changes []change
		current int
		want    []int // replicas in the coming ticks
	}{
		{"nothing starts", []change{{600, 2}}, 4, []int{4, 4, 4, 4}},
		{"one order", []change{{30, 4}}, 8, []int{4, 8, 8, 8}},
		{"a second does not put off the first", []change{{30, 4}, {0, 1}}, 9, []int{4, 8, 8, 9}},
		{"the first is there", []change{{75, 3}, {15, 2}}, 6, []int{4, 4, 6, 6}},
		{"the last is given up first", []change{{30, 2}, {15, 3}, {0, -4}}, 5, []int{4, 5, 5, 5}},
		{"late", []change{{90, 2}}, 6, []int{6, 6, 6, 6}},
		{"more than was asked for", []change{{15, 1}}, 7, []int{4, 4, 7, 7}},
		{"asked for by nobody", nil, 5, []int{4, 4, 4, 5}},
	} {
		config := testConfig()
		s := State{Partitions: partitions{Count: 480}}
		s.Partitions.derive(96, 0, 0)
		for _, c := range tt.changes {
			s.Changed = start.Add(-time.Duration(c.ago) * time.Second)
			s.Orders.note(c.more, s.Changed)
		}
		sc := scene{perReplica: 100, leadSteps: 4}
		decider{Decision: &Decision{At: start}, config: &config, state: &s}.come(&sc, 4, tt.current)
		var want, got []float64
		for k := range sc.unchanged {
			want = append(want, s.Partitions.work(tt.want[min(k, 3)])*100)
			got = append(got, sc.unchanged[k])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", tt.name, got[:4], want[:4])
		}
	}
}

// TestAReplicaThatGoesIsNoneThatHasCome: one of ten goes and is back, again and again. A little more waits after it has come, and not
// after it has gone, or it would wait for as long as that goes on.
func TestAReplicaThatGoesIsNoneThatHasCome(t *testing.T) {
	config := testConfig()
	s := State{LastReady: series.Of(10), At: start}
	for i := 1; i < 8; i++ {
		at := start.Add(time.Duration(i) * config.Interval)
		s.Learn(&config, &series.Observation{At: at, Interval: config.Interval, ArrivalRecords: series.Of(100), ReadyReplicas: series.OfInt(10 - i%2)})
		if came := s.Came.Equal(at); came != (i%2 == 0) {
			t.Errorf("tick %d, %d ready: came now is %v", i, 10-i%2, came)
		}
	}
}
