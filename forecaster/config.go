package forecaster

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// MaxHorizonSteps bounds Config.MaxSteps: the models keep state per step.
const MaxHorizonSteps = 240

// Validate joins all that is wrong with c, each problem naming its field, its value and what is allowed.
func (c Config) Validate() error {
	var problems []error
	if c.Step <= 0 {
		problems = append(problems, fmt.Errorf("step: %v is not positive", c.Step))
	}
	if c.MaxSteps < 1 || c.MaxSteps > MaxHorizonSteps {
		problems = append(problems, fmt.Errorf("maxSteps: %d is not within 1 to %d", c.MaxSteps, MaxHorizonSteps))
	}
	if len(c.Quantiles) == 0 {
		problems = append(problems, errors.New("quantiles: none given; want at least one level within (0, 1)"))
	}
	for i, q := range c.Quantiles {
		if !(q > 0 && q < 1) {
			problems = append(problems, fmt.Errorf("quantiles[%d]: %v is not within (0, 1)", i, q))
		}
		if i > 0 && q <= c.Quantiles[i-1] {
			problems = append(problems, fmt.Errorf("quantiles[%d]: %v does not rise above %v", i, q, c.Quantiles[i-1]))
		}
	}
	problems = append(problems, ValidateSeasons(c.Seasons, c.Step), ValidateEvents(c.Events))
	return errors.Join(problems...)
}

// maxSeasons is how many seasons the models have experts for.
const maxSeasons = 2

// ValidateSeasons joins all that is wrong with stated seasons at a sampling interval, each problem with its key path: season[1].
func ValidateSeasons(seasons []time.Duration, step time.Duration) error {
	var problems []error
	for i, s := range seasons {
		switch {
		case i >= maxSeasons:
			problems = append(problems, fmt.Errorf("season[%d]: %v: want at most %d seasons, such as a day and a week", i, s, maxSeasons))
		case step > 0 && s < 2*step:
			problems = append(problems, fmt.Errorf("season[%d]: %v is shorter than two steps of %v", i, s, step))
		case i > 0 && s <= seasons[i-1]:
			problems = append(problems, fmt.Errorf("season[%d]: %v is not longer than %v: want the shortest first", i, s, seasons[i-1]))
		}
	}
	return errors.Join(problems...)
}

// SeasonSteps returns how many steps a season has, to the nearest, and 0 where it has less than one.
func (c Config) SeasonSteps(season time.Duration) int {
	if season < c.Step {
		return 0
	}
	return int(math.Round(float64(season) / float64(c.Step)))
}
