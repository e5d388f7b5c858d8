// Package pipeline runs the line from collector to read model: at every tick it collects, lets each policy's autoscaler
// decide and publishes the decision. Its main type is the Pipeline. It decides nothing itself and answers no queries.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
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
		cfg: cfg, collectors: map[group]Collector{}, runners: map[group]*runner{}, known: map[string]bool{}, changed: make(chan struct{}, 1),
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
	for name := range before {
		if !p.known[name] {
			p.cfg.Store.Forget(name)
			p.cfg.Metrics.forget(name)
		}
	}
	if p.shards != nil {
		p.shards.set(policies)
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

// run ticks at once and then at every multiple of the interval on the clock, so that all replicas tick together. In between it
// ticks when policies come that are overdue; but for a moment just before a multiple, which comes soon enough.
//
// In the end the collector is told that nothing is wanted of it any more, so that it says nothing of what it saw last.
func (r *runner) run(ctx context.Context) {
	defer r.collector.SetTargets(nil)
	for ctx.Err() == nil {
		start := r.Clock.At(time.Now())
		r.tick(ctx, start.UTC())
		// At most the interval: the clock may have been set back meanwhile.
		wait := r.Clock.WallSpan(min(max(0, nextTick(start, r.interval).Sub(r.Clock.At(time.Now()))), r.interval))
		waiting, stop := context.WithTimeout(ctx, wait)
		early, stopEarly := context.WithTimeout(waiting, max(0, wait-r.Clock.WallSpan(r.interval)/10))
		select {
		case <-waiting.Done():
		case <-r.overdue(early):
		}
		stopEarly()
		stop()
	}
}

// overdue returns a channel that closes when policies have come to this process that are to be decided now.
func (r *runner) overdue(ctx context.Context) <-chan struct{} {
	if r.shards == nil {
		return nil
	}
	return r.shards.overdue(ctx, group{r.cluster, r.interval}, r.generation)
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
		r.shards.deliver(now, r.generation, seen)
		return
	}
	for i := range seen {
		r.decide(now, &r.policies[i], seen[i])
	}
}

// followShards takes over which policies are this process's to observe, and reports whether there are any.
func (r *runner) followShards() bool {
	if r.shards.changedSince(r.generation) {
		policies, generation := r.shards.policiesOf(group{r.cluster, r.interval}, r.generation)
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

// noAnswer says why a decision is none that may be served, nil where it may be. What is stale names the present count, and so does what
// waits to know more or was told to keep it; where that is not known either it names one that nobody asked for, and replicas would
// be taken away for it.
func noAnswer(o *series.Observation, d *scaler.Decision) error {
	var err error
	switch d.Reason {
	case scaler.ReasonStale:
		err = errors.New("neither arrivals nor backlog are known")
	case scaler.ReasonWarmingUp, scaler.ReasonPaused, scaler.ReasonObserve:
		if !d.CurrentReplicas.Known() {
			err = errors.New("how many replicas there are is not known, and they cannot be kept")
		}
	}
	if err != nil && len(o.Problems) > 0 {
		err = fmt.Errorf("%w: %s", err, strings.Join(o.Problems, "; "))
	}
	return err
}

// entry returns what the read model keeps of one tick. A tick without an observation, or with one that no answer can rest on, is not
// usable: the last one ages.
func entry(p Policy, observation series.Observation, decision scaler.Decision, err error) readmodel.Entry {
	if err == nil {
		err = noAnswer(&observation, &decision)
	}
	e := readmodel.Entry{
		Policy:           p.Name(),
		At:               observation.At,
		Interval:         p.Scaler.Interval,
		ObjectiveLag:     p.Scaler.ObjectiveLag,
		ObjectiveLatency: p.Scaler.ObjectiveLatency,
		Labels:           p.Labels(),
		LatencyQuantile:  p.Sources.Quantile,
		Observation:      observation,
		Decision:         decision,
		Usable:           err == nil,
	}
	if err != nil {
		e.Cause = err.Error()
	}
	return e
}
