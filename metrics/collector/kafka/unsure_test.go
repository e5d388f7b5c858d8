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
	const partitions, step = 8, 15 * time.Second
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
