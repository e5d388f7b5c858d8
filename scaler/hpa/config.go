package hpa

import (
	"errors"
	"fmt"
	"time"
)

// Config is the HPA's spec and the controller's flags.
type Config struct {
	// SyncPeriod is the time between two looks of the controller (its --horizontal-pod-autoscaler-sync-period). It is
	// here for callers; Controller itself goes by the times it is given. Default 15s.
	SyncPeriod time.Duration
	// Tolerance is the deviation of the usage ratio from 1 that is let pass (--horizontal-pod-autoscaler-tolerance).
	// Default 0.1: with 20 replicas and a target AverageValue of 1, wishes from 18 to 22 change nothing.
	Tolerance float64
	// DownscaleStabilization is the window where Behavior does not state one. Default 300s.
	DownscaleStabilization time.Duration
	// MinReplicas and MaxReplicas are the spec's bounds. MinReplicas 0 needs ScaleToZero.
	MinReplicas, MaxReplicas int
	// ScaleToZero is the feature gate HPAScaleToZero.
	ScaleToZero bool
	// Behavior is the spec's behavior; nil is not the same as its defaults: see the scale-up limit in limit.go.
	Behavior *Behavior
}

// DefaultConfig returns the flags' defaults, one to ten replicas and no behavior.
func DefaultConfig() Config {
	return Config{
		SyncPeriod: 15 * time.Second, Tolerance: 0.1, DownscaleStabilization: 300 * time.Second,
		MinReplicas: 1, MaxReplicas: 10,
	}
}

// Validate reports every problem with its key path.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.SyncPeriod > 0, "syncPeriod: %v: want more than 0", c.SyncPeriod)
	check(c.Tolerance >= 0 && c.Tolerance < 1, "tolerance: %v: want at least 0 and below 1", c.Tolerance)
	check(c.DownscaleStabilization >= 0, "downscaleStabilization: %v: want 0 or more", c.DownscaleStabilization)
	check(c.MinReplicas >= 0, "minReplicas: %d: want 0 or more", c.MinReplicas)
	check(c.MinReplicas > 0 || c.ScaleToZero, "minReplicas: 0: needs scaleToZero")
	check(c.MaxReplicas >= 1 && c.MaxReplicas >= c.MinReplicas, "maxReplicas: %d: want at least 1 and at least minReplicas", c.MaxReplicas)
	return errors.Join(errs...)
}

// Behavior is spec.behavior. New fills in what is left out, as the API server does.
type Behavior struct{ ScaleUp, ScaleDown Rules }

// Rules are the rules of one direction.
type Rules struct {
	// Stabilization is the window; nil in ScaleDown means Config.DownscaleStabilization, in ScaleUp none.
	Stabilization *time.Duration
	// Select picks among Policies. Empty means SelectMax: the policy that allows the largest change.
	Select Select
	// Policies bound the change; none means those of DefaultBehavior.
	Policies []Policy
	// Tolerance replaces Config.Tolerance in this direction; nil keeps it.
	Tolerance *float64
}

// orElse returns r with what it leaves out taken from the defaults.
func (r Rules) orElse(defaults *Rules) Rules {
	if r.Select == "" {
		r.Select = defaults.Select
	}
	if len(r.Policies) == 0 {
		r.Policies = defaults.Policies
	}
	return r
}

// Select picks among policies.
type Select string

// The ways to pick.
const (
	SelectMax      Select = "Max"
	SelectMin      Select = "Min"
	SelectDisabled Select = "Disabled"
)

// Policy bounds the change within Period, by pods or, where Percent is set, by per cent of the count at its start.
type Policy struct {
	Percent bool
	Value   int
	Period  time.Duration
}

// DefaultBehavior returns what the API server fills in where a behavior is given without rules: up by 4 pods or 100 %
// every 15 s, whichever is more; down by 100 % every 15 s after the stabilization window.
func DefaultBehavior() *Behavior {
	return &Behavior{
		ScaleUp: Rules{Select: SelectMax, Policies: []Policy{{Value: 4, Period: 15 * time.Second},
			{Percent: true, Value: 100, Period: 15 * time.Second}}},
		ScaleDown: Rules{Select: SelectMax, Policies: []Policy{{Percent: true, Value: 100, Period: 15 * time.Second}}},
	}
}
