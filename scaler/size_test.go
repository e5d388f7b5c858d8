package scaler

import (
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// sized is a group of 8 replicas, each of `cores` and doing `each` records a second, that gets 600 records a second of which the
// first of 12 partitions has the share.
type sized struct {
	a    *Autoscaler
	tick int
}

func (s *sized) run(t *testing.T, ticks int, cores, each, share float64) Decision {
	t.Helper()
	const rate, interval, replicas = 600.0, 15.0, 8.0
	var d Decision
	for range ticks {
		s.tick++
		at := start.Add(time.Duration(s.tick) * 15 * time.Second)
		arrivals := make([]series.Value, 12)
		for p := range arrivals {
			arrivals[p] = series.Of(rate * interval * (1 - share) / 11)
		}
		arrivals[0] = series.Of(rate * interval * share)
		o := series.Observation{
			At: at, Interval: 15 * time.Second, ArrivalRecords: series.Of(rate * interval), ConsumedRecords: series.Of(rate * interval),
			LagRecords: series.Of(0), LagSeconds: series.Of(0), ReadyReplicas: series.Of(replicas), StartingReplicas: series.Of(0),
			Partitions: series.Of(12), PartitionArrivalRecords: arrivals, BusyRatio: series.Of(rate / (replicas * each)), ReplicaCPUCores: series.Missing,
		}
		if cores > 0 {
			o.ReplicaCPUCores = series.Of(cores)
		}
		d = s.a.Tick(at, o)
	}
	return d
}

func TestAHotPartitionNamesTheSizeThatCarriesIt(t *testing.T) {
	config := testConfig()
	config.Sizes = true
	const even = 1.0 / 12
	for _, tt := range []struct {
		name  string
		share float64 // of 600 records a second on the hot partition
		want  SizeDecision
	}{
		// 200 on one partition: only a replica of two cores does that.
		{"two cores carry it", 1.0 / 3, SizeDecision{Name: "cpu 2", CPUCores: 2, CapacityPerReplica: 250, Replicas: 3}},
		{"none carries it", 1.0 / 2, SizeDecision{Name: "cpu 2", CPUCores: 2, CapacityPerReplica: 250, Replicas: 3, HotPartition: true}},
	} {
		s := &sized{a: newTest(t, config)}
		s.run(t, 20, 2, 250, even)
		s.run(t, 20, 1, 100, even)
		// The next process knows it as well.
		b := newTest(t, config)
		if err := b.Restore(s.a.AppendCheckpoint(nil)); err != nil {
			t.Fatal(err)
		}
		s.a = b
		d := s.run(t, 4, 1, 100, tt.share)
		if !slices.Contains(d.Verdicts, VerdictHotPartition) {
			t.Fatalf("%s: verdicts %v, want HotPartition", tt.name, d.Verdicts)
		}
		got := d.Size
		if got.CapacityPerReplica < 0.98*tt.want.CapacityPerReplica || got.CapacityPerReplica > 1.02*tt.want.CapacityPerReplica {
			t.Errorf("%s: capacity %v, want %v", tt.name, got.CapacityPerReplica, tt.want.CapacityPerReplica)
		}
		got.CapacityPerReplica, got.PricePerHour = tt.want.CapacityPerReplica, 0
		if got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestSizesAreWeighedByCost(t *testing.T) {
	config := testConfig()
	config.Sizes = true
	s := &sized{a: newTest(t, config)}
	if d := s.run(t, 30, 1, 100, 1.0/12); d.Size != (SizeDecision{}) {
		t.Errorf("one size was seen: got %+v, want none named", d.Size)
	}
	// Twice the cores and 2.5 times the work: less for the demand.
	if d := s.run(t, 30, 2, 250, 1.0/12); d.Size.Name != "cpu 2" {
		t.Errorf("got %+v, want cpu 2", d.Size)
	}
	// Where replicas differ nothing is learned, and what was learned stays.
	if d := s.run(t, 30, 0, 180, 1.0/12); d.Size.Name != "cpu 2" || len(s.a.State().Sizes) != 2 {
		t.Errorf("of sizes that differ: got %+v of %d, want cpu 2 of 2", d.Size, len(s.a.State().Sizes))
	}
	// Four times the cores and 1.1 times the work: more.
	if d := s.run(t, 30, 8, 275, 1.0/12); d.Size.Name != "cpu 2" {
		t.Errorf("got %+v, want cpu 2", d.Size)
	}
	// No more are remembered than a few, the latest.
	for i := range 2 * sizesKept {
		s.run(t, 10, 16+float64(i), 275, 1.0/12)
	}
	if sizes := s.a.State().Sizes; len(sizes) != sizesKept || slices.ContainsFunc(sizes, func(s size) bool { return s.CPUCores == 2 }) {
		t.Errorf("%d sizes are remembered, want the latest %d", len(sizes), sizesKept)
	}
	config.Sizes = false
	s = &sized{a: newTest(t, config)}
	s.run(t, 30, 2, 250, 1.0/12)
	s.run(t, 30, 1, 100, 1.0/12)
	d := s.run(t, 3, 1, 100, 1.0/3)
	if d.Size != (SizeDecision{}) {
		t.Errorf("a policy without a vertical mode: got %+v, want none named", d.Size)
	}
	if !slices.Contains(d.Verdicts, VerdictHotPartition) {
		t.Error("want the verdict all the same")
	}
}

func TestAHotPartitionNamesThePoolThatCarriesIt(t *testing.T) {
	config := testConfig()
	config.Sizes, config.Pools = true, []Pool{{Name: "cpu", MaxReplicas: 40, Price: 1}, {Name: "gpu", MaxReplicas: 8, Price: 6}}
	s := &sized{a: newTest(t, config)}
	s.run(t, 20, 0, 100, 1.0/12)
	s.a.state.Pools = []capacity{{Mean: 100, Samples: 10}, {Mean: 400, Samples: 10}}
	if d := s.run(t, 2, 0, 100, 1.0/12); d.Size.Name != "" {
		t.Errorf("no partition is hot: got %+v", d.Size)
	}
	if d := s.run(t, 2, 0, 100, 1.0/3); d.Size.Name != "gpu" || d.Size.HotPartition || d.Size.CPUCores != 0 {
		t.Errorf("a hot partition: got %+v, want gpu", d.Size)
	}
}
