package scaler

import (
	"math"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/metrics/series"
)

// ForecastAccuracy is how the policy's recent forecasts fared, as the forecaster keeps it: means over some 200 outcomes, to four
// digits.
type ForecastAccuracy struct {
	// Outcomes is how many forecasts were judged.
	Outcomes int `json:"outcomes"`
	// MaxCoverage holds, by level, the share of horizons whose highest arrival rate was at or under the quantile told of it, and
	// MaxPinball the mean pinball loss of that quantile, in records per second.
	MaxCoverage []QuantileValue `json:"maxCoverage,omitempty"`
	MaxPinball  []QuantileValue `json:"maxPinballRecordsPerSecond,omitempty"`
	// MASE is the median's mean absolute error over the last value's, under 1 where forecasting helps; BiasRatio is how much too
	// much is forecast, of the mean rate.
	MASE      series.Value `json:"mase"`
	BiasRatio series.Value `json:"biasRatio"`
	// Drifted reports that the errors lean one way for longer than chance allows.
	Drifted bool `json:"drifted,omitempty"`
	// Distrust says why the forecast is not believed though it is warm; empty where it is.
	Distrust string `json:"distrust,omitempty"`
}

// accuracyOf writes f's accuracy into a, reusing its memory.
func accuracyOf(a *ForecastAccuracy, f *forecaster.Forecast) {
	from := &f.Accuracy
	*a = ForecastAccuracy{Outcomes: from.Outcomes, Drifted: from.Drifted, MASE: short(from.MASE), BiasRatio: short(from.BiasRatio),
		MaxCoverage: a.MaxCoverage[:0], MaxPinball: a.MaxPinball[:0]}
	for i, share := range from.MaxCoverage {
		a.MaxCoverage = append(a.MaxCoverage, QuantileValue{f.Levels[i], fourDigits(share)})
		a.MaxPinball = append(a.MaxPinball, QuantileValue{f.Levels[i], fourDigits(from.MaxPinball[i])})
	}
	if f.Warm && !f.Trusted {
		a.Distrust = f.Reason
	}
}

func short(v series.Value) series.Value {
	x, ok := v.Get()
	if !ok {
		return v
	}
	return series.Of(fourDigits(x))
}

func fourDigits(x float64) float64 {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return x
	}
	unit := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(x))))
	if unit == 0 || math.IsInf(unit, 0) {
		return x
	}
	return math.Round(x*unit) / unit
}
