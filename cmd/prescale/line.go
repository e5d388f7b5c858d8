package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/cmd/internal/source"
	"github.com/prescale/prescale/metrics/series"
)

// line runs the pipeline and its log, whose policies may change while they run. What a policy measures beside Kafka's offsets
// begins anew then, if it is no longer the same.
type line struct {
	cfg      config.Config
	clusters *clusters
	store    *readmodel.Store
	registry prometheus.Registerer
	metrics  *pipeline.Metrics
	replicas pipeline.Replicas
	// addresses knows the addresses of a policy's replicas; nil where nothing does.
	addresses func(policy string) []string
	// poolAddresses knows those of each pool's; nil where nothing does.
	poolAddresses func(policy string) map[string][][]netip.Addr
	logger        *slog.Logger

	// changes holds the newest set that was not taken yet.
	changes chan []pipeline.Policy

	mu      sync.Mutex
	current *pipeline.Pipeline
	sources *source.Sources
}

func newLine(cfg config.Config, clusters *clusters, store *readmodel.Store, registry prometheus.Registerer, logger *slog.Logger) *line {
	return &line{
		cfg: cfg, clusters: clusters, store: store, registry: registry, logger: logger,
		metrics: pipeline.NewMetrics(registry),
		changes: make(chan []pipeline.Policy, 1),
	}
}

// expect makes the policies known before anything runs for them: a query that comes first is told that they are not ready, and
// not that they do not exist.
func (l *line) expect(policies []pipeline.Policy) {
	for _, p := range policies {
		l.store.Expect(p.Name(), p.Scaler.Interval)
	}
}

// set replaces the policies. It does not wait.
func (l *line) set(policies []pipeline.Policy) {
	for {
		select {
		case l.changes <- policies:
			return
		default:
		}
		select {
		case <-l.changes: // Overtaken before it was taken.
		default:
		}
	}
}

// run runs the first set, and every later one, until the context ends. A nil first waits for a set to be given.
func (l *line) run(ctx context.Context, first []pipeline.Policy) error {
	if first == nil {
		select {
		case <-ctx.Done():
			return nil
		case first = <-l.changes:
		}
	}
	l.expect(first)
	log, err := openLog(l.cfg, l.store, l.registry, l.logger)
	if err != nil {
		return err
	}
	log.setPolicies(first)
	p, err := pipeline.New(pipeline.Config{
		Log:           log.owner,
		Shards:        log.shards,
		Policies:      first,
		CollectorFor:  l.clusters.collector,
		Replicas:      l.replicas,
		PoolAddresses: l.poolAddresses,
		Sources:       l,
		Histories:     history.Reader{Client: l.clusters.client, HTTP: http.DefaultClient},
		Store:         l.store,
		Metrics:       l.metrics,
		Logger:        l.logger,
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.current = p
	l.mu.Unlock()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.Run(ctx) })
	g.Go(func() error { return log.follow(ctx) })
	g.Go(func() error {
		policies := first
		for ctx.Err() == nil {
			next, err := l.measure(ctx, policies, func(next []pipeline.Policy) error {
				log.setPolicies(next)
				return p.SetPolicies(next)
			})
			if err != nil {
				return err
			}
			policies = next
		}
		return nil
	})
	return g.Wait()
}

// measure runs the sources of the policies until the context ends or a set is given whose sources are others, and returns that
// set. It hands every set that is given to use.
func (l *line) measure(ctx context.Context, policies []pipeline.Policy, use func([]pipeline.Policy) error) ([]pipeline.Policy, error) {
	measured := sourcesOf(policies)
	sources, err := source.New(source.Config{
		Policies: measured, Owns: l.owns, Cluster: l.clusters.options, Addresses: l.addresses, Logger: l.logger,
	})
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.sources = sources
	l.mu.Unlock()
	running, stop := context.WithCancel(ctx)
	g, running := errgroup.WithContext(running)
	g.Go(func() error {
		if err := sources.Run(running); err != nil {
			return err
		}
		<-running.Done() // Where nothing is measured it is done at once.
		return nil
	})
	defer stop()
	for {
		select {
		case <-running.Done():
			return policies, g.Wait()
		case next := <-l.changes:
			if err := use(next); err != nil {
				return nil, err
			}
			if !reflect.DeepEqual(sourcesOf(next), measured) {
				stop()
				return next, g.Wait()
			}
			policies = next
		}
	}
}

// sourcesOf returns what is measured of policies beside Kafka's offsets.
func sourcesOf(policies []pipeline.Policy) []source.Policy {
	var all []source.Policy
	for _, p := range policies {
		if p.Sources == (source.Spec{}) {
			continue
		}
		all = append(all, source.Policy{Name: p.Name(), Cluster: p.Target.Cluster, Interval: p.Scaler.Interval, Spec: p.Sources})
	}
	return all
}

// Annotate implements collector.Source with the present sources.
func (l *line) Annotate(now time.Time, o *series.Observation) {
	l.mu.Lock()
	sources := l.sources
	l.mu.Unlock()
	if sources != nil {
		sources.Annotate(now, o)
	}
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
