package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

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
		r.tick(ctx, start)
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
// next tick. The collector alone is given the monotonic reading of now, so that its spans are right where the clock was set.
func (r *runner) tick(ctx context.Context, now time.Time) {
	collectCtx, cancel := context.WithTimeout(ctx, r.Clock.WallSpan(r.interval))
	defer cancel()
	if r.shards != nil && !r.followShards() {
		return
	}
	start := time.Now()
	results, err := r.collector.Collect(collectCtx, now)
	now = now.UTC()
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
