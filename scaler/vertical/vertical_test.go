package vertical

import (
	"math"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestTargetIsTheNinetiethPercentilePlusMargin(t *testing.T) {
	u := NewUsage()
	// Uniform from 0 to 1 core within an hour, so decay does not matter: the 0.9 quantile is 0.9, plus 15 %, rounded up to the
	// edge of a bucket that is at most 5 % (and a hundredth) wide.
	for i := range 1000 {
		u.Observe(start.Add(time.Duration(i)*time.Second), "a", float64(i)/1000, 1e9, 1)
	}
	r, ok := u.Recommend()
	if !ok {
		t.Fatal("no recommendation")
	}
	if want := 0.9 * 1.15; r.Target.CPUCores < want || r.Target.CPUCores > 1.08*want {
		t.Errorf("cpu: got %v, want %v or up to 8 %% more", r.Target.CPUCores, want)
	}
	if want := 1e9 * 1.15; r.Target.MemoryBytes < want || r.Target.MemoryBytes > 1.06*want {
		t.Errorf("memory: got %v, want %v or up to 6 %% more", r.Target.MemoryBytes, want)
	}
	if !(r.Lower.CPUCores <= r.Target.CPUCores && r.Target.CPUCores <= r.Upper.CPUCores) {
		t.Errorf("bounds do not hold the target: %+v", r)
	}
}

func TestBoundsNarrowWithHistory(t *testing.T) {
	u := NewUsage()
	width := math.Inf(1)
	at := start
	for day := range 5 {
		for range 1440 {
			at = at.Add(time.Minute)
			u.Observe(at, "a", 0.5, 1e9, 1)
		}
		r, _ := u.Recommend()
		if w := r.Upper.CPUCores / r.Lower.CPUCores; w >= width {
			t.Errorf("day %d: bounds are %v apart, before %v", day, w, width)
		} else {
			width = w
		}
	}
}

func TestOldUsageIsForgotten(t *testing.T) {
	u := NewUsage()
	at := start
	for range 1440 {
		at = at.Add(time.Minute)
		u.Observe(at, "a", 4, 1e9, 1)
	}
	for range 8 * 1440 {
		at = at.Add(time.Minute)
		u.Observe(at, "a", 0.5, 1e9, 1)
	}
	// After eight half-lives the busy day has a 256th of its weight.
	if r, _ := u.Recommend(); r.Target.CPUCores > 0.7 {
		t.Errorf("got %v cores, want about 0.6", r.Target.CPUCores)
	}
}

func TestOutOfMemoryRaisesTheTarget(t *testing.T) {
	u := NewUsage()
	for i := range 60 {
		u.Observe(start.Add(time.Duration(i)*time.Minute), "a", 0.1, 1e9, 1)
	}
	u.OutOfMemory(start.Add(time.Hour), "a", 1e9)
	if r, _ := u.Recommend(); r.Target.MemoryBytes < 1.2e9*1.15 {
		t.Errorf("got %v bytes, want at least %v", r.Target.MemoryBytes, 1.2e9*1.15)
	}
}

// TestOfEachReplicaThePeakOfADayCounts: memory that grows from one to three gigabytes is three, not as often one and two.
func TestOfEachReplicaThePeakOfADayCounts(t *testing.T) {
	u := NewUsage()
	for i := range 200 {
		at := start.Add(time.Duration(i) * time.Minute)
		u.Observe(at, "a", 0.1, 1e9+1e7*float64(i), 1)
		u.Observe(at, "a", 0.1, 1e9, 1) // a lower one after it changes nothing
	}
	if r, _ := u.Recommend(); r.Lower.MemoryBytes < 2.98e9 {
		t.Errorf("the median of one peak of 2.99 GB: got %v", r.Lower.MemoryBytes)
	}
	// The next day's peak is another.
	for range 2 {
		u.Observe(start.Add(memoryInterval), "a", 0.1, 1e9, 1)
	}
	if r, _ := u.Recommend(); r.Lower.MemoryBytes > 1.3e9 || r.Upper.MemoryBytes < 2.99e9 {
		t.Errorf("the median of a peak of 2.99 GB and a heavier one of 1 GB a day later: got %v", r.Lower.MemoryBytes)
	}
}

func TestReplicasThatWentAreForgotten(t *testing.T) {
	u := NewUsage()
	u.Observe(start, "gone", 0.1, 1e9, 1)
	u.Observe(start.Add(time.Second), "here", 0.1, 1e9, 1)
	u.Forget(start.Add(memoryInterval - 1))
	if len(u.peaks) != 2 {
		t.Errorf("within the interval: %v are kept, want both", u.peaks)
	}
	u.Forget(start.Add(memoryInterval))
	if _, here := u.peaks["here"]; len(u.peaks) != 1 || !here {
		t.Errorf("once one's interval has ended: %v are kept, want the other", u.peaks)
	}
}

func TestWhatIsNoMeasurementTeachesNothing(t *testing.T) {
	u := NewUsage()
	if _, ok := u.Recommend(); ok {
		t.Error("recommends before anything was seen")
	}
	u.Observe(start, "a", 0.5, 1e9, 1)
	want, _ := u.Recommend()
	for _, x := range []float64{math.NaN(), math.Inf(1), -1} {
		u.Observe(start, "a", x, math.NaN(), 1)
		u.Observe(start, "b", x, -1, 1)
	}
	if got, _ := u.Recommend(); got.Target != want.Target {
		t.Errorf("got %+v, want %+v", got.Target, want.Target)
	}
}

// TestWeightsOutlastAnySilence: relative to a sample of ten years before they would not fit a number.
func TestWeightsOutlastAnySilence(t *testing.T) {
	u := NewUsage()
	u.Observe(start, "a", 0.1, 4e9, 1)
	for i := range 20 {
		u.Observe(start.AddDate(10, 0, i), "a", 0.5, 1e9, 1)
	}
	for range 20 {
		u.Observe(start.AddDate(10, 0, 20), "a", 1, 1e9, 1)
	}
	if r, _ := u.Recommend(); r.Lower.CPUCores < 1 || r.Target.CPUCores > 1.3 || r.Target.MemoryBytes > 1.3e9 {
		t.Errorf("got %+v, want what the newest samples say", r)
	}
}

// TestManySamplesOfAnHourAreAnHour: they are of as many replicas, and of the day nothing is known yet.
func TestManySamplesOfAnHourAreAnHour(t *testing.T) {
	u := NewUsage()
	for i := range 3600 {
		u.Observe(start.Add(time.Duration(i)*time.Second), "a", 0.5, 1e9, 1)
	}
	if r, _ := u.Recommend(); r.Upper.CPUCores < 24*r.Target.CPUCores {
		t.Errorf("got %+v, want an upper bound of 25 times the target", r)
	}
}

func TestHistogramAgainstSortedSamples(t *testing.T) {
	h := newHistogram(0.01, 1.05, 1000, 24*time.Hour)
	for i := range 10000 {
		h.add(math.Pow(float64(i)/10000, 3)*50, 1, start)
	}
	for _, level := range []float64{0.1, 0.5, 0.9, 0.99} {
		want := math.Pow(level, 3) * 50
		if got := h.percentile(level); got < want-1e-9 || got > 1.05*want+0.011 {
			t.Errorf("level %v: got %v, want %v to a bucket more", level, got, want)
		}
	}
}

func TestChoose(t *testing.T) {
	sizes := []Observed{{Name: "small", PerReplica: 100, Price: 1}, {Name: "large", PerReplica: 450, Price: 5}, {Name: "unseen", Price: 0.1},
		{Name: "small again", PerReplica: 100, Price: 1}, {Name: "without a price", PerReplica: 1000, Price: math.NaN()}}
	for _, tt := range []struct {
		name            string
		demand, hottest float64
		want            string
		replicas        int
		hot             bool
	}{
		{"cheapest per record", 800, 0, "small", 8, false},
		{"a hot partition needs the large one", 800, 200, "large", 2, false},
		{"one that just keeps up will do", 800, 100, "small", 8, false},
		{"no size keeps up", 800, 900, "large", 2, true},
		{"nothing arrives", 0, 0, "small", 1, false},
	} {
		got, ok := Choose(sizes, tt.demand, tt.hottest)
		if !ok || got.Name != tt.want || got.Replicas != tt.replicas || got.HotPartition != tt.hot {
			t.Errorf("%s: got %+v, want %d × %s, hot: %v", tt.name, got, tt.replicas, tt.want, tt.hot)
		}
	}
	if _, ok := Choose(nil, 1, 0); ok {
		t.Error("nothing observed: chose something")
	}
}
