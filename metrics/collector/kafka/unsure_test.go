package kafka

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/metrics/collector"
)

// A group that keeps up has records in flight in several partitions, all younger than the latest tick. Its seconds behind
// are the age of the oldest of them, not half a tick.
func TestSecondsBehindOfAGroupThatKeepsUp(t *testing.T) {
	const partitions, step = 100, 15 * time.Second
	f := newFixture(t, 2, map[string]int32{"a": partitions})
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
	began := f.now
	for p := range int32(partitions) {
		f.produce("a", p, 10)
		f.commit("g", "a", p, 10)
	}
	f.tick(0)

	// Partition p's record came p+1 tenths of a second before the second tick.
	var records []*kgo.Record
	for p := range int32(partitions) {
		at := began.Add(step - time.Duration(p+1)*100*time.Millisecond)
		records = append(records, &kgo.Record{Topic: "a", Partition: p, Value: fmt.Append(nil, p), Timestamp: at})
	}
	if err := f.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	o := f.tick(step)[0].Observation
	oldest := (partitions * 100 * time.Millisecond).Seconds()
	// The tick reads after its nominal time, by as much as the requests take.
	if got := o.LagSeconds.Or(-1); got < oldest-0.01 || got > oldest+5 {
		t.Errorf("seconds behind: got %v, want about %v", o.LagSeconds, oldest)
	}
	if got := o.LagSecondsError.Or(-1); got < 0 || got > 0.1 {
		t.Errorf("error bound: got %v, want some milliseconds", o.LagSecondsError)
	}

	// With the look-ups turned off it is told from the samples, with their bound.
	f.collector.config.ExactChecks = 0
	o = f.tick(time.Second)[0].Observation
	for _, gt := range f.collector.groups["g"].topics {
		gt.exact = nil
	}
	o = f.tick(time.Second)[0].Observation
	if got := o.LagSecondsError.Or(-1); got < 1 {
		t.Errorf("error bound without look-ups: got %v, want more than a second", o.LagSecondsError)
	}
}

// TestFirstTickTellsTheAge looks once at a group that is new to the collector: what it has not committed yet is as old as its
// records say, not as the rough samples of the past have it, which are all that there is at the first tick.
func TestFirstTickTellsTheAge(t *testing.T) {
	for _, tt := range []struct {
		name      string
		partition int32 // that holds the oldest record
		commit    bool
	}{
		{"never committed", 3, false},
		{"a commit in each partition", 5, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const partitions = 8
			f := newFixture(t, 2, map[string]int32{"a": partitions})
			records := make([]*kgo.Record, partitions)
			for p := range int32(partitions) {
				age := 200 * time.Millisecond
				if p == tt.partition {
					age = 2500 * time.Millisecond
				}
				records[p] = &kgo.Record{Topic: "a", Partition: p, Value: fmt.Append(nil, p), Timestamp: time.Now().Add(-age)}
				if tt.commit {
					f.commit("g", "a", p, 0)
				}
			}
			if err := f.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
			f.now = time.Now()
			truth := func() float64 { return time.Since(records[tt.partition].Timestamp).Seconds() }
			least := truth()
			o := f.tick(0)[0].Observation
			got, bound := o.LagSeconds.Or(-1), o.LagSecondsError.Or(-1)
			if bound < 0 || bound > 0.1 || got < least-bound || got > truth()+bound {
				t.Errorf("seconds behind at the first tick: got %v ± %v, want %v to %v", got, bound, least, truth())
			}
			// The report of the same tick says the same.
			report := f.collector.Groups(f.now)[0]
			if bound := report.LagSecondsError.Or(-1); bound < 0 || bound > 0.1 {
				t.Errorf("report: got %v ± %v", report.LagSeconds, report.LagSecondsError)
			}
		})
	}
}

// TestBoundOfTheOldest: which of the waiting records is the oldest is not known where their bounds overlap; the bound of the
// answer is then as wide as what any of them may turn out to be.
func TestBoundOfTheOldest(t *testing.T) {
	sure := moment{earliest: 100, latest: 102, likely: 101, known: true}
	rough := moment{earliest: 40, latest: 180, likely: 110, known: true}
	want := moment{earliest: 40, latest: 102, likely: 101, known: true}
	if got := sure.older(rough); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := rough.older(sure); got != want {
		t.Errorf("the other way round: got %+v, want %+v", got, want)
	}
	if got := sure.older(moment{}); got.known {
		t.Errorf("with one that is not known: got %+v", got)
	}
}
