package scaler

import (
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// TestPartitionsAreAdded to a topic whose producers hear of them ten ticks later. Until their shares are known fewer replicas would
// seem to be enough, for eight partitions are well spread over eight only; over 24 five do.
func TestPartitionsAreAdded(t *testing.T) {
	config := testConfig()
	config.Interval = time.Minute // the highest count wanted lately is none of before
	w := &world{a: newTest(t, config), lead: 1, partitions: 8, ready: 8}
	used := 8
	w.hide = func(o *series.Observation) {
		for i := range w.partitions {
			n := 0.0
			if i < used {
				n = 1 / float64(used)
			}
			o.PartitionArrivalRecords = append(o.PartitionArrivalRecords, o.ArrivalRecords.Times(n))
		}
	}
	for range 100 {
		w.step(400)
	}
	before := w.counts[99]
	w.partitions = 24
	for i := range 10 {
		if d := w.step(400); d.DesiredReplicas < before {
			t.Errorf("%d ticks after the partitions were added: %d replicas (%s), before %d", i, d.DesiredReplicas, d.Reason, before)
		}
	}
	used = 24
	for range 200 {
		w.step(400)
	}
	if n := w.counts[len(w.counts)-1]; n >= before {
		t.Errorf("over 24 partitions: %d replicas, over 8 they were %d", n, before)
	}
}
