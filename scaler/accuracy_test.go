package scaler

import (
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/metrics/series"
)

// doubtful is a forecaster that says ten times the last value, and says itself that it left its band.
type doubtful struct {
	levelModel
	trusted bool
}

func (m *doubtful) Forecast(dst *forecaster.Forecast, steps int) {
	m.levelModel.Forecast(dst, steps)
	for i := range dst.PerStep {
		dst.PerStep[i] *= 10
	}
	for i := range dst.Max {
		dst.Max[i] *= 10
	}
	dst.Accuracy = forecaster.Accuracy{Outcomes: 400, MASE: series.Of(1.23456), MaxCoverage: []float64{0.2, 0.3, 0.3, 0.4, 0.41239}, MaxPinball: []float64{1, 2, 3, 4, 5}}
	if dst.Trusted = m.trusted; !m.trusted {
		dst.Reason = "coverage has left its band"
	}
}

// TestAForecastThatLeftItsBandSaysSo: of two equal policies, the one whose forecast left its band says so and why.
func TestAForecastThatLeftItsBandSaysSo(t *testing.T) {
	run := func(trusted bool) Decision {
		config := DefaultConfig()
		config.Policy, config.MaxReplicas = "default/x", 500
		a, err := NewAutoscaler(config, &doubtful{levelModel: levelModel{step: config.Interval}, trusted: trusted})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(1_700_000_000, 0)
		var d Decision
		for range 200 {
			now = now.Add(config.Interval)
			records := series.Of(1000 * config.Interval.Seconds())
			d = a.Tick(now, series.Observation{At: now, Interval: config.Interval, ArrivalRecords: records, ConsumedRecords: records,
				LagRecords: series.Of(10), LagSeconds: series.Of(0.01), ReadyReplicas: series.Of(10), BusyRatio: series.Of(0.7)})
		}
		return d
	}
	trusted, distrusted := run(true), run(false)
	if slices.Contains(trusted.Verdicts, VerdictForecastUntrusted) {
		t.Errorf("trusted: verdicts %v", trusted.Verdicts)
	}
	if !slices.Contains(distrusted.Verdicts, VerdictForecastUntrusted) {
		t.Errorf("distrusted: verdicts %v", distrusted.Verdicts)
	}
	if a := distrusted.Accuracy; a.Distrust != "coverage has left its band" || a.Outcomes != 400 || a.MASE != series.Of(1.235) || a.MaxCoverage[4] != (QuantileValue{0.99, 0.4124}) {
		t.Errorf("accuracy: %+v", a)
	}
	if trusted.Accuracy.Distrust != "" {
		t.Errorf("trusted, with the reason %q", trusted.Accuracy.Distrust)
	}
}
