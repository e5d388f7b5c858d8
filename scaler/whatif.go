package scaler

import (
	"math"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/metrics/series"
)

// WhatIf is the answer that one thing being different would have given.
type WhatIf struct {
	If       string `json:"if"`
	Replicas int    `json:"replicas"`
	Reason   Reason `json:"reason"`
}

// WhatIf decides again on the last observation with one input changed at a time. Nothing is learned and nothing recorded.
func (a *Autoscaler) WhatIf(now time.Time, o series.Observation) []WhatIf {
	var out []WhatIf
	if a.state.Work.PerRecord > 0 {
		o = *a.inWork(&o)
	}
	try := func(name string, change change) {
		d := a.again(now, o, change)
		out = append(out, WhatIf{name, d.DesiredReplicas, d.Reason})
	}
	scaleForecast := func(x float64) change {
		return func(_ *Config, s *State, _ *series.Observation, f *forecaster.Forecast) {
			for i := range f.PerStep {
				f.PerStep[i] *= x
			}
			for i := range f.Max {
				f.Max[i] *= x
			}
			s.Arrivals.Level *= x
		}
	}
	if o.LagRecords.Or(0) > 0 {
		try("there were no backlog", func(_ *Config, _ *State, o *series.Observation, _ *forecaster.Forecast) {
			o.LagRecords, o.LagSeconds, o.PartitionLagRecords = series.Of(0), series.Of(0), nil
		})
	}
	try("the forecast were a quarter higher", scaleForecast(1.25))
	try("the forecast were a quarter lower", scaleForecast(0.75))
	try("a replica did a quarter more", func(_ *Config, s *State, _ *series.Observation, _ *forecaster.Forecast) {
		s.Capacity.scale(1.25)
	})
	try("replicas started twice as fast", func(c *Config, s *State, _ *series.Observation, _ *forecaster.Forecast) {
		c.InitialLeadTime /= 2
		for _, k := range []*startups{&s.Lead.Plain, &s.Lead.Provisioned, &s.Lead.FromZero} {
			for i := range k.Ring {
				k.Ring[i] /= 2
			}
		}
	})
	try("records might wait twice as long", func(c *Config, _ *State, _ *series.Observation,
		_ *forecaster.Forecast) {
		c.ObjectiveLag *= 2
	})
	try("ten times as many records might be late", func(c *Config, _ *State, _ *series.Observation, _ *forecaster.Forecast) {
		c.ViolationRatio = math.Min(10*c.ViolationRatio, 0.5)
	})
	if a.state.Partitions.Count > 0 {
		try("the topics had twice the partitions", func(_ *Config, s *State, o *series.Observation, _ *forecaster.Forecast) {
			s.Partitions.Count *= 2
			s.Partitions.Weights, s.Partitions.Seen, s.Partitions.ByLag = nil, 0, hotByLag{}
			o.PartitionLagRecords = nil
		})
	}
	try("replicas.max were twice as high", func(c *Config, _ *State, _ *series.Observation, _ *forecaster.Forecast) { c.MaxReplicas *= 2 })
	return out
}

// change changes what is decided by.
type change func(*Config, *State, *series.Observation, *forecaster.Forecast)

// again decides once more by what the last decision was made by, but for change; o is in the policy's unit of work.
func (a *Autoscaler) again(now time.Time, o series.Observation, change change) Decision {
	config, state, forecast := a.config, a.state, a.forecast
	if a.asked {
		state = a.before // else what was just asked for would hold back every other answer
	}
	forecast.PerStep = append([]float64(nil), a.forecast.PerStep...)
	forecast.Max = append([]float64(nil), a.forecast.Max...)
	// The derived lists are rebuilt, so they must not be shared.
	state.Partitions.useful, state.Partitions.effective, state.Partitions.derived = nil, nil, derivedFrom{}
	change(&config, &state, &o, &forecast)
	state.derive(&config)
	in := Input{Config: &config, State: &state, Observation: &o}
	if a.model != nil {
		in.Forecast = &forecast
	}
	in.ScheduledMin = a.scheduledMin(now, state.Lead.seconds(config.InitialLeadTime.Seconds(), int(o.ReadyReplicas.Or(1))))
	return Decide(now, in)
}
