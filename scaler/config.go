package scaler

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prescale/prescale/forecaster"
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
	// Work names the unit, such as tokens, in which arrivals, backlog and capacity are reckoned; empty means records. The work is
	// observed as Observation.ArrivalWork.
	Work string `json:",omitempty"`
	// MinReplicas (0 allows scale to zero) and MaxReplicas bound the answer.
	MinReplicas, MaxReplicas int
	// InitialLeadTime is assumed until start-ups have been seen. Default 60s.
	InitialLeadTime time.Duration
	// Observe decides and shows but keeps the present count; Paused freezes it.
	Observe, Paused bool
	// Sizes has decisions name the size of replica that would do best, of those that were seen at work.
	Sizes bool
	// Pools splits the replicas over several targets; empty means one. MaxReplicas then bounds their sum.
	Pools []Pool
	// Schedules raise MinReplicas at certain times.
	Schedules []Schedule
	// BudgetReplicaHoursPerDay is the most that may be spent between two midnights UTC; zero means no bound.
	BudgetReplicaHoursPerDay float64

	// Tuning replaces the plan's constants where sweeps look for better ones; nil means DefaultTuning.
	Tuning *Tuning
}

// Pool is one target among several.
type Pool struct {
	Name string
	// MaxReplicas is how many replicas it has room for; Price is what one costs per hour, in any one currency.
	MaxReplicas int
	Price       float64
	// Speed is what one does in multiples of any one unit, relied on until it is measured; 0 means 1.
	Speed float64
}

func (p *Pool) speed() float64 {
	if p.Speed == 0 {
		return 1
	}
	return p.Speed
}

// Schedule raises the lower bound to MinReplicas within a span.
type Schedule struct {
	forecaster.Span
	MinReplicas int
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
	check(c.ObjectiveLag != 0, "objective.lagSeconds: is missing, or 0: want how many seconds a record may wait, such as 30")
	check(c.ObjectiveLag >= 0, "objective.lagSeconds: %v: want more than 0", c.ObjectiveLag.Seconds())
	check(c.ViolationRatio > 0 && c.ViolationRatio < 1, "objective.violationRatio: %v: want between 0 and 1, such as 0.001",
		c.ViolationRatio)
	check(c.ObjectiveLatency >= 0, "objective.latencySeconds: %v: want 0 or more", c.ObjectiveLatency.Seconds())
	check(c.MinReplicas >= 0, "replicas.min: %d: want 0 or more", c.MinReplicas)
	check(c.MaxReplicas != 0, "replicas.max: is missing, or 0: want the most replicas that there may be, such as 12")
	check(c.MaxReplicas >= 0, "replicas.max: %d: want 1 or more", c.MaxReplicas)
	check(c.MaxReplicas < 1 || c.MinReplicas <= c.MaxReplicas, "replicas.min: %d: want at most replicas.max, which is %d",
		c.MinReplicas, c.MaxReplicas)
	check(c.InitialLeadTime > 0, "leadTime.initial: %v: want a positive duration such as 60s", c.InitialLeadTime)
	names := map[string]bool{}
	for i, p := range c.Pools {
		at := fmt.Sprintf("pools[%d]", i)
		check(p.Name != "", "%s.name: is empty: want a name such as gpu", at)
		check(p.Name == "" || !names[p.Name], "%s.name: %q: is used twice", at, p.Name)
		names[p.Name] = true
		check(p.MaxReplicas >= 1, "%s.max: %d: want 1 or more", at, p.MaxReplicas)
		check(p.Speed >= 0 && !math.IsInf(p.Speed, 0), "%s.speed: %v: want more than 0, such as 10, or leave it out", at, p.Speed)
		check(p.Price > 0 && !math.IsInf(p.Price, 0), "%s.price: %v: want more than 0", at, p.Price)
	}
	for i, s := range c.Schedules {
		at := fmt.Sprintf("schedules[%d]", i)
		errs = append(errs, s.Span.Validate(at))
		check(s.MinReplicas >= 1 && s.MinReplicas <= c.MaxReplicas, "%s.minReplicas: %d: want between 1 and replicas.max, which is %d",
			at, s.MinReplicas, c.MaxReplicas)
	}
	check(c.BudgetReplicaHoursPerDay >= 0, "budget.replicaHoursPerDay: %v: want more than 0", c.BudgetReplicaHoursPerDay)
	return errors.Join(errs...)
}
