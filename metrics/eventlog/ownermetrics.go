package eventlog

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ownerMetrics are the write side's own figures.
type ownerMetrics struct {
	owned         prometheus.Gauge
	fenced        prometheus.Counter
	failed        prometheus.Counter
	ticks         prometheus.Counter
	appendSeconds prometheus.Histogram
	takeOver      prometheus.Histogram
}

func newOwnerMetrics(r prometheus.Registerer) *ownerMetrics {
	m := &ownerMetrics{
		owned: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "prescale_log_owned_shards", Help: "Shards of the event log that this process owns.",
		}),
		fenced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "prescale_log_fenced_total", Help: "Appends refused because another process had taken the shard over.",
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "prescale_log_append_failures_total", Help: "Appends that failed, after which the shard starts again from the log.",
		}),
		ticks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "prescale_log_appended_ticks_total", Help: "Ticks of policies that are in the log for good.",
		}),
		appendSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "prescale_log_append_seconds", Help: "Time of one append: one tick of a shard in one transaction.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 13),
		}),
		takeOver: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "prescale_log_takeover_seconds", Help: "Time to read and replay a shard on taking it over.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
		}),
	}
	if r != nil {
		r.MustRegister(m.owned, m.fenced, m.failed, m.ticks, m.appendSeconds, m.takeOver)
	}
	return m
}

func (m *ownerMetrics) appended(took time.Duration, ticks int, err error) {
	if err != nil {
		m.failed.Inc()
		return
	}
	m.ticks.Add(float64(ticks))
	m.appendSeconds.Observe(took.Seconds())
}
