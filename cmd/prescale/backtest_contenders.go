package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/sim"
)

// ours is the name of the shipped rule among the contenders; its ablations begin with it.
const ours = "prescale"

// contender is a rule to be tried.
type contender struct {
	name    string
	setting float64
	make    func(*sim.Scenario) (sim.Policy, error)
	plot    bool
	future  bool
	learns  bool
}

// forecastSteps returns how many steps are forecast: a lead time, when it is longer than said, and some beyond it.
func forecastSteps(s *sim.Scenario) int {
	longest := s.Lead
	if s.NodeReplicas > 0 {
		longest += s.NodeLead
	}
	return max(int(math.Ceil(1.3*longest/s.Tick))+6, 4)
}

// tryAll runs every rule over the history.
func (f *backtestFlags) tryAll(ctx context.Context, s sim.Scenario, config scaler.Config, bar *progressBar) (*backtestResult, error) {
	result := &backtestResult{
		Trace: s.Trace.Name, Days: s.Trace.Duration() / 86400, MeanRate: s.Trace.MeanRate(), Capacity: s.Capacity, Assumed: f.capacity == 0,
		LeadSeconds: s.Lead, Partitions: s.Partitions, Objective: s.Objective, ViolationRatio: config.ViolationRatio, scenario: s,
	}
	steps := forecastSteps(&s)
	model, err := catalog.New(forecaster.Config{
		Step: config.Interval, MaxSteps: steps, Quantiles: forecaster.DefaultQuantiles(),
		Seasons: f.stated.Seasons(), Events: f.stated.Events(),
	})
	if err != nil {
		return nil, command.Input(err)
	}
	bar.begin("forecasting")
	var recorded *sim.Forecasts
	if err := command.Interruptible(ctx, func() { recorded = sim.Record(&s, model, steps, bar.share) }); err != nil {
		return nil, err
	}
	result.recorded = recorded
	contenders := f.contenders(config, result.recorded)
	for i, c := range contenders {
		bar.begin(fmt.Sprintf("%d/%d %s", i+1, len(contenders), rowName(backtestRow{Policy: c.name, Setting: c.setting})))
		policy, err := c.make(&s)
		if err != nil {
			return nil, err
		}
		one := s
		one.Keep = c.plot && f.html != ""
		var r sim.Result
		if stopped := command.Interruptible(ctx, func() { r, err = sim.Run(one, counted(policy, &one, bar.share)) }); stopped != nil {
			return nil, stopped
		}
		if err != nil {
			return nil, err
		}
		hours := r.ReplicaSeconds / 3600
		result.Rows = append(result.Rows, backtestRow{
			Policy: c.name, Setting: c.setting, CostRatio: r.Cost(), ReplicaHours: hours, Price: hours * f.price,
			LateRatio: r.LateRatio, P99Seconds: r.WaitP99,
			ChangesPerDay: float64(r.Changes) / r.Days, MovesPerDay: float64(r.Moves) / r.Days,
			UnderProvision: r.Elasticity.TauUnder, OverProvision: r.Elasticity.TauOver,
			KnowsCapacity: !c.learns, KnowsTheFuture: c.future, points: r.Points,
		})
	}
	bar.begin("most replicas")
	var most sim.Result
	if stopped := command.Interruptible(ctx, func() { most, err = sim.Run(s, counted(sim.Fixed(s.Max), &s, bar.share)) }); stopped != nil {
		return nil, stopped
	}
	if err != nil {
		return nil, err
	}
	result.MostReplicas, result.LateAtMost = s.Max, most.LateRatio
	bar.begin("clairvoyant")
	var o sim.Oracle
	if stopped := command.Interruptible(ctx, func() { o, err = sim.ClairvoyantCost(s) }); stopped != nil {
		return nil, stopped
	}
	if err != nil {
		return nil, err
	}
	result.OracleLower, result.OracleUpper = o.Lower, o.Upper
	return result, nil
}

func (f *backtestFlags) contenders(config scaler.Config, recorded *sim.Forecasts) []contender {
	shipped := func(ratio float64, model func(*sim.Scenario) forecaster.Model) func(*sim.Scenario) (sim.Policy, error) {
		return func(s *sim.Scenario) (sim.Policy, error) {
			c := config
			c.ViolationRatio = ratio
			return sim.NewPrescale(c, model(s))
		}
	}
	standard := func(*sim.Scenario) forecaster.Model { return recorded.Playback() }
	all := []contender{
		{name: ours, setting: config.ViolationRatio, make: shipped(config.ViolationRatio, standard), plot: true, learns: true},
		{name: "prescale, perfect forecasts", make: shipped(config.ViolationRatio, sim.Perfect), future: true, learns: true},
		{name: "prescale, persistence", make: shipped(config.ViolationRatio, func(*sim.Scenario) forecaster.Model { return nil }),
			learns: true},
	}
	for _, ratio := range []float64{0.0003, 0.001, 0.003, 0.01, 0.03} {
		if ratio != config.ViolationRatio {
			all = append(all, contender{name: ours, setting: ratio, make: shipped(ratio, standard), learns: true})
		}
	}
	simple := func(name string, plotted float64, settings []float64, make func(*sim.Scenario, float64) sim.Policy) {
		for _, x := range settings {
			all = append(all, contender{name: name, setting: x, plot: x == plotted,
				make: func(s *sim.Scenario) (sim.Policy, error) { return make(s, x), nil }})
		}
	}
	simple("HPA on rate", 0.7, []float64{0.5, 0.6, 0.7, 0.8, 0.9},
		func(s *sim.Scenario, x float64) sim.Policy { return sim.NewHPARate(s, x) })
	simple("KEDA lag, records", 10, []float64{10}, func(s *sim.Scenario, x float64) sim.Policy { return sim.NewKEDALag(s, x) })
	simple("KEDA lag, seconds", 0, []float64{5, 15}, func(s *sim.Scenario, x float64) sim.Policy { return sim.NewKEDALag(s, x*s.Capacity) })
	simple("KPA", 0, []float64{0.5, 0.7}, func(s *sim.Scenario, x float64) sim.Policy { return sim.NewKPA(s, x) })
	simple("rate + drain (Flink)", 0.7, []float64{0.5, 0.6, 0.7, 0.8, 0.9},
		func(s *sim.Scenario, x float64) sim.Policy { return sim.NewRateDrain(s, x, 5*time.Minute) })
	simple("PHPA linear", 0, []float64{0.7}, func(s *sim.Scenario, x float64) sim.Policy { return sim.NewPHPA(s, x, false) })
	simple("PHPA Holt-Winters", 0, []float64{0.7}, func(s *sim.Scenario, x float64) sim.Policy { return sim.NewPHPA(s, x, true) })
	return all
}
