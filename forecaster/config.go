package forecaster

import (
	"errors"
	"fmt"
	"time"
)

// MaxHorizonSteps bounds Config.MaxSteps: the models keep state per step.
const MaxHorizonSteps = 240

// DefaultConfig forecasts ten steps of 15 s, which covers the start-up of most pods, at the levels that the scaler uses.
func DefaultConfig() Config {
	return Config{Step: 15 * time.Second, MaxSteps: 10, Quantiles: DefaultQuantiles()}
}

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
	for i, s := range c.Seasons {
		if c.Step > 0 && s < 2*c.Step {
			problems = append(problems, fmt.Errorf("seasons[%d]: %v is shorter than two steps of %v", i, s, c.Step))
		}
		if i > 0 && s <= c.Seasons[i-1] {
			problems = append(problems, fmt.Errorf("seasons[%d]: %v is not longer than %v", i, s, c.Seasons[i-1]))
		}
	}
	return errors.Join(append(problems, ValidateEvents(c.Events))...)
}
