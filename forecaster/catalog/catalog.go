// Package catalog is the one place that knows every model: it makes the model that a policy uses. Nothing else imports
// the model packages.
package catalog

import (
	"fmt"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/calendar"
	"github.com/prescale/prescale/forecaster/ensemble"
	"github.com/prescale/prescale/forecaster/level"
	"github.com/prescale/prescale/forecaster/ridge"
	"github.com/prescale/prescale/forecaster/seasonal"
	"github.com/prescale/prescale/forecaster/signal"
)

// member is one expert of the pool; make is called at most once per pool.
type member struct {
	name    string
	quick   bool // its errors are judged in the quick unit as well
	doubted bool // in the middle it is not believed at first
	make    func() ensemble.Expert
}

// pool makes the experts, in the order that checkpoints keep. Doubted are a maximum, regressions with more inputs than a young series
// tells apart, and two of the three that repeat the last value until they have seen a season.
func pool(day, steps int) []member {
	features := ridge.NewFeatures(steps)
	span := 1440.0
	if day > 0 {
		span = float64(day)
	}
	return []member{
		{"last", true, false, func() ensemble.Expert { return level.Last{} }},
		{"mean5", false, false, func() ensemble.Expert { return level.Mean{Span: signal.Mean5} }},
		{"mean60", false, false, func() ensemble.Expert { return level.Mean{Span: signal.Mean60} }},
		{"max10", false, true, func() ensemble.Expert { return level.Max{Span: 10} }},
		{"trend", false, false, func() ensemble.Expert { return &level.Trend{} }},
		{"day", false, false, func() ensemble.Expert { return seasonal.Day{} }},
		{"week", false, true, func() ensemble.Expert { return seasonal.Week{} }},
		{"profile", false, true, func() ensemble.Expert { return seasonal.Profile{} }},
		{"ridge", true, true, func() ensemble.Expert {
			return ridge.New(features, ridge.Settings{Inputs: ridge.Inputs, Memory: 3 * span, Penalty: 1e-3})
		}},
		{"ridge-fast", false, true, func() ensemble.Expert {
			return ridge.New(features, ridge.Settings{Inputs: ridge.FastInputs, Memory: max(120, span/4), Penalty: 1e-2})
		}},
	}
}

// New makes the standard model for config, the ensemble of all experts, or says what is wrong with config.
func New(config forecaster.Config) (forecaster.Model, error) { return build(config, "") }

// Names lists the experts, each of which Only makes a model of its own.
func Names() []string {
	var names []string
	for _, m := range pool(96, 1) {
		names = append(names, m.name)
	}
	return names
}

// Only returns a maker of models with the named expert alone, for comparisons. An unknown name is an error when called.
func Only(name string) func(forecaster.Config) (forecaster.Model, error) {
	return func(config forecaster.Config) (forecaster.Model, error) { return build(config, name) }
}

func build(config forecaster.Config, only string) (forecaster.Model, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("forecaster: %w", err)
	}
	day, week := seasons(config)
	var experts []ensemble.Expert
	var quick, doubted []int
	for _, m := range pool(day, config.MaxSteps) {
		if only == "" && m.quick {
			quick = append(quick, len(experts))
		}
		if only == "" && m.doubted {
			doubted = append(doubted, len(experts))
		}
		if only == "" || only == m.name {
			experts = append(experts, m.make())
		}
	}
	if len(experts) == 0 {
		return nil, fmt.Errorf("forecaster: no expert %q; there are %v", only, Names())
	}
	s := signal.New(day, week, config.MaxSteps)
	if len(config.Seasons) == 0 {
		s.Seek()
	}
	m, err := ensemble.New(config, s, experts, quick, doubted)
	if err != nil {
		return nil, err
	}
	// Also where there are no events now, so that a checkpoint with what was learned of some can be read.
	return calendar.New(m, config)
}

// seasons returns the two season lengths in steps. Where none is stated a day and a week are assumed, since arrivals follow
// people, and an expert on a season that is not there loses its weight; a shorter one is looked for.
func seasons(config forecaster.Config) (day, week int) {
	given := config.Seasons
	if len(given) == 0 {
		given = []time.Duration{24 * time.Hour, 7 * 24 * time.Hour}
	}
	day = config.SeasonSteps(given[0])
	if len(given) > 1 {
		week = config.SeasonSteps(given[1])
	}
	return day, week
}
