// Package catalog is the one place that knows every model: it makes the model that a policy uses. Nothing else imports
// the model packages.
package catalog

import (
	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/ensemble"
)

// New makes the standard model for config, or says what is wrong with config.
func New(config forecaster.Config) (forecaster.Model, error) {
	return ensemble.New(config)
}
