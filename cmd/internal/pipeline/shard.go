package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// shard is one shard while it is served with one set of policies.
type shard struct {
	// policies are the shard's. Their targets say up to where arrivals were counted, and ticked when the last tick was, zero for
	// none, when the shard was opened.
	policies []Policy
	ticked   map[string]time.Time
	// opened is the generation that it came with.
	opened int
	// inbox holds ticks that were observed and are not decided yet: while a broker is away they wait, so that they are
	// missing from no forecast afterwards.
	inbox chan sightings
	// questions are answered between ticks.
	questions chan question
	// gone closes when the shard is no longer this process's, or has other policies.
	gone chan struct{}
}

// question asks for the explanation of a policy's newest decision. The answer has room for one, which is nil where there is none.
type question struct {
	policy string
	answer chan<- *readmodel.Explained
}

// sightings are what one runner's tick saw of one shard's policies.
type sightings struct {
	now      time.Time
	policies []sighting
}

// sighting is what a tick saw of one policy; err is why it could not be used.
type sighting struct {
	policy      Policy
	observation series.Observation
	err         error
}

// inboxTicks is how many ticks may wait. An outage that is longer loses the newest ones: gaps to the forecaster.
const inboxTicks = 16

// serve is the eventlog.ShardFunc: recover, then decide and append every tick until the shard goes. When its policies change, those
// that are new or changed are recovered by themselves; the others go on as they are.
func (s *shards) serve(ctx context.Context, log *eventlog.Shard) error {
	d := &deciders{}
	for ctx.Err() == nil {
		start := time.Now()
		policies, version := s.policiesIn(log.Number)
		next, err := d.with(policies)
		if err != nil {
			return err
		}
		if log.Term == 0 || len(next.recovering) > 0 {
			if err := log.Recover(ctx, next); err != nil {
				return err
			}
		}
		d = next
		owned := s.open(log, version, d)
		if owned == nil {
			continue
		}
		s.cfg.Logger.Info("serving a shard", "shard", log.Number, "term", log.Term, "policies", len(d.all), "replayedTicks", d.replayed,
			"took", time.Since(start))
		err = s.work(ctx, log, d, owned)
		s.close(log.Number, owned)
		if err != nil {
			return err
		}
	}
	return nil
}

// work decides and appends every tick until the shard goes or its policies change.
func (s *shards) work(ctx context.Context, log *eventlog.Shard, d *deciders, owned *shard) error {
	importing, stop := context.WithCancel(ctx)
	defer stop()
	imports := s.importHistories(importing, d)
	var forgot time.Time
	for {
		select {
		case one := <-imports:
			s.imported(d, one)
		case seen := <-owned.inbox:
			if err := s.tick(ctx, log, d, seen); err != nil {
				return err
			}
			if seen.now.Sub(forgot) >= forgetEvery {
				forgot = seen.now
				if err := s.forget(ctx, log, d, seen.now); err != nil {
					return err
				}
			}
		case q := <-owned.questions:
			q.answer <- d.explain(q.policy)
		case <-owned.gone:
			return nil
		case <-ctx.Done():
			// Nothing is written on leaving: the next owner replays the few ticks since each checkpoint faster than a last
			// checkpoint of every policy could be written.
			return nil
		}
	}
}

