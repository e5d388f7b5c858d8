package kafka

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/prescale/prescale/metrics/collector"
)

// telemetry is the collector's own metrics.
type telemetry struct {
	ticks      *prometheus.HistogramVec
	requests   *prometheus.CounterVec
	errors     *prometheus.CounterVec
	bytes      *prometheus.CounterVec
	exact      prometheus.Counter
	partitions prometheus.Gauge
	groups     prometheus.Gauge
	age        *prometheus.GaugeVec

	cluster string
	known   map[string]bool // policies that may have an age
}

// newTelemetry builds the metrics and registers them where there is a registerer. Several clusters may share one: the
// cluster is a label.
func newTelemetry(registerer prometheus.Registerer, cluster string) (*telemetry, error) {
	labels := prometheus.Labels{"cluster": cluster}
	t := &telemetry{
		cluster: cluster,
		known:   map[string]bool{},
		ticks: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "prescale_collector_tick_duration_seconds", ConstLabels: labels,
			Help:    "How long a tick of the Kafka collector took, by whether the cluster could be asked.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"result"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "prescale_collector_requests_total", ConstLabels: labels,
			Help: "Requests that the collector sent to brokers, by kind.",
		}, []string{"request"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "prescale_collector_errors_total", ConstLabels: labels,
			Help: "Requests, groups, topics and partitions that failed, by Kafka's name for the error or timeout, canceled or connection.",
		}, []string{"kind"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "prescale_collector_bytes_total", ConstLabels: labels,
			Help: "Bytes of the requests and answers that carry a number for each partition, by direction (sent, received).",
		}, []string{"direction"}),
		exact: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "prescale_collector_exact_checks_total", ConstLabels: labels,
			Help: "Partitions whose oldest waiting batch was fetched to read its timestamp.",
		}),
		partitions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "prescale_collector_partitions", ConstLabels: labels,
			Help: "Partitions whose end offset is read at each tick.",
		}),
		groups: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "prescale_collector_groups", ConstLabels: labels,
			Help: "Groups whose offsets are read at each tick.",
		}),
		age: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "prescale_collector_sample_age_seconds", ConstLabels: labels,
			Help: "Age, at the end of the latest tick, of the latest sample from which a policy's lag is known.",
		}, []string{"policy"}),
	}
	if registerer == nil {
		return t, nil
	}
	return t, errors.Join(
		register(registerer, &t.ticks), register(registerer, &t.requests), register(registerer, &t.errors),
		register(registerer, &t.bytes), register(registerer, &t.exact), register(registerer, &t.partitions),
		register(registerer, &t.groups),
		register(registerer, &t.age),
	)
}

// register registers a metric, or takes the one that another collector of the same cluster has registered.
func register[M prometheus.Collector](registerer prometheus.Registerer, metric *M) error {
	err := registerer.Register(*metric)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(M); ok {
			*metric = existing
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

func (t *telemetry) request(key int16) { t.requests.WithLabelValues(kmsg.NameForKey(key)).Inc() }
func (t *telemetry) transferred(request kmsg.Request, response kmsg.Response) {
	if raw, ok := request.(*rawRequest); ok {
		t.bytes.WithLabelValues("sent").Add(float64(len(raw.body)))
	}
	if raw, ok := response.(*rawResponse); ok {
		t.bytes.WithLabelValues("received").Add(float64(len(raw.body)))
	}
}
func (t *telemetry) failed(kind string)    { t.errors.WithLabelValues(kind).Inc() }
func (t *telemetry) exactChecks(count int) { t.exact.Add(float64(count)) }

func (t *telemetry) failedCode(code int16) {
	if e := kerr.TypedErrorForCode(code); e != nil {
		t.failed(e.Message)
	}
}

// tickDone notes a finished tick.
func (t *telemetry) tickDone(took time.Duration, c *Collector, results []collector.Result, now time.Time, err error) {
	result := "success"
	if err != nil {
		result = "error"
	}
	t.ticks.WithLabelValues(result).Observe(took.Seconds())
	partitions := 0
	for _, topic := range c.topics {
		partitions += topic.partitions()
	}
	t.partitions.Set(float64(partitions))
	t.groups.Set(float64(len(c.groups)))
	for i := range results {
		target := &c.targets[i]
		if !target.sampledAt.IsZero() {
			t.age.WithLabelValues(target.Policy).Set(now.Sub(target.sampledAt).Seconds())
		}
	}
}

// wanted leaves out what belongs to none of the targets. Without any there may be no tick that would.
func (t *telemetry) wanted(targets []target) {
	present := map[string]bool{}
	for i := range targets {
		present[targets[i].Policy] = true
	}
	for policy := range t.known {
		if !present[policy] {
			t.age.DeleteLabelValues(policy)
		}
	}
	t.known = present
	if len(targets) == 0 {
		t.partitions.Set(0)
		t.groups.Set(0)
	}
}
