package scaler

import (
	"errors"
	"fmt"
	"time"
)

// Config is what one policy promises and allows.
type Config struct {
	// Policy is "namespace/name".
	Policy string
	// Interval is the time between ticks. Default 15s.
	Interval time.Duration
	// ObjectiveLag is how long a record may wait; ViolationRatio is the share of records, 0 to 1, that may wait longer.
	ObjectiveLag   time.Duration
	ViolationRatio float64
	// ObjectiveLatency bounds the latency source's figure; zero means none is promised.
	ObjectiveLatency time.Duration
	// MinReplicas (0 allows scale to zero) and MaxReplicas bound the answer.
	MinReplicas, MaxReplicas int
	// InitialLeadTime is assumed until start-ups have been seen. Default 60s.
	InitialLeadTime time.Duration
	// Observe decides and shows but keeps the present count; Paused freezes it.
	Observe, Paused bool
}

// DefaultConfig returns the defaults: every field but Policy, ObjectiveLag and MaxReplicas may stay as it is.
func DefaultConfig() Config {
	return Config{
		Interval:        15 * time.Second,
		ObjectiveLag:    30 * time.Second,
		ViolationRatio:  0.001,
		MinReplicas:     1,
		InitialLeadTime: 60 * time.Second,
	}
}

// Validate reports every problem, each with the key path that the policy's file uses.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Interval > 0, "interval: %v: want a positive duration such as 15s", c.Interval)
	check(c.ObjectiveLag > 0, "objective.lagSeconds: %v: want more than 0", c.ObjectiveLag.Seconds())
	check(c.ViolationRatio > 0 && c.ViolationRatio < 1, "objective.violationRatio: %v: want between 0 and 1, such as 0.001", c.ViolationRatio)
	check(c.ObjectiveLatency >= 0, "objective.latencySeconds: %v: want 0 or more", c.ObjectiveLatency.Seconds())
	check(c.MinReplicas >= 0, "replicas.min: %d: want 0 or more", c.MinReplicas)
	check(c.MaxReplicas >= 1, "replicas.max: %d: want 1 or more", c.MaxReplicas)
	check(c.MinReplicas <= c.MaxReplicas, "replicas.min: %d: want at most replicas.max, which is %d", c.MinReplicas, c.MaxReplicas)
	check(c.InitialLeadTime > 0, "leadTime.initial: %v: want a positive duration such as 60s", c.InitialLeadTime)
	return errors.Join(errs...)
}
