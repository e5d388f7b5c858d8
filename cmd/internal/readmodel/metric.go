package readmodel

import (
	"maps"
	"strconv"
	"strings"

	"github.com/prescale/prescale/metrics/series"
)

// The names of the metrics: the same on external.metrics.k8s.io, custom.metrics.k8s.io, the KEDA scaler and Prometheus.
const (
	DesiredReplicas     = "prescale_desired_replicas"
	LagRecords          = "prescale_kafka_lag_records"
	LagSeconds          = "prescale_kafka_lag_seconds"
	ArrivalRate         = "prescale_kafka_arrival_records_per_second"
	ForecastArrivalRate = "prescale_forecast_arrival_records_per_second"
	InferenceLatency    = "prescale_inference_latency_seconds"
	poolLabel           = "pool"
	quantileLabel       = "quantile"
	horizonLabel        = "horizon"
	horizonMax          = "max"
)

// PolicyLabel is the label that holds the policy's name, without its namespace.
const PolicyLabel = "policy"

// Info names one metric for discovery and help texts.
type Info struct{ Name, Help string }

// Infos lists every metric that a policy can have, sorted by name.
func Infos() []Info {
	return []Info{
		{DesiredReplicas, "Replicas that the policy asks for."},
		{ForecastArrivalRate, "Quantile of the highest arrival rate over the forecast horizon, in records per second."},
		{InferenceLatency, "Latency that the policy's latency source reports, in seconds."},
		{ArrivalRate, "Records appended to the policy's topics per second."},
		{LagRecords, "Records that the consumer group is behind."},
		{LagSeconds, "Age of the oldest record that the consumer group has not committed, in seconds."},
	}
}

// Metric is one value of one policy.
type Metric struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// Metrics returns every known value of the entry: a value that is missing is left out, never 0.
func (e *Entry) Metrics() []Metric {
	_, name, _ := strings.Cut(e.Policy, "/")
	labels := maps.Clone(e.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[PolicyLabel] = name
	with := func(pairs ...string) map[string]string {
		m := maps.Clone(labels)
		for i := 0; i+1 < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	var out []Metric
	add := func(name string, v series.Value, labels map[string]string) {
		if x, ok := v.Get(); ok {
			out = append(out, Metric{Name: name, Labels: labels, Value: x})
		}
	}
	if len(e.Decision.Pools) == 0 {
		add(DesiredReplicas, series.OfInt(e.Decision.DesiredReplicas), labels)
	}
	for _, pool := range e.Decision.Pools {
		add(DesiredReplicas, series.OfInt(pool.DesiredReplicas), with(poolLabel, pool.Name))
	}
	add(LagRecords, e.Observation.LagRecords, labels)
	add(LagSeconds, e.Observation.LagSeconds, labels)
	add(ArrivalRate, e.Observation.ArrivalRate(), labels)
	for _, q := range e.Decision.ArrivalForecast {
		level := strconv.FormatFloat(q.Level, 'g', -1, 64)
		add(ForecastArrivalRate, series.Of(q.Value), with(quantileLabel, level, horizonLabel, horizonMax))
	}
	latencyLabels := labels
	if e.LatencyQuantile > 0 {
		latencyLabels = with(quantileLabel, strconv.FormatFloat(e.LatencyQuantile, 'g', -1, 64))
	}
	add(InferenceLatency, e.Observation.LatencySeconds, latencyLabels)
	return out
}
