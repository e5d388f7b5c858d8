package main

import (
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/scaler/sim"
)

// promises are the shares of late records that ours is asked for: its parameter, as utilisation or a threshold is the others'.
var promises = []float64{0.0003, 0.001, 0.003, 0.01, 0.03}

// Names of the policies that are not baselines.
const (
	ours        = "prescale"
	perfect     = "perfect forecasts"
	persistence = "persistence"
	oracle      = "oracle"
)

var baselines = []struct {
	name     string
	settings []float64
	make     func(*sim.Scenario, float64) sim.Policy
}{
	{"HPA on rate", []float64{0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0},
		func(s *sim.Scenario, u float64) sim.Policy { return sim.NewHPARate(s, u) }},
	{"KEDA lag (records)", []float64{10}, func(s *sim.Scenario, n float64) sim.Policy { return sim.NewKEDALag(s, n) }},
	{"KEDA lag (seconds)", []float64{1, 5, 15, 30}, func(s *sim.Scenario, x float64) sim.Policy { return sim.NewKEDALag(s, x*s.Capacity) }},
	{"KPA", []float64{0.4, 0.5, 0.6, 0.7, 0.8, 0.9}, func(s *sim.Scenario, u float64) sim.Policy { return sim.NewKPA(s, u) }},
	{"rate + drain, 60 s", []float64{0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0},
		func(s *sim.Scenario, u float64) sim.Policy { return sim.NewRateDrain(s, u, time.Minute) }},
	{"rate + drain, 300 s", []float64{0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0},
		func(s *sim.Scenario, u float64) sim.Policy { return sim.NewRateDrain(s, u, 5*time.Minute) }},
	{"PHPA linear", []float64{0.5, 0.7, 0.9}, func(s *sim.Scenario, u float64) sim.Policy { return sim.NewPHPA(s, u, false) }},
	{"PHPA Holt-Winters", []float64{0.5, 0.7, 0.9}, func(s *sim.Scenario, u float64) sim.Policy { return sim.NewPHPA(s, u, true) }},
	{"last value, snapped", []float64{0.5, 0.7, 0.9}, func(s *sim.Scenario, u float64) sim.Policy { return sim.NewLastValue(s, u, true) }},
}

// job is one run that is wanted.
type job struct {
	key
	make func(*sim.Scenario) (sim.Policy, error)
}

// jobs lists the runs of one cell of the grid. recorded may be nil where ours is not asked for.
func (o *options) jobs(cell key, recorded *sim.Forecasts, s *sim.Scenario) []job {
	var jobs []job
	add := func(policy string, setting float64, rule string, make func(*sim.Scenario) (sim.Policy, error)) {
		for seed := 1; seed <= o.seeds; seed++ {
			k := cell
			k.Policy, k.Setting, k.Seed, k.Rule = policy, setting, seed, rule
			jobs = append(jobs, job{k, make})
		}
	}
	for _, promise := range promises {
		rule := func(model func() forecaster.Model) func(*sim.Scenario) (sim.Policy, error) {
			return func(s *sim.Scenario) (sim.Policy, error) {
				config := s.Config(promise)
				config.Tuning = &o.tune
				var m forecaster.Model
				if model != nil {
					m = model()
				}
				return sim.NewPrescale(config, m)
			}
		}
		if o.wants(ours) {
			add(ours, promise, o.rule, rule(func() forecaster.Model { return recorded.Playback() }))
		}
		if o.wants(perfect) {
			add(perfect, promise, o.rule, rule(func() forecaster.Model { return sim.Perfect(s) }))
		}
		if o.wants(persistence) {
			add(persistence, promise, o.rule, rule(nil))
		}
	}
	if o.wants("baselines") {
		for _, b := range baselines {
			for _, setting := range b.settings {
				add(b.name, setting, "", func(s *sim.Scenario) (sim.Policy, error) { return b.make(s, setting), nil })
			}
		}
	}
	return jobs
}
