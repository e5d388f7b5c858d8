package batch

import "github.com/prometheus/client_golang/prometheus"

// metrics of one Loop.
type metrics struct {
	requests     *prometheus.CounterVec // result
	transactions *prometheus.CounterVec // result
	latency      prometheus.Observer
	records      prometheus.Histogram
	busy         prometheus.Counter
}

// LatencyBuckets reach from a single row over HTTP to a queue that is minutes behind.
var LatencyBuckets = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300}

func newMetrics(r prometheus.Registerer, latency prometheus.Observer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "prescale_inference_requests_total", Help: "Requests taken from Kafka and answered in a committed transaction, " +
				"by result (predicted, dead_letter).",
		}, []string{"result"}),
		transactions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "prescale_inference_transactions_total",
			Help: "Transactions by result (committed, aborted: the group rebalanced, failed: a new session was opened).",
		}, []string{"result"}),
		latency: latency,
		records: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "prescale_inference_batch_records", Help: "Requests of one committed transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 13),
		}),
		busy: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "prescale_inference_busy_seconds_total",
			Help: "Time spent on batches, from the end of the poll to the end of the transaction. Its rate is the busy ratio.",
		}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.transactions, m.records, m.busy} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	for _, result := range []string{"predicted", "dead_letter"} {
		m.requests.WithLabelValues(result)
	}
	for _, result := range []string{"committed", "aborted", "failed"} {
		m.transactions.WithLabelValues(result)
	}
	return m, nil
}
