package sim

import (
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// Prescale is the rule that ships, as a Policy.
type Prescale struct {
	*scaler.Autoscaler
	Decision scaler.Decision // the latest
	split    []int
}

// NewPrescale returns the shipped rule with a model; a nil model leaves persistence.
func NewPrescale(config scaler.Config, model forecaster.Model) (*Prescale, error) {
	a, err := scaler.NewAutoscaler(config, model)
	if err != nil {
		return nil, err
	}
	return &Prescale{Autoscaler: a}, nil
}

// Config returns the policy that fits a scenario: everything but the promise comes from it. The capacity is not given, and
// the lead time assumed at first is the default, not the scenario's: both are learned.
func (s *Scenario) Config(violationRatio float64) scaler.Config {
	c := scaler.DefaultConfig()
	c.Policy = "default/simulated"
	c.Interval = time.Duration(s.Tick * float64(time.Second))
	c.ObjectiveLag = time.Duration(s.Objective * float64(time.Second))
	c.ViolationRatio = violationRatio
	c.MinReplicas, c.MaxReplicas = s.Min, s.Max
	for _, p := range s.Pools {
		c.Pools = append(c.Pools, scaler.Pool{Name: p.Name, MaxReplicas: p.Max, Price: p.Price})
	}
	return c
}

// Decide implements Policy.
func (p *Prescale) Decide(now time.Time, o *series.Observation) int {
	p.TickInto(&p.Decision, now, o)
	return p.Decision.DesiredReplicas
}

// Split implements Splitter.
func (p *Prescale) Split() []int {
	p.split = p.split[:0]
	for i := range p.Decision.Pools {
		p.split = append(p.split, p.Decision.Pools[i].DesiredReplicas)
	}
	return p.split
}

// Fixed always asks for the same count.
type Fixed int

// Decide implements Policy.
func (f Fixed) Decide(time.Time, *series.Observation) int { return int(f) }
