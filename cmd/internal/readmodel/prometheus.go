package readmodel

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// Collector exposes a Store to Prometheus: the metrics of every policy under the names that the HPA reads them by, and beside them what
// explains them. A policy whose answer is stale exposes its age and no values, so that an alert sees a gap and not a flat line.
type Collector struct{ Store *Store }

// Describe sends nothing: the labels depend on the policies, so the collector is an unchecked one.
func (Collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the newest values.
func (c Collector) Collect(out chan<- prometheus.Metric) {
	now := c.Store.now()
	for _, st := range c.Store.All() {
		namespace, name, _ := strings.Cut(st.Policy, "/")
		base := map[string]string{"namespace": namespace, PolicyLabel: name}
		if st.Has {
			gauge(out, "prescale_sample_age_seconds", "Age of the newest sample of the policy.",
				base, series.Of(now.Sub(st.Entry.At).Seconds()))
		}
		gauge(out, "prescale_policy_answering", "1 while the policy's answer is fresh, 0 while queries get an error.", base,
			oneIf(st.Err == nil))
		if st.Err != nil {
			continue
		}
		e := &st.Entry
		for _, m := range e.Metrics() {
			labels := maps.Clone(m.Labels)
			labels["namespace"] = namespace
			gauge(out, m.Name, help(m.Name), labels, series.Of(m.Value))
		}
		d := &e.Decision
		objective(out, "prescale_objective_lag_seconds",
			"How long a record may wait: the promise that the lag in seconds is held against.", base, e.ObjectiveLag)
		objective(out, "prescale_objective_latency_seconds", "What the latency may be at most.", base, e.ObjectiveLatency)
		gauge(out, "prescale_ready_replicas", "Replicas that work.", base, e.Observation.ReadyReplicas)
		gauge(out, "prescale_capacity_records_per_second", "Records per second that one replica is estimated to do.", base,
			d.CapacityPerReplica)
		gauge(out, "prescale_work_per_record", "Recent mean work of a record, where the policy reckons in work: tokens, say.", base,
			d.WorkPerRecord)
		gauge(out, "prescale_lead_time_seconds", "Estimated time from a scale request to a replica's first record.", base,
			d.LeadTimeSeconds)
		gauge(out, "prescale_history_samples", "Samples of an imported history that the forecaster began with.", base,
			series.OfInt(d.HistorySamples))
		accuracy(out, &d.Accuracy, base)
		for _, v := range d.Verdicts {
			labels := maps.Clone(base)
			labels["verdict"] = string(v)
			gauge(out, "prescale_policy_verdict", "1 for each verdict that holds.", labels, series.Of(1))
		}
	}
}

// accuracy sends how the policy's recent forecasts fared. Before the first was judged there is nothing to send.
func accuracy(out chan<- prometheus.Metric, a *scaler.ForecastAccuracy, base map[string]string) {
	if a.Outcomes == 0 {
		return
	}
	byLevel := func(name, help string, values []scaler.QuantileValue) {
		for _, q := range values {
			labels := maps.Clone(base)
			labels["quantile"] = strconv.FormatFloat(q.Level, 'g', -1, 64)
			gauge(out, name, help, labels, series.Of(q.Value))
		}
	}
	byLevel("prescale_forecast_coverage_ratio",
		"Share of recent horizons whose highest arrival rate was at or under the quantile forecast of it.", a.MaxCoverage)
	byLevel("prescale_forecast_pinball_loss_records_per_second", "Mean pinball loss of the quantile of the highest arrival rate.",
		a.MaxPinball)
	gauge(out, "prescale_forecast_mase_ratio",
		"Recent absolute error of the median over that of the last value: under 1, forecasting helps.", base, a.MASE)
	gauge(out, "prescale_forecast_bias_ratio", "How much too much is forecast, of the mean arrival rate.", base, a.BiasRatio)
	gauge(out, "prescale_forecast_drifted", "1 while forecast errors lean one way for longer than chance allows.", base, oneIf(a.Drifted))
	gauge(out, "prescale_forecast_trusted", "0 while the forecast has left its band.", base, oneIf(a.Distrust == ""))
}

// objective sends what is promised; 0 is no promise.
func objective(out chan<- prometheus.Metric, name, help string, base map[string]string, bound time.Duration) {
	if bound > 0 {
		gauge(out, name, help, base, series.Of(bound.Seconds()))
	}
}

func oneIf(b bool) series.Value {
	if b {
		return series.Of(1)
	}
	return series.Of(0)
}

func help(name string) string {
	for _, i := range Infos() {
		if i.Name == name {
			return i.Help
		}
	}
	return ""
}

func gauge(out chan<- prometheus.Metric, name, help string, labels map[string]string, v series.Value) {
	x, ok := v.Get()
	if !ok {
		return
	}
	keys := slices.Sorted(maps.Keys(labels))
	values := make([]string, len(keys))
	for i, k := range keys {
		values[i] = labels[k]
	}
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, keys, nil), prometheus.GaugeValue, x, values...)
}
