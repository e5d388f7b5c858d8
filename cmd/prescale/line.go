package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sync/errgroup"

	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/cmd/internal/source"
)

// line runs the pipeline and its log, and begins anew with each set of policies that it is given. What was learned comes back
// from the log's checkpoints, or from the pipeline before where the log is memory; the collectors are kept, and with them what they remember of offsets. Answers go on being
// served from the store meanwhile.
type line struct {
	cfg      config.Config
	clusters *clusters
	store    *readmodel.Store
	metrics  *pipeline.Metrics
	replicas pipeline.Replicas
	// addresses knows the addresses of a policy's replicas; nil where nothing does.
	addresses func(policy string) []string
	logger    *slog.Logger

	// kept carries what was learned over a change of policies where the log keeps nothing; nil where it does.
	kept *pipeline.Kept
	// changes holds the newest set that was not begun with yet.
	changes    chan []pipeline.Policy
	collectors map[string]pipeline.Collector

	mu      sync.Mutex
	current *pipeline.Pipeline
	// registry is that of the present log, which registers its metrics anew each time.
	registry *prometheus.Registry
}

func newLine(cfg config.Config, clusters *clusters, store *readmodel.Store, registry prometheus.Registerer, logger *slog.Logger) *line {
	l := &line{
		cfg: cfg, clusters: clusters, store: store, logger: logger,
		metrics:    pipeline.NewMetrics(registry),
		changes:    make(chan []pipeline.Policy, 1),
		collectors: map[string]pipeline.Collector{},
		registry:   prometheus.NewRegistry(),
	}
	if cfg.Log == config.LogMemory {
		l.kept = &pipeline.Kept{}
	}
	return l
}

// expect makes the policies known before anything runs for them: a query that comes first is told that they are not ready, and
// not that they do not exist.
func (l *line) expect(policies []pipeline.Policy) {
	for _, p := range policies {
		l.store.Expect(p.Name(), p.Scaler.Interval)
	}
}

// set has Run begin anew with the policies. It does not wait.
func (l *line) set(policies []pipeline.Policy) {
	for {
		select {
		case l.changes <- policies:
			return
		default:
		}
		select {
		case <-l.changes: // Overtaken before it was begun with.
		default:
		}
	}
}

// run runs the first set, and every later one, until the context ends. A nil first waits for a set to be given.
func (l *line) run(ctx context.Context, first []pipeline.Policy) error {
	policies := first
	for {
		if policies == nil {
			select {
			case <-ctx.Done():
				return nil
			case policies = <-l.changes:
			}
		}
		l.expect(policies)
		next, err := l.until(ctx, policies)
		if err != nil || ctx.Err() != nil {
			return err
		}
		for _, old := range policies {
			if !slices.ContainsFunc(next, func(p pipeline.Policy) bool { return p.Name() == old.Name() }) {
				l.store.Forget(old.Name())
			}
		}
		policies = next
	}
}

// until runs one set of policies until the context ends or another set is given, which it returns.
func (l *line) until(ctx context.Context, policies []pipeline.Policy) ([]pipeline.Policy, error) {
	runCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- l.once(runCtx, policies) }()
	select {
	case err := <-done:
		if err == nil && ctx.Err() == nil {
			err = errors.New("the pipeline ended by itself")
		}
		return nil, err
	case next := <-l.changes:
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			return nil, err
		}
		if next == nil {
			next = []pipeline.Policy{}
		}
		return next, nil
	}
}

func (l *line) once(ctx context.Context, policies []pipeline.Policy) error {
	registry := prometheus.NewRegistry()
	log, err := openLog(l.cfg, policies, l.store, registry, l.logger)
	if err != nil {
		return err
	}
	sources, err := l.sources(policies)
	if err != nil {
		return err
	}
	p, err := pipeline.New(pipeline.Config{
		Log:          log.owner,
		Shards:       log.shards,
		Kept:         l.kept,
		Policies:     policies,
		CollectorFor: l.collector,
		Replicas:     l.replicas,
		Sources:      sources,
		Histories:    history.Reader{Client: l.clusters.client, HTTP: http.DefaultClient},
		Store:        l.store,
		Metrics:      l.metrics,
		Logger:       l.logger,
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.current, l.registry = p, registry
	l.mu.Unlock()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.Run(ctx) })
	g.Go(func() error { return log.follow(ctx) })
	g.Go(func() error { return sources.Run(ctx) })
	return g.Wait()
}

// sources makes what measures beside Kafka's offsets.
func (l *line) sources(policies []pipeline.Policy) (*source.Sources, error) {
	cfg := source.Config{Owns: l.owns, Cluster: l.clusters.options, Addresses: l.addresses, Logger: l.logger}
	for _, p := range policies {
		cfg.Policies = append(cfg.Policies, source.Policy{
			Name: p.Name(), Cluster: p.Target.Cluster, Interval: p.Scaler.Interval, Spec: p.Sources,
		})
	}
	return source.New(cfg)
}

// collector makes each collector once.
func (l *line) collector(cluster string, interval time.Duration) (pipeline.Collector, error) {
	key := strings.Join([]string{cluster, interval.String()}, "/")
	if c, ok := l.collectors[key]; ok {
		return c, nil
	}
	c, err := l.clusters.collector(cluster, interval)
	if err == nil {
		l.collectors[key] = c
	}
	return c, err
}

// owns reports whether this process decides for the policy now.
func (l *line) owns(policy string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current != nil && l.current.Owns(policy)
}

// explain is a readmodel.Explainer for the policies that this process decides for.
func (l *line) explain(ctx context.Context, policy string) (readmodel.Explained, bool) {
	l.mu.Lock()
	current := l.current
	l.mu.Unlock()
	if current == nil {
		return readmodel.Explained{}, false
	}
	return current.Explain(ctx, policy)
}

// Gather returns the metrics of the present log.
func (l *line) Gather() ([]*dto.MetricFamily, error) {
	l.mu.Lock()
	registry := l.registry
	l.mu.Unlock()
	return registry.Gather()
}
