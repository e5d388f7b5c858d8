package hpa

import (
	"errors"
	"slices"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func average(value, target float64) []Metric {
	return []Metric{{Value: value, Target: target, Average: true}}
}

func total(value, target float64) []Metric { return []Metric{{Value: value, Target: target}} }

func newController(t *testing.T, change func(*Config)) *Controller {
	t.Helper()
	config := DefaultConfig()
	config.MaxReplicas = 100
	if change != nil {
		change(&config)
	}
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestProposal(t *testing.T) {
	broken, tenth := errors.New("stale"), 0.1
	for _, tt := range []struct {
		name    string
		n       int
		metrics []Metric
		want    int
	}{
		{"average above target", 4, average(40, 10), 4},
		{"average asks for the ceiling", 4, average(51, 10), 6},
		{"average within the tolerance of 10 %", 10, average(109, 10), 10},
		{"average just beyond it", 10, average(110.1, 10), 12},
		{"wanted count within tolerance is ignored above ten replicas", 63, average(64, 1), 63},
		{"total scales the ready pods by the ratio", 4, total(15, 10), 6},
		{"total within the tolerance", 4, total(10.9, 10), 4},
		{"the largest of several", 4, append(average(51, 10), average(70, 10)...), 7},
		{"one errs, the other goes up", 4, append(average(70, 10), Metric{Err: broken}), 7},
		{"0.1 + 0.2 is 0.3, as thousandths are", 1, average(tenth+0.2, tenth), 3},
		{"one errs, the other would go down", 4, append(average(10, 10), Metric{Err: broken}), 4},
		{"all err", 4, []Metric{{Err: broken}}, 4},
	} {
		// Without a window, so that a wish for less shows.
		b, none := DefaultBehavior(), time.Duration(0)
		b.ScaleDown.Stabilization = &none
		c := newController(t, func(c *Config) { c.Behavior = b })
		got := c.Reconcile(at(0), Input{SpecReplicas: tt.n, StatusReplicas: tt.n, ReadyPods: tt.n, Metrics: tt.metrics})
		if got.Replicas != tt.want {
			t.Errorf("%s: got %d (%v), want %d", tt.name, got.Replicas, got.Err, tt.want)
		}
	}
}

func TestATotalScalesTheReadyPods(t *testing.T) {
	got := newController(t, nil).Reconcile(at(0), Input{SpecReplicas: 4, StatusReplicas: 4, ReadyPods: 3, Metrics: total(30, 10)})
	if got.Replicas != 8 || got.Proposed != 9 { // 3 × 3, and no more than twice as many at once
		t.Errorf("got %+v, want 9 proposed and 8", got)
	}
}

// run steps a controller every 15 s with a target that follows at once, and returns the counts.
func run(c *Controller, n int, wishes ...float64) []int {
	var counts []int
	for i, wish := range wishes {
		n = c.Reconcile(at(15*i), Input{SpecReplicas: n, StatusReplicas: n, ReadyPods: n, Metrics: average(wish, 1)}).Replicas
		counts = append(counts, n)
	}
	return counts
}

func repeat(wish float64, times int) []float64 {
	var w []float64
	for range times {
		w = append(w, wish)
	}
	return w
}

func TestScaleUpLimit(t *testing.T) {
	for _, tt := range []struct {
		name     string
		behavior *Behavior
		n        int
		want     []int
	}{
		// Without behavior: max(2n, 4) a sync. With the defaults: the larger of +4 and ×2 a period of 15 s, whose events
		// count while younger than it, so that each sync may go again.
		{"no behavior", nil, 1, []int{4, 8, 16, 32, 50}},
		{"default behavior", DefaultBehavior(), 1, []int{5, 10, 20, 40, 50}},
	} {
		got := run(newController(t, func(c *Config) { c.Behavior = tt.behavior }), tt.n, repeat(50, 5)...)
		for i := range tt.want {
			if got[i] != tt.want[i] {
				t.Errorf("%s: sync %d: got %v, want %v", tt.name, i, got, tt.want)
				break
			}
		}
	}
}

func TestScaleDownWaitsForTheWindow(t *testing.T) {
	for _, behavior := range []*Behavior{nil, DefaultBehavior()} {
		wishes := append([]float64{20}, repeat(5, 30)...)
		got := run(newController(t, func(c *Config) { c.Behavior = behavior }), 20, wishes...)
		for i, n := range got {
			// The wish for 20 is of time 0; without behavior it still counts when exactly 300 s old.
			want := 20
			if age := 15 * i; age > 300 || (age == 300 && behavior != nil) {
				want = 5
			}
			if n != want {
				t.Fatalf("behavior %v: at %d s: got %d, want %d", behavior != nil, 15*i, n, want)
			}
		}
	}
}

func TestTheSmallestOfSeveralPolicies(t *testing.T) {
	b := DefaultBehavior()
	b.ScaleUp.Select, b.ScaleDown.Select = SelectMin, SelectMin
	none := time.Duration(0)
	b.ScaleDown.Stabilization = &none
	b.ScaleDown.Policies = []Policy{{Value: 3, Period: 15 * time.Second}, {Percent: true, Value: 50, Period: 15 * time.Second}}
	got := run(newController(t, func(c *Config) { c.Behavior = b }), 10, 50, 50, 1, 1)
	// The smaller of +4 and ×2, then of -3 and ÷2.
	if want := []int{14, 18, 15, 12}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAPolicyCountsFromWherePeriodBegan(t *testing.T) {
	b := DefaultBehavior()
	none := time.Duration(0)
	b.ScaleDown.Stabilization = &none
	b.ScaleUp.Policies = []Policy{{Value: 2, Period: time.Minute}}
	// Five go at 0 s. At 15 s two more than the ten of a minute ago are allowed, and nothing more until 75 s.
	got := run(newController(t, func(c *Config) { c.Behavior = b }), 10, 5, 50, 50, 50, 50, 50)
	if want := []int{5, 12, 12, 12, 12, 14}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDisabledDirection(t *testing.T) {
	b := DefaultBehavior()
	b.ScaleDown.Select = SelectDisabled
	got := run(newController(t, func(c *Config) { c.Behavior = b }), 20, repeat(1, 40)...)
	if got[39] != 20 {
		t.Errorf("got %d, want 20", got[39])
	}
}

func TestZero(t *testing.T) {
	c := newController(t, func(c *Config) { c.MinReplicas, c.ScaleToZero, c.DownscaleStabilization = 0, true, 0 })
	if got := run(c, 2, 0, 0, 3); got[1] != 0 || got[2] != 3 {
		t.Errorf("to and from zero: got %v, want 0, then 3", got)
	}
	if got := run(newController(t, nil), 0, 5, 5); got[1] != 0 {
		t.Errorf("scaled to zero by hand: got %v, want it disabled", got)
	}
}

func TestBoundsWithoutMetrics(t *testing.T) {
	c := newController(t, func(c *Config) { c.MinReplicas = 3; c.MaxReplicas = 6 })
	for n, want := range map[int]int{1: 3, 9: 6} {
		if got := c.Reconcile(at(0), Input{SpecReplicas: n}); got.Replicas != want || !got.Rescaled {
			t.Errorf("from %d: got %+v, want %d", n, got, want)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		change func(*Config)
		want   string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.SyncPeriod = 0 }, "syncPeriod: 0s: want more than 0"},
		{func(c *Config) { c.Tolerance = 0 }, ""},
		{func(c *Config) { c.Tolerance = -0.1 }, "tolerance: -0.1: want at least 0 and below 1"},
		{func(c *Config) { c.Tolerance = 1 }, "tolerance: 1: want at least 0 and below 1"},
		{func(c *Config) { c.DownscaleStabilization = -1 }, "downscaleStabilization: -1ns: want 0 or more"},
		{func(c *Config) { c.MinReplicas = 0 }, "minReplicas: 0: needs scaleToZero"},
		{func(c *Config) { c.MinReplicas, c.ScaleToZero = -1, true }, "minReplicas: -1: want 0 or more"},
		{func(c *Config) { c.MinReplicas, c.MaxReplicas, c.ScaleToZero = 0, 0, true }, "maxReplicas: 0: want at least 1 and at least minReplicas"},
		{func(c *Config) { c.MinReplicas = 10 }, ""},
		{func(c *Config) { c.MinReplicas = 11 }, "maxReplicas: 10: want at least 1 and at least minReplicas"},
		{func(c *Config) { c.SyncPeriod, c.Tolerance = 0, 1 }, "syncPeriod: 0s: want more than 0\ntolerance: 1: want at least 0 and below 1"},
	} {
		config := DefaultConfig()
		tt.change(&config)
		got := ""
		if _, err := New(config); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%+v: error %q, want %q", config, got, tt.want)
		}
	}
}
