package forecaster_test

import (
	"fmt"
	"math"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
)

// A Model observes one sample after the other and forecasts quantiles of the steps that come, and of their maximum.
func ExampleModel() {
	model, err := catalog.New(forecaster.Config{Step: time.Minute, MaxSteps: 10, Quantiles: []float64{0.5, 0.99}, Seasons: []time.Duration{time.Hour}})
	if err != nil {
		panic(err)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for minute := range 24 * 60 {
		at = at.Add(time.Minute)
		value := 100.0
		if minute%60 < 10 {
			value = 300 // ten minutes of each hour are busy
		}
		if minute%100 == 0 {
			value = math.NaN() // missing is not zero
		}
		model.Observe(at, value)
	}
	var forecast forecaster.Forecast
	model.Forecast(&forecast, 10)
	median := forecast.Quantile(1, 0)
	fmt.Printf("in a minute about %.0f\n", 10*math.Round(median/10))
	fmt.Println("the highest of ten minutes is over the median of the first:", forecast.Max[0] >= median)
	// Output:
	// in a minute about 300
	// the highest of ten minutes is over the median of the first: true
}
