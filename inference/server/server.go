package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/prescale/prescale/inference/batch"
	"github.com/prescale/prescale/inference/registry"
)

// Config of one replica.
type Config struct {
	Registry registry.Config
	Batch    batch.Config

	// Entry, if not nil, is served instead of following the registry.
	Entry *registry.Entry
}

// DefaultConfig leaves only Batch.Instance to be set.
func DefaultConfig() Config {
	return Config{Registry: registry.DefaultConfig(), Batch: batch.DefaultConfig()}
}

// Validate tells everything that is wrong with c.
func (c Config) Validate() error {
	if c.Entry != nil {
		return c.Batch.Validate()
	}
	return errors.Join(c.Registry.Validate(), c.Batch.Validate())
}

// source is what holds the model versions: a registry.Follower or a registry.Static.
type source interface {
	Champion() *registry.Entry
	Version(version int64) (*registry.Entry, error)
	Versions() []int64
	// Unserved tells why there is no champion.
	Unserved() error
}

// Server is one replica of the inference service. Run it once.
type Server struct {
	config   Config
	logger   *slog.Logger
	source   source
	follower *registry.Follower // nil when Entry is served
	loop     *batch.Loop
	metrics  *metrics
	calls    *semaphore.Weighted // in bytes
}

// New builds a replica. Metrics are registered with r, which is the replica's own: wrap a shared one with a label. The
// options say how to reach Kafka and are applied to both clients, the registry's and the loop's.
func New(c Config, logger *slog.Logger, r prometheus.Registerer, opts ...kgo.Opt) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(r)
	if err != nil {
		return nil, fmt.Errorf("inference: metrics: %w", err)
	}
	s := &Server{config: c, logger: logger, metrics: m, calls: semaphore.NewWeighted(callsBytes)}
	if c.Entry != nil {
		s.source = registry.Static{Entry: c.Entry}
		m.version.Set(float64(c.Entry.Version))
	} else {
		s.follower, err = registry.NewFollower(c.Registry, logger, registry.Events{
			Swapped: func(e *registry.Entry) { m.version.Set(float64(e.Version)); m.swaps.Inc() },
			Refused: func(error) { m.refused.Inc() },
		}, opts...)
		if err != nil {
			return nil, err
		}
		s.source = s.follower
	}
	s.loop, err = batch.NewLoop(c.Batch, s.source, logger, r, m.latency.WithLabelValues("kafka"), opts...)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Run serves from Kafka until ctx ends; that is no error. The transaction that is open then is finished first.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if s.follower != nil {
		group.Go(func() error { return s.follower.Run(ctx) })
	}
	group.Go(func() error { return s.loop.Run(ctx) })
	return group.Wait()
}

// Champion returns the version that serves, nil until one is known.
func (s *Server) Champion() *registry.Entry { return s.source.Champion() }

// liveAge is how old the loop's last round may be: longer than the slowest transaction.
const liveAge = time.Minute

// Live returns nil while the loop comes round, as of now.
func (s *Server) Live(now time.Time) error {
	if beat := s.loop.Status().Beat; !beat.IsZero() && now.Sub(beat) > liveAge {
		return fmt.Errorf("the Kafka loop last came round at %s", beat.UTC().Format(time.RFC3339))
	}
	return nil
}

// Ready returns nil while requests are answered: a champion is loaded and the loop consumes.
func (s *Server) Ready() error {
	if s.source.Champion() == nil {
		return s.source.Unserved()
	}
	return s.loop.Status().Problem
}

// metrics of one replica, beside the loop's.
type metrics struct {
	latency        *prometheus.HistogramVec // path
	version        prometheus.Gauge
	swaps, refused prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "prescale_inference_request_duration_seconds",
			Help:    "From request to answer, by path: kafka (the client's request to the committed prediction) or http (of the call).",
			Buckets: batch.LatencyBuckets,
		}, []string{"path"}),
		version: prometheus.NewGauge(prometheus.GaugeOpts{Name: "prescale_inference_model_version",
			Help: "Version that serves, absent or 0 before the first."}),
		swaps: prometheus.NewCounter(prometheus.CounterOpts{Name: "prescale_inference_model_swaps_total",
			Help: "Times a new champion took over."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "prescale_inference_model_refused_total",
			Help: "Registry records or versions that were refused; see the log."}),
	}
	for _, c := range []prometheus.Collector{m.latency, m.version, m.swaps, m.refused} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
