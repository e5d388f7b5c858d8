package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/scaler"
)

// Histories reads what a policy's history.Source names: a history.Reader.
type Histories interface {
	// Read returns what came within the source's span before now, at the step where the source leaves it open.
	Read(ctx context.Context, source history.Source, now time.Time, step time.Duration) (*history.Series, error)
}

// A policy that names a history is given it by the owner of its shard, beside the ticks: nothing waits for it. The tick that
// comes next begins a new state, from the seed that goes into the log with it. So the import is in the log whole or not at
// all, is read once, and a take-over or a replay needs no history.
const (
	// youth is for how long, in ticks of its own, a policy may still be given a history: by then its own observations tell of a
	// day, and an import that failed that long needs a person.
	youth = 24 * time.Hour
	// firstRetry and lastRetry are the pauses after a failure, the second and every later one twice the one before.
	firstRetry = 30 * time.Second
	lastRetry  = 10 * time.Minute
	// importsAtOnce bounds the load on brokers and on this process, historiesPerTick what one append holds: 90 kB each.
	importsAtOnce    = 2
	historiesPerTick = 16
)

// HistoryProblem begins the problem of an observation whose policy has no history because the import fails.
const HistoryProblem = "no history imported: "

// imported is the outcome of one try.
type imported struct {
	policy string
	// past has learned from the history; nil where err says why not. Then the next try is at `again`, zero for none.
	past  *scaler.Autoscaler
	err   error
	again time.Time
}

// young returns for how long the decider may still be given a history: 0 where it needs none.
func (d *decider) young() time.Duration {
	state := d.autoscaler.State()
	if !d.policy.History.Given() || state.HistorySamples > 0 {
		return 0
	}
	return max(0, youth-time.Duration(state.Ticks)*d.policy.Scaler.Interval)
}

// problems adds to the problems of an observation why the policy has no history yet.
func (d *decider) problems(others []string) []string {
	if d.importProblem == "" || d.young() == 0 {
		return others
	}
	all := append(slices.Clone(others), d.importProblem)
	slices.Sort(all)
	return all
}

// importHistories starts the imports for the policies that are to be given one, until ctx ends, and returns the outcomes.
func (s *shards) importHistories(ctx context.Context, d *deciders) <-chan imported {
	outcomes := make(chan imported)
	if s.cfg.Histories == nil {
		return outcomes
	}
	for _, one := range d.all {
		if young := one.young(); young > 0 && one.past == nil {
			go s.tryImports(ctx, one.policy, s.cfg.Clock.At(time.Now()).Add(young), outcomes)
		}
	}
	return outcomes
}

// tryImports tries until it succeeds or the policy is no longer young.
func (s *shards) tryImports(ctx context.Context, p Policy, until time.Time, outcomes chan<- imported) {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		past, err := s.importHistory(ctx, p)
		one := imported{policy: p.Name(), past: past, err: err}
		if again := s.cfg.Clock.At(time.Now()).Add(pause); err != nil && again.Before(until) {
			one.again = again
		}
		select {
		case outcomes <- one:
		case <-ctx.Done():
			return
		}
		if one.again.IsZero() {
			return
		}
		wait := time.NewTimer(s.cfg.Clock.WallSpan(pause))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
	}
}

// importHistory reads the policy's history and returns an autoscaler that has learned from it.
func (s *shards) importHistory(ctx context.Context, p Policy) (*scaler.Autoscaler, error) {
	if err := s.importSlots.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.importSlots.Release(1)
	now := s.cfg.Clock.At(time.Now()).UTC()
	read, err := s.cfg.Histories.Read(ctx, p.History, now, p.Scaler.Interval)
	if err != nil {
		return nil, err
	}
	a, err := p.newAutoscaler()
	if err != nil {
		return nil, err
	}
	to := now.Truncate(p.Scaler.Interval)
	begun := false
	err = read.Rates(p.Scaler.Interval, to.Add(-p.History.Span), to, func(at time.Time, rate float64) {
		if begun = begun || !math.IsNaN(rate); begun && ctx.Err() == nil {
			a.Warm(at, rate)
		}
	})
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !begun:
		return nil, fmt.Errorf("history: %s holds no value of the last %v: want a longer history.span, "+
			"or a history that reaches nearer to now", read.Name, p.History.Span)
	}
	return a, nil
}

// imported takes one try's outcome to its decider.
func (s *shards) imported(d *deciders, one imported) {
	decider := d.all[one.policy]
	if one.err == nil {
		decider.past, decider.importProblem = one.past, ""
		return
	}
	if errors.Is(one.err, context.Canceled) {
		return
	}
	s.cfg.Metrics.importedHistory(one.policy, "failed")
	decider.importProblem = HistoryProblem + one.err.Error()
	if !one.again.IsZero() {
		decider.importProblem += "; tried again at " + one.again.UTC().Format(time.RFC3339)
	}
	s.cfg.Logger.Warn("the history of a policy cannot be imported; it decides without", "policy", one.policy, "again", one.again,
		"error", one.err)
}

// begin gives the decider its history and returns the state that the next tick begins from, nil where the history is unneeded.
func (s *shards) begin(d *decider) []byte {
	past := d.past
	d.past = nil
	name := d.policy.Name()
	if d.young() == 0 || !d.autoscaler.TakeHistory(past) {
		s.cfg.Metrics.importedHistory(name, "unneeded")
		s.cfg.Logger.Info("a history is passed over: the policy has seen more itself", "policy", name, "samples",
			past.State().HistorySamples)
		return nil
	}
	s.cfg.Metrics.importedHistory(name, "imported")
	s.cfg.Logger.Info("a history is imported", "policy", name, "samples", past.State().HistorySamples)
	return d.autoscaler.AppendCheckpoint(nil)
}
