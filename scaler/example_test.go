package scaler_test

import (
	"fmt"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// group is a consumer group of which each replica does 500 records a second.
type group struct{ replicas, lag float64 }

// serve is a tick of 15 s in which so many records a second arrive.
func (g *group) serve(at time.Time, recordsPerSecond float64) series.Observation {
	const seconds = 15
	arrived, most := seconds*recordsPerSecond, seconds*500*g.replicas
	consumed := min(arrived+g.lag, most)
	g.lag += arrived - consumed
	return series.Observation{
		At: at, Interval: seconds * time.Second, Partitions: series.Of(48),
		ArrivalRecords: series.Of(arrived), ConsumedRecords: series.Of(consumed),
		LagRecords: series.Of(g.lag), LagSeconds: series.Of(g.lag / recordsPerSecond),
		ReadyReplicas: series.Of(g.replicas), StartingReplicas: series.Of(0), BusyRatio: series.Of(consumed / most),
	}
}

// An Autoscaler is a policy at work: an observation a tick, and it forecasts, learns and decides.
func ExampleAutoscaler() {
	config := scaler.DefaultConfig()
	config.Policy, config.ObjectiveLag, config.MaxReplicas = "shop/orders", 30*time.Second, 24
	model, err := catalog.New(forecaster.Config{
		Step: config.Interval, MaxSteps: config.ForecastSteps(), Quantiles: forecaster.DefaultQuantiles()})
	if err != nil {
		panic(err)
	}
	autoscaler, err := scaler.NewAutoscaler(config, model)
	if err != nil {
		panic(err)
	}
	at, orders := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), group{replicas: 8}
	var decision scaler.Decision
	for range 240 {
		at = at.Add(config.Interval)
		decision = autoscaler.Tick(at, orders.serve(at, 1600))
		orders.replicas = float64(decision.DesiredReplicas) // an HPA that follows, and replicas that start within a tick
	}
	fmt.Printf("%d replicas, each of which does %.0f records a second: %s\n",
		decision.DesiredReplicas, decision.CapacityPerReplica.Or(0), decision.Reason)
	// Output:
	// 4 replicas, each of which does 500 records a second: Hold
}

// Decide is one decision: the state learns the observation, the decision depends on both and on a forecast where there is one, and the
// state notes it for the next.
func ExampleDecide() {
	config := scaler.DefaultConfig()
	config.Policy, config.ObjectiveLag, config.MaxReplicas = "shop/orders", 30*time.Second, 24
	var state scaler.State
	at, orders := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), group{replicas: 2}
	for _, rate := range []float64{900, 900, 1600} {
		at = at.Add(config.Interval)
		observation := orders.serve(at, rate)
		state.Learn(&config, &observation)
		decision := scaler.Decide(at, scaler.Input{Config: &config, State: &state, Observation: &observation})
		state.Record(&decision, &observation)
		fmt.Printf("%.0f records behind: %d replicas, %s\n", orders.lag, decision.DesiredReplicas, decision.Reason)
	}
	// Output:
	// 0 records behind: 2 replicas, WarmingUp
	// 0 records behind: 2 replicas, WarmingUp
	// 9000 records behind: 4 replicas, Backlog
}
