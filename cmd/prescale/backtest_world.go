package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/sim"
)

// start returns when the history began, and the zero Time for one that counts its seconds from a beginning of its own.
func (h *arrivals) start() time.Time {
	if h.begin < 1e8 {
		return time.Time{}
	}
	return epoch(h.begin)
}

func (f *backtestFlags) history(ctx context.Context, stderr io.Writer) (*arrivals, error) {
	s, err := f.source.read(ctx, time.Now(), stderr)
	if err != nil {
		return nil, err
	}
	h, err := newArrivals(s)
	return h, command.Input(err)
}

// trace turns a history into arrivals; a gap keeps the rate before it, and one that the history begins with has the first that is known,
// since nobody knows better.
func (h *arrivals) trace() (*sim.Trace, int, error) {
	rates := h.rates()
	gaps, last := 0, 0.0
	if i := slices.IndexFunc(rates, func(r float64) bool { return !math.IsNaN(r) }); i >= 0 {
		last = rates[i]
	}
	for i, r := range rates {
		if math.IsNaN(r) {
			gaps++
			rates[i] = last
			continue
		}
		last = r
	}
	trace, err := sim.NewTrace(h.name, h.step, rates)
	return trace, gaps, err
}

// scenario is the world to try the rules in; begin is when the trace began, the zero Time where that is not known.
func (f *backtestFlags) scenario(trace *sim.Trace, begin time.Time, changed func(string) bool) (sim.Scenario, scaler.Config, error) {
	config := scaler.DefaultConfig()
	config.Policy = "default/backtest"
	fromPolicy := f.policy != ""
	if fromPolicy {
		p, c, err := readPolicy(f.policy)
		if err != nil {
			return sim.Scenario{}, config, err
		}
		f.stated, config = *p, c
		config.Work = "" // what the history counts is the one unit that there is
		// The rule is tried at work, though it may only observe today, and on replicas that are all alike: of a split over pools one
		// target would get the sum, which says nothing where one does as much as ten.
		config.Observe, config.Paused, config.Pools = false, false, nil
	}
	use := func(flag string) bool { return !fromPolicy || changed(flag) }
	if use("objective") {
		config.ObjectiveLag = f.objective
	}
	if use("violation-ratio") {
		config.ViolationRatio = f.ratio
	}
	if use("interval") {
		config.Interval = f.tick
	}
	if use("min") {
		config.MinReplicas = f.minimum
	}
	if use("max") {
		config.MaxReplicas = f.maximum
		if f.maximum == 0 {
			config.MaxReplicas = f.partitions
		}
	}
	if err := config.Validate(); err != nil {
		return sim.Scenario{}, config, err
	}
	s := sim.DefaultScenario(trace)
	s.Tick, s.Lead, s.Partitions = config.Interval.Seconds(), f.lead.Seconds(), f.partitions
	s.Objective, s.Pause = config.ObjectiveLag.Seconds(), f.pause.Seconds()
	s.Min, s.Max, s.CapacityNoise, s.Seed = config.MinReplicas, config.MaxReplicas, f.noise, f.seed
	s.Initial = min(max(8, s.Min), s.Max)
	s.Start = begin
	s.NodeReplicas, s.NodeLead = f.nodeReplicas, f.nodeLead.Seconds()
	s.Assignor = sim.Assignor(f.assignor)
	if steps := forecastSteps(&s); steps > forecaster.MaxHorizonSteps {
		return s, config, fmt.Errorf("--interval: %v: to see past a lead time takes %d of them, and %d can be forecast; "+
			"want a longer one, or a shorter --lead-time",
			config.Interval, steps, forecaster.MaxHorizonSteps)
	}
	s.Capacity = trace.MeanRate() / f.need
	if f.capacity > 0 {
		s.Capacity = f.capacity
	}
	// A tenth of the history, a day at most, warms up and is not counted.
	s.CountFrom = min(86400, trace.Duration()/10)
	if trace.Duration() < 20*s.Tick {
		return s, config, fmt.Errorf("the history is %.0f s long: want at least 20 intervals of %v", trace.Duration(), config.Interval)
	}
	return s, config, s.Validate()
}
