// Package pipeline runs the line from collector to read model: at every tick it collects, lets each policy's autoscaler
// decide and publishes the decision. Its main type is the Pipeline. It decides nothing itself and answers no queries.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
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
	// CollectorFor returns a new collector for the named cluster that will be asked once every interval. It is called once
	// for every cluster and interval.
	CollectorFor func(cluster string, interval time.Duration) (Collector, error)
	// Replicas may be nil: then the members of the consumer group count as ready replicas.
	Replicas Replicas
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
	// Kept carries what was learned from one pipeline to the next, where the Log keeps nothing; else nil.
	Kept *Kept
	// Clock is nil but where recorded traffic is replayed.
	Clock Clock
}

// Pipeline runs policies. Make it with New.
type Pipeline struct {
	runners []*runner
	// shards is nil where there is no log.
	shards *shards
	log    Log
}

// New returns a Pipeline over the policies and makes each of them known to the store.
func New(cfg Config) (*Pipeline, error) {
	groups, err := byGroup(cfg.Policies)
	if err != nil {
		return nil, err
	}
	if cfg.Clock == nil {
		cfg.Clock = wallClock{}
	}
	p := &Pipeline{log: cfg.Log}
	if cfg.Log != nil {
		cfg.Kept.retain(cfg.Policies)
		p.shards = newShards(cfg)
	}
	for g, policies := range groups {
		source, err := cfg.CollectorFor(g.cluster, g.interval)
		if err != nil {
			return nil, fmt.Errorf("make the collector of cluster %s: %w", g.cluster, err)
		}
		r := &runner{Config: cfg, interval: g.interval, cluster: g.cluster, collector: source, shards: p.shards, generation: -1}
		for _, policy := range policies {
			cfg.Store.Expect(policy.Name(), g.interval)
		}
		if p.shards == nil {
			if err := r.setPolicies(policies); err != nil {
				return nil, err
			}
		}
		p.runners = append(p.runners, r)
	}
	return p, nil
}

// Run ticks until the context ends, and then returns nil.
func (p *Pipeline) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, r := range p.runners {
		g.Go(func() error { r.run(ctx); return nil })
	}
	if p.log != nil {
		g.Go(func() error { return p.log.Run(ctx, p.shards.serve) })
	}
	return g.Wait()
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

// runner ticks the policies of one cluster and interval.
type runner struct {
	Config
	cluster   string
	interval  time.Duration
	collector Collector
	policies  []policyState
	// shards is nil where there is no log; generation is which of its states policies are of.
	shards     *shards
	generation int
	// failing remembers whether the last tick failed, so that only changes are logged.
	failing bool
}

type policyState struct {
	Policy
	autoscaler *scaler.Autoscaler
}

func (r *runner) setPolicies(policies []Policy) error {
	targets := make([]collector.Target, len(policies))
	r.policies = make([]policyState, len(policies))
	for i, p := range policies {
		a, err := p.newAutoscaler()
		if err != nil {
			return err
		}
		r.policies[i] = policyState{p, a}
		targets[i] = p.Target
	}
	r.collector.SetTargets(targets)
	return nil
}

// run ticks at once and then at every multiple of the interval on the clock, so that all replicas tick together.
func (r *runner) run(ctx context.Context) {
	for {
		start := r.Clock.At(time.Now())
		r.tick(ctx, start.UTC())
		wait := r.Clock.WallSpan(start.Truncate(r.interval).Add(r.interval).Sub(r.Clock.At(time.Now())))
		waiting, stop := context.WithTimeout(ctx, max(wait, 0))
		select {
		case <-waiting.Done():
		case <-r.firstShards(waiting):
		}
		stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// tick collects and decides once. It gives the collector at most one interval, so that a dead broker never holds up the
// next tick.
func (r *runner) tick(ctx context.Context, now time.Time) {
	collectCtx, cancel := context.WithTimeout(ctx, r.Clock.WallSpan(r.interval))
	defer cancel()
	if r.shards != nil && !r.followShards() {
		return
	}
	start := time.Now()
	results, err := r.collector.Collect(collectCtx, now)
	if ctx.Err() != nil {
		return // Shutting down: what the cancelled tick failed to see is no observation.
	}
	r.Metrics.collected(r.cluster, time.Since(start), err)
	r.logChange(err)
	seen := make([]sighting, len(r.policies))
	for i := range r.policies {
		var result collector.Result
		switch {
		case i < len(results):
			result = results[i]
		case err != nil:
			result.Err = err
		default:
			result.Err = errors.New("the collector gave no result")
		}
		seen[i] = r.sighted(now, r.policies[i].Policy, result)
	}
	if r.shards != nil {
		r.shards.deliver(now, seen)
		return
	}
	for i := range seen {
		r.decide(now, &r.policies[i], seen[i])
	}
}

// firstShards returns a channel that closes soon after shards come to a process that had none, so that it does not wait
// for the next multiple of the interval; with policies at work already it never does.
func (r *runner) firstShards(ctx context.Context) <-chan struct{} {
	if r.shards == nil || len(r.policies) > 0 {
		return nil
	}
	return r.shards.awaitFirst(ctx, group{r.cluster, r.interval})
}

// followShards takes over which policies are this process's to observe, and reports whether there are any.
func (r *runner) followShards() bool {
	if r.shards.changed(r.generation) {
		policies, generation := r.shards.policiesOf(group{r.cluster, r.interval})
		targets := make([]collector.Target, len(policies))
		r.policies = make([]policyState, len(policies))
		for i, p := range policies {
			r.policies[i] = policyState{Policy: p}
			targets[i] = p.Target
		}
		r.collector.SetTargets(targets)
		r.generation = generation
	}
	return len(r.policies) > 0
}

func (r *runner) logChange(err error) {
	if failing := err != nil; failing != r.failing {
		r.failing = failing
		if failing {
			r.Logger.Warn("collecting fails", "cluster", r.cluster, "error", err)
		} else {
			r.Logger.Info("collecting works again", "cluster", r.cluster)
		}
	}
}

// decide lets one policy's autoscaler tick and publishes the outcome.
func (r *runner) decide(now time.Time, p *policyState, seen sighting) {
	decision := p.autoscaler.Tick(now, seen.observation)
	e := entry(p.Policy, seen.observation, decision, seen.err)
	if len(decision.ArrivalForecast) > 0 {
		e.Ahead = slices.Clone(p.autoscaler.Forecast().PerStep)
	}
	r.Store.Publish(e)
	r.Metrics.decided(p.Name(), decision)
}

// entry returns what the read model keeps of one tick. A tick without an observation is not usable: the last one ages.
func entry(p Policy, observation series.Observation, decision scaler.Decision, err error) readmodel.Entry {
	e := readmodel.Entry{
		Policy:          p.Name(),
		At:              observation.At,
		Interval:        p.Scaler.Interval,
		Labels:          p.Labels(),
		LatencyQuantile: p.Sources.Quantile,
		Observation:     observation,
		Decision:        decision,
		Usable:          err == nil,
	}
	if err != nil {
		e.Cause = err.Error()
	}
	return e
}