// tick decides for every policy that was seen and appends all of it. What the log did not take was not decided: the
// caller gives the shard up then, and with it the state that is ahead of the log.
func (s *shards) tick(ctx context.Context, log *eventlog.Shard, d *deciders, seen sightings) error {
	entries := make([]eventlog.Entry, 0, len(seen.policies))
	decisions := make([]scaler.Decision, 0, len(seen.policies))
	histories, seeds, passed, setBack := 0, 0, 0, false
	for _, p := range seen.policies {
		name := p.policy.Name()
		last, known := log.Known(name)
		behind := known && !seen.now.After(last)
		// Until then the last answers are served, for they are no further ahead of the clock than they may be.
		if behind && last.Sub(seen.now) <= readmodel.StaleAfterTicks*p.policy.Scaler.Interval {
			if passed++; !d.passing {
				d.passing = true
				s.cfg.Logger.Warn("ticks are passed over until the clock has caught up: it is behind the log", "shard", log.Number,
					"policy", name, "now", seen.now, "last", last)
			}
			continue
		}
		if behind && !setBack {
			setBack = true
			s.cfg.Logger.Warn("the clock was set back, or that of the owner before was ahead: decisions go on, "+
				"and nothing is learned until it is where the log is",
				"shard", log.Number, "policy", name, "now", seen.now, "until", last)
		}
		decider := d.all[name]
		var seed []byte
		if decider.past != nil && histories < historiesPerTick {
			seed = s.begin(decider)
			histories++
		}
		if seed == nil && !decider.fresh && log.SeedDue(name, decider.spec) {
			// What it knows came of another configuration.
			seed = decider.autoscaler.AppendCheckpoint(nil)
		}
		decider.count(&p.observation)
		p.observation.Problems = decider.problems(p.observation.Problems)
		decision := decider.tick(seen.now, p.observation)
		payload, err := s.encode(decision, p.err)
		if err != nil {
			return err
		}
		e := eventlog.Entry{
			Policy: name, At: seen.now, SetBack: behind, Observation: p.observation,
			Spec: decider.spec, Configuration: decider.configuration,
			Fresh: decider.fresh || seed != nil, Seed: seed, Counted: decider.counted,
			DesiredReplicas: decision.DesiredReplicas, Reason: string(decision.Reason), Payload: payload,
		}
		decider.fresh = false
		if log.CheckpointDue(name) {
			e.State = decider.autoscaler.AppendCheckpoint(nil)
		}
		entries = append(entries, e)
		decisions = append(decisions, decision)
		if seed != nil {
			if seeds++; seeds%seedsAtOnce == 0 {
				if err := log.Append(ctx, entries); err != nil {
					return err
				}
				entries = entries[:0]
			}
		}
	}
	if d.passing && passed == 0 {
		d.passing = false
		s.cfg.Logger.Info("the clock has caught up with the log", "shard", log.Number, "now", seen.now)
	}
	if err := log.Append(ctx, entries); err != nil {
		return err
	}
	s.decided(decisions)
	return nil
}

// encode returns the record of a decision on what was seen with a fault, or without one.
func (s *shards) encode(decision scaler.Decision, fault error) ([]byte, error) {
	payload, err := json.Marshal(record{Decision: decision, Cause: cause(fault)})
	if err == nil {
		return payload, nil
	}
	// A number that JSON cannot hold. The tick counts, so that the log goes on; the answer is not served.
	s.cfg.Logger.Error("a decision cannot be written", "policy", decision.Policy, "error", err)
	payload, err = json.Marshal(record{
		Decision: scaler.Decision{
			Policy: decision.Policy, At: decision.At, DesiredReplicas: decision.DesiredReplicas, Reason: decision.Reason},
		Cause: "the decision cannot be written: " + err.Error(),
	})
	if err != nil {
		return nil, fmt.Errorf("policy %s: encode the decision: %w", decision.Policy, err)
	}
	return payload, nil
}

// forget takes what is left of policies that are long gone out of the log.
func (s *shards) forget(ctx context.Context, log *eventlog.Shard, d *deciders, now time.Time) error {
	gone := slices.DeleteFunc(log.Forgettable(now), func(name string) bool { return d.all[name] != nil })
	if len(gone) == 0 {
		return nil
	}
	s.cfg.Logger.Info("the log forgets policies that are no longer there", "shard", log.Number, "policies", gone)
	return log.Forget(ctx, gone)
}

func cause(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// sighted turns a collector's result into what was seen. A tick that saw nothing is an observation too: a gap, with its
// problem.
func (c *Config) sighted(now time.Time, p Policy, result collector.Result) sighting {
	observation := result.Observation
	if result.Err != nil {
		observation = series.Observation{Problems: []string{result.Err.Error()}}
	}
	observation.Policy = p.Name()
	observation.At = now
	if !observation.ReadyReplicas.Known() {
		// The group's members, where nobody knows the replicas themselves. The scaler times start-ups by them: from its own
		// order to the first commits, which takes in whatever happens before a member joins.
		observation.ReadyReplicas, observation.StartingReplicas = result.Members, result.Starting
		if result.Starting.Known() {
			observation.ReadyReplicas = result.Members.Plus(result.Starting.Times(-1))
		}
	}
	if c.Replicas != nil {
		c.Replicas.Annotate(now, &observation)
		if c.PoolAddresses != nil && result.Hosts != nil && len(observation.Pools) > 0 {
			countPools(&observation, c.PoolAddresses(p.Name()), result.Hosts)
		}
	}
	if c.Sources != nil {
		c.Sources.Annotate(now, &observation)
	}
	return sighting{p, observation, result.Err}
}
