// Package forecaster says what a forecaster of arrival rates is: the Model that every model family, and the ensemble over
// them, implements, and the Forecast that they give.
//
// Models are state machines stepped by the caller. They do no I/O, start no goroutine, write no log and read no clock, so
// that a backtest runs the very code that runs in production.
package forecaster

import (
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// Model forecasts one regularly sampled, non-negative series. It is not safe for concurrent use.
type Model interface {
	// Observe takes the value of the sample that ends at `at`, in units per second. NaN is a gap: the model learns
	// nothing from it and its clock goes on. Times that are irregular, repeat or go back are survived: a sample no later
	// than the last one is dropped, and missing steps count as gaps.
	Observe(at time.Time, value float64)

	// Forecast writes the forecast of the next `steps` steps into dst, reusing its memory. steps is at least 1 and at
	// most the Config.MaxSteps that the model was made with.
	Forecast(dst *Forecast, steps int)

	// AppendCheckpoint appends the model's whole state to b in a versioned form. Restoring it gives a model that
	// answers bit for bit as this one would.
	AppendCheckpoint(b []byte) []byte
	// Restore replaces the state with one that AppendCheckpoint wrote. On error the model is unchanged.
	Restore(checkpoint []byte) error
}

// Config is what any model is made with.
type Config struct {
	// Step is the sampling interval.
	Step time.Duration
	// MaxSteps is the longest horizon that will be asked for.
	MaxSteps int
	// Quantiles are the levels to forecast, strictly increasing within (0, 1).
	Quantiles []float64
	// Seasons are the known season lengths, two at most, shortest first; empty means that seasons are looked for.
	Seasons []time.Duration
	// Events are the known events. Where they overlap the largest factor counts.
	Events []Event `json:",omitempty"`
}

// DefaultQuantiles are the levels that the scaler's outer loop moves over.
func DefaultQuantiles() []float64 { return []float64{0.5, 0.8, 0.9, 0.95, 0.99} }

// Forecast is what a model says of the steps after its last sample. All values are non-negative units per second, and over
// rising levels they never fall.
type Forecast struct {
	// At is the time of the last sample and Step the sampling interval: step k (from 1) is at At + k×Step.
	At   time.Time
	Step time.Duration
	// Levels are the quantile levels, ascending.
	Levels []float64
	// Steps is the horizon; PerStep holds the quantiles of each step: step k (from 1), level i at (k-1)×len(Levels)+i.
	Steps   int
	PerStep []float64
	// Max holds, level by level, the quantiles of the maximum over the whole horizon: what a scaler lives by.
	Max []float64
	// Samples is how many values, gaps excluded, the model has learned from.
	Samples int
	// Warm reports whether the model has enough samples to be believed, and Trusted whether its recent coverage stayed
	// in its band. Reason says in words why not; it is empty when both hold.
	Warm    bool
	Trusted bool
	Reason  string
	// Accuracy says how recent forecasts of the longest horizon fared; its Outcomes are 0 where none was judged yet.
	Accuracy Accuracy
}

// Accuracy judges recent forecasts by what came; all are means over some 200 outcomes.
type Accuracy struct {
	// Outcomes is how many forecasts were judged since the model began.
	Outcomes int
	// MaxCoverage is, level by level, the share of windows whose maximum was at or under the quantile told of it, MaxPinball
	// the mean pinball loss of that quantile, in units per second.
	MaxCoverage, MaxPinball []float64
	// MASE is the mean absolute error of the last step's median over that of the last value at the same distance: under 1,
	// forecasting helps. BiasRatio is the mean of (median - outcome) over the mean outcome: positive when too much is forecast.
	// Both are missing where there is nothing to divide by.
	MASE, BiasRatio series.Value
	// Drifted reports that errors have leaned one way for longer than chance allows and have not yet come back.
	Drifted bool
}

// Quantile returns level i of step k, which counts from 1. It panics when either is out of range.
func (f *Forecast) Quantile(k, i int) float64 { return f.PerStep[(k-1)*len(f.Levels)+i] }
