// Package pipeline runs the line from collector to read model: at every tick it collects, lets each policy's autoscaler
// decide and publishes the decision. Its main type is the Pipeline. It decides nothing itself and answers no queries.
package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// Collector observes targets in one Kafka cluster.
type Collector interface {
	// SetTargets replaces what is observed.
	SetTargets(targets []collector.Target)
	// Collect observes every target once: one result a target, in their order. The error is that of a tick in which
	// nothing at all could be observed.
	Collect(ctx context.Context, now time.Time) ([]collector.Result, error)
}

// Replicas knows what runs the policies: pods in Kubernetes, or the demo's replicas.
type Replicas interface {
	// Annotate fills in what is known of the policy's replicas: ready, starting and completed start-ups. What is not known
	// stays as it is.
	Annotate(now time.Time, observation *series.Observation)
}

// Clock is the time that a pipeline lives in, where that is not the wall's: recorded traffic may be replayed faster.
type Clock interface {
	// At returns the clock's time when the wall's is `wall`.
	At(wall time.Time) time.Time
	// WallSpan returns how long a span of the clock's time takes.
	WallSpan(span time.Duration) time.Duration
}

// wallClock is the Clock of production.
type wallClock struct{}

func (wallClock) At(wall time.Time) time.Time               { return wall }
func (wallClock) WallSpan(span time.Duration) time.Duration { return span }

// Config is what a Pipeline is made with.
type Config struct {
	Policies []Policy
	// CollectorFor returns a new collector for the named cluster that will be asked once every interval. It is called
	// for every cluster and interval that policies come to.
	CollectorFor func(cluster string, interval time.Duration) (Collector, error)
	// Replicas may be nil: then the members of the consumer group count as ready replicas.
	Replicas Replicas
	// PoolAddresses returns the addresses of each ready replica of each of a policy's pools, so that what the members of the group
	// consume is told by pool. It may be nil: then that stays missing.
	PoolAddresses func(policy string) map[string][][]netip.Addr
	// Sources add latency and busy ratio; nil adds neither.
	Sources collector.Source
	Store   *readmodel.Store
	Metrics *Metrics
	Logger  *slog.Logger
	// Log says which of the policies are this process's to decide, and takes the decisions; what it publishes comes back
	// by a Publisher. Shards is the number of its shards. A nil Log means that all are, and publishes at once.
	Log    Log
	Shards int
	// Histories reads the histories that policies name, where there is a Log; nil reads none.
	Histories Histories
	// Clock is nil but where recorded traffic is replayed.
	Clock Clock
}

// Pipeline runs policies. Make it with New.
type Pipeline struct {
	cfg Config
	// shards is nil where there is no log.
	shards *shards

	mu         sync.Mutex
	collectors map[group]Collector
	runners    map[group]*runner
	// known are the policies' names.
	known map[string]bool
	// changed has room for one word that runners have changed.
	changed chan struct{}
}

// New returns a Pipeline over the policies and makes each of them known to the store.
func New(cfg Config) (*Pipeline, error) {
	if cfg.Clock == nil {
		cfg.Clock = wallClock{}
	}
	p := &Pipeline{
		cfg: cfg, collectors: map[group]Collector{}, runners: map[group]*runner{}, known: map[string]bool{},
		changed: make(chan struct{}, 1),
	}
	if cfg.Log != nil {
		p.shards = newShards(cfg)
	}
	if err := p.SetPolicies(cfg.Policies); err != nil {
		return nil, err
	}
	return p, nil
}

// SetPolicies replaces the policies, while Run runs or before. A policy that stays as it was goes on undisturbed, in the shards
// that this process owns; one that decides otherwise now goes on from what the log says that it has learned, and anew where the
// log keeps nothing. Only a Pipeline with a Log can have its policies replaced. On error nothing has changed.
func (p *Pipeline) SetPolicies(policies []Policy) error {
	groups, err := byGroup(policies)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for g := range groups {
		if p.collectors[g] == nil {
			if p.collectors[g], err = p.cfg.CollectorFor(g.cluster, g.interval); err != nil {
				delete(p.collectors, g)
				return fmt.Errorf("make the collector of cluster %s: %w", g.cluster, err)
			}
		}
	}
	for g, policies := range groups {
		if p.runners[g] != nil {
			continue
		}
		r := &runner{Config: p.cfg, interval: g.interval, cluster: g.cluster, collector: p.collectors[g], shards: p.shards, generation: -1}
		if p.shards == nil {
			if err := r.setPolicies(policies); err != nil {
				return err
			}
		}
		p.runners[g] = r
	}
	maps.DeleteFunc(p.runners, func(g group, _ *runner) bool { return groups[g] == nil })
	maps.DeleteFunc(p.collectors, func(g group, _ Collector) bool { return groups[g] == nil })
	before := p.known
	p.known = make(map[string]bool, len(policies))
	for _, one := range policies {
		p.known[one.Name()] = true
		p.cfg.Store.Expect(one.Name(), one.Scaler.Interval)
	}
	if p.shards != nil {
		p.shards.set(policies)
	}
	for name := range before {
		if !p.known[name] {
			p.cfg.Store.Forget(name)
			p.cfg.Metrics.forget(name)
		}
	}
	select {
	case p.changed <- struct{}{}:
	default:
	}
	return nil
}

// Run ticks until the context ends, and then returns nil.
func (p *Pipeline) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { p.runRunners(ctx); return nil })
	if p.cfg.Log != nil {
		g.Go(func() error { return p.cfg.Log.Run(ctx, p.shards.serve) })
	}
	return g.Wait()
}

// runRunners runs the present runners until ctx ends.
func (p *Pipeline) runRunners(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	stops := map[*runner]context.CancelFunc{}
	for {
		p.mu.Lock()
		wanted := slices.Collect(maps.Values(p.runners))
		p.mu.Unlock()
		for r, stop := range stops {
			if !slices.Contains(wanted, r) {
				stop()
				delete(stops, r)
			}
		}
		for _, r := range wanted {
			if stops[r] == nil {
				ctx, stop := context.WithCancel(ctx)
				stops[r] = stop
				running.Go(func() { r.run(ctx) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-p.changed:
		}
	}
}

// Owns reports whether this process decides for the policy now. Without a log it decides for all.
func (p *Pipeline) Owns(policy string) bool {
	if p.shards == nil {
		return true
	}
	return p.shards.owns(policy)
}

// Explain is a readmodel.Explainer. Without a log it explains nothing.
func (p *Pipeline) Explain(ctx context.Context, policy string) (readmodel.Explained, bool) {
	if p.shards == nil {
		return readmodel.Explained{}, false
	}
	return p.shards.explain(ctx, policy)
}
