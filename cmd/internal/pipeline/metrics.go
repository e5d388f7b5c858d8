package pipeline

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/prescale/prescale/scaler"
)

// Metrics are the pipeline's own. A nil *Metrics counts nothing.
type Metrics struct {
	tickSeconds  *prometheus.HistogramVec
	tickErrors   *prometheus.CounterVec
	decisions    *prometheus.CounterVec
	droppedTicks prometheus.Counter
	imports      *prometheus.CounterVec
}

// NewMetrics registers the pipeline's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		tickSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "prescale_tick_duration_seconds",
			Help:    "Time that one tick spent collecting.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 14),
		}, []string{"cluster"}),
		tickErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "prescale_tick_errors_total",
			Help: "Ticks in which nothing could be collected.",
		}, []string{"cluster"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "prescale_decisions_total",
			Help: "Decisions by the reason that bound them.",
		}, []string{"policy", "reason"}),
		droppedTicks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "prescale_dropped_ticks_total",
			Help: "Ticks of policies that were observed and not decided, because the log took nothing for too long.",
		}),
		imports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "prescale_history_imports_total",
			Help: "Tries to import the history that a policy names, by outcome (imported, failed, unneeded: it holds less than was seen).",
		}, []string{"policy", "outcome"}),
	}
	reg.MustRegister(m.tickSeconds, m.tickErrors, m.decisions, m.droppedTicks, m.imports)
	return m
}

func (m *Metrics) collected(cluster string, took time.Duration, err error) {
	if m == nil {
		return
	}
	m.tickSeconds.WithLabelValues(cluster).Observe(took.Seconds())
	errors := m.tickErrors.WithLabelValues(cluster) // There from the first tick on: no errors is 0 and not a gap.
	if err != nil {
		errors.Inc()
	}
}

func (m *Metrics) decided(policy string, d scaler.Decision) {
	if m == nil {
		return
	}
	m.decisions.WithLabelValues(policy, string(d.Reason)).Inc()
}

func (m *Metrics) importedHistory(policy, outcome string) {
	if m == nil {
		return
	}
	m.imports.WithLabelValues(policy, outcome).Inc()
}

// forget leaves out a policy that is gone: where names come and go for ever, so would their series.
func (m *Metrics) forget(policy string) {
	if m == nil {
		return
	}
	gone := prometheus.Labels{"policy": policy}
	m.decisions.DeletePartialMatch(gone)
	m.imports.DeletePartialMatch(gone)
}

func (m *Metrics) dropped(policies int) {
	if m == nil {
		return
	}
	m.droppedTicks.Add(float64(policies))
}
