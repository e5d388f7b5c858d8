// Package catalog is the one place that knows every model: it makes the model that a policy uses. Nothing else imports
// the model packages.
package catalog

import (
	"fmt"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/ensemble"
	"github.com/prescale/prescale/forecaster/level"
	"github.com/prescale/prescale/forecaster/ridge"
	"github.com/prescale/prescale/forecaster/seasonal"
	"github.com/prescale/prescale/forecaster/signal"
)

// New makes the standard model for config, or says what is wrong with config.
func New(config forecaster.Config) (forecaster.Model, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("forecaster: %w", err)
	}
	day, week := seasons(config)
	s := signal.New(day, week, config.MaxSteps)
	features := ridge.NewFeatures(config.MaxSteps)
	span := 1440.0
	if day > 0 {
		span = float64(day)
	}
	return ensemble.New(config, s, []ensemble.Expert{
		level.Last{},
		level.Mean{Span: signal.Mean5},
		level.Mean{Span: signal.Mean15},
		level.Mean{Span: signal.Mean60},
		level.Max{Span: 10},
		level.Median{Span: 11},
		&level.Trend{},
		seasonal.Lag{},
		seasonal.Lag{Week: true},
		seasonal.Profile{},
		ridge.New(features, ridge.Settings{Inputs: ridge.Inputs, Memory: 3 * span, Penalty: 1e-3}),
		ridge.New(features, ridge.Settings{Inputs: ridge.FastInputs, Memory: max(120, span/4), Penalty: 1e-2}),
	})
}

// seasons returns the two season lengths in steps. Where none is stated a day and a week are assumed: arrivals follow
// people, and an expert on a season that is not there loses its weight.
func seasons(config forecaster.Config) (day, week int) {
	given := config.Seasons
	if len(given) == 0 {
		given = []time.Duration{24 * time.Hour, 7 * 24 * time.Hour}
	}
	day = int(given[0] / config.Step)
	if len(given) > 1 {
		week = int(given[1] / config.Step)
	}
	return day, week
}
