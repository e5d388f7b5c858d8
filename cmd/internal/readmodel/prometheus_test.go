package readmodel

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

func TestAccuracyIsExported(t *testing.T) {
	s := NewStore(func() time.Time { return start })
	s.Expect("ns/judged", tick)
	s.Expect("ns/new", tick)
	judged := entryAt("ns/judged", start, 0, 1)
	judged.Decision.Accuracy = scaler.ForecastAccuracy{Outcomes: 10, MASE: series.Of(0.75), Distrust: "why",
		MaxCoverage: []scaler.QuantileValue{{Level: 0.95, Value: 0.4}}, MaxPinball: []scaler.QuantileValue{{Level: 0.95, Value: 3}}}
	s.Publish(judged)
	s.Publish(entryAt("ns/new", start, 0, 1))
	want := `
# HELP prescale_forecast_coverage_ratio Share of recent horizons whose highest arrival rate was at or under the quantile forecast of it.
# TYPE prescale_forecast_coverage_ratio gauge
prescale_forecast_coverage_ratio{namespace="ns",policy="judged",quantile="0.95"} 0.4
# HELP prescale_forecast_mase_ratio Recent absolute error of the median over that of the last value: under 1, forecasting helps.
# TYPE prescale_forecast_mase_ratio gauge
prescale_forecast_mase_ratio{namespace="ns",policy="judged"} 0.75
# HELP prescale_forecast_trusted 0 while the forecast has left its band.
# TYPE prescale_forecast_trusted gauge
prescale_forecast_trusted{namespace="ns",policy="judged"} 0
`
	err := testutil.CollectAndCompare(Collector{s}, strings.NewReader(want),
		"prescale_forecast_coverage_ratio", "prescale_forecast_mase_ratio", "prescale_forecast_bias_ratio", "prescale_forecast_trusted")
	if err != nil {
		t.Error(err)
	}
}

func TestThePromiseIsExported(t *testing.T) {
	s := NewStore(func() time.Time { return start })
	s.Expect("ns/lag", tick)
	s.Expect("ns/both", tick)
	lag, both := entryAt("ns/lag", start, 0, 1), entryAt("ns/both", start, 0, 1)
	lag.ObjectiveLag = 30 * time.Second
	both.ObjectiveLag, both.ObjectiveLatency = time.Minute, 250*time.Millisecond
	s.Publish(lag)
	s.Publish(both)
	want := `
# HELP prescale_objective_lag_seconds How long a record may wait: the promise that the lag in seconds is held against.
# TYPE prescale_objective_lag_seconds gauge
prescale_objective_lag_seconds{namespace="ns",policy="both"} 60
prescale_objective_lag_seconds{namespace="ns",policy="lag"} 30
# HELP prescale_objective_latency_seconds What the latency may be at most.
# TYPE prescale_objective_latency_seconds gauge
prescale_objective_latency_seconds{namespace="ns",policy="both"} 0.25
`
	if err := testutil.CollectAndCompare(Collector{s}, strings.NewReader(want), "prescale_objective_lag_seconds", "prescale_objective_latency_seconds"); err != nil {
		t.Error(err)
	}
}
