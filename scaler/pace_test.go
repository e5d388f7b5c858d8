package scaler

import (
	"math"
	"testing"

	"github.com/prescale/prescale/metrics/series"
)

// A burst of 4 ticks at 300 records a second, then 30: the group gets through 160 a second, of 200 that are expected. That its
// oldest record's age falls when those of the burst are done, and rises while they are not, must not be taken for its pace.
func TestPaceIsWhatLiesBetweenTheOldestRecords(t *testing.T) {
	const interval, served, expected = 15.0, 160.0, 200.0
	var c calibration
	var p pace
	arrived := []float64{0} // records before each tick
	head := 0.0             // records consumed
	for i := range 20 {
		rate := 30.0
		if i >= 4 && i < 8 {
			rate = 300
		}
		total := arrived[i] + rate*interval
		arrived = append(arrived, total)
		head = min(total, head+served*interval)
		// When the record at the head arrived, within its tick at an even rate.
		age := 0.0
		for k := i; k >= 0 && head < total; k-- {
			if arrived[k] <= head {
				age = float64(i-k)*interval + interval*(1-(head-arrived[k])/(arrived[k+1]-arrived[k]))
				break
			}
		}
		c.observe(rate*interval, 1)
		p.observe(series.Of(age), false, interval, interval, &c, expected, 0.94, false)
	}
	// Each sample is the same: after n of them, beginning at 0.94 with the weight of 10, the factor is known.
	want := 0.94
	for n := 1; n <= p.Samples; n++ {
		want += (served/expected - want) / float64(pacePrior+n)
	}
	if p.Samples < 5 || math.Abs(p.Factor-want) > 1e-9 {
		t.Errorf("after %d samples: got %.6f, want %.6f and 5 samples or more", p.Samples, p.Factor, want)
	}
}

// TestALongTickDoesNotMakeTheSlowestLookSlow: what a group that keeps its oldest record at ten seconds gets through is what arrives,
// whether the next look at it is after 15 s, as always, or after 45.
func TestALongTickDoesNotMakeTheSlowestLookSlow(t *testing.T) {
	config := testConfig()
	s := State{Capacity: capacity{Mean: 100, Samples: 40}}
	at := start
	for i := range 40 {
		interval := config.Interval
		if i%4 == 3 {
			interval *= 3
		}
		at = at.Add(interval)
		records := series.Of(1000 * interval.Seconds())
		s.Learn(&config, &series.Observation{
			At: at, Interval: interval, ArrivalRecords: records, ConsumedRecords: records, LagRecords: series.Of(10000), LagSeconds: series.Of(10),
			ReadyReplicas: series.Of(10), StartingReplicas: series.Of(0), Partitions: series.Of(10), BusyRatio: series.Of(1),
		})
	}
	if s.Pace.Samples < 30 || math.Abs(s.Pace.Factor-1) > 0.03 {
		t.Errorf("after %d samples: got %.3f of what one does on average, want 1", s.Pace.Samples, s.Pace.Factor)
	}
}

// TestTheOldestRecordThatGetsNoYounger: it says whether a backlog shrinks, but nothing of replicas that have just changed.
func TestTheOldestRecordThatGetsNoYounger(t *testing.T) {
	for _, tt := range []struct {
		before, now  float64
		shrinks      bool // what waits
		disturbed    bool
		grows, falls bool
	}{
		{20, 21, false, false, true, false},
		{20, 21, true, false, true, false}, // of one consumer, while others drain
		{20, 20, false, false, true, false},
		{20, 20, true, false, false, false}, // told in whole intervals
		{20, 21, false, true, false, false},
		{20, 19, false, false, false, true},
		{paceAge / 2, 20, false, false, false, false}, // it did not wait before
	} {
		p := pace{Age: tt.before}
		p.observe(series.Of(tt.now), tt.shrinks, 15, 15, &calibration{}, 100, 0.94, tt.disturbed)
		if p.Grows != tt.grows || p.Falls != tt.falls {
			t.Errorf("%+v: grows %v and falls %v", tt, p.Grows, p.Falls)
		}
	}
}
