package pipeline

import (
	"bytes"
	"fmt"
	"time"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// deciders are a shard's autoscalers. They are the eventlog.Recovery.
type deciders struct {
	all map[string]*decider
	// recovering are those that are to be restored; the others have their state already.
	recovering map[string]bool
	replayed   int
	// passing says that ticks are passed over, which is said once.
	passing bool
}

type decider struct {
	policy     Policy
	autoscaler *scaler.Autoscaler
	// configuration is the policy's as the log keeps it, and spec its fingerprint.
	configuration []byte
	spec          uint64
	// counted is up to where arrivals are counted in what the autoscaler has seen.
	counted series.Counted
	// fresh says that the autoscaler has seen nothing.
	fresh bool
	// past has learned from an imported history that the next tick begins with; nil where there is none. importProblem says why
	// there is none yet, where the policy names one.
	past          *scaler.Autoscaler
	importProblem string
	// last is the newest observation, and what was decided on it; its decision's time is zero where there is none.
	last struct {
		observation series.Observation
		decision    scaler.Decision
	}
}

func (d *decider) tick(now time.Time, o series.Observation) scaler.Decision {
	d.last.observation, d.last.decision = o, d.autoscaler.Tick(now, o)
	return d.last.decision
}

// whatIf says what would have changed the newest decision.
func (d *decider) whatIf() []scaler.WhatIf {
	return d.autoscaler.WhatIf(d.last.decision.At, d.last.observation)
}

// explain returns nil where nothing was decided for the policy.
func (d *deciders) explain(policy string) *readmodel.Explained {
	one, ok := d.all[policy]
	if !ok || one.last.decision.At.IsZero() {
		return nil
	}
	return &readmodel.Explained{Decision: one.last.decision, WhatIf: one.whatIf()}
}

// count takes an observation's arrivals to what is counted, and leaves out of the observation what follows from the one before.
func (d *decider) count(o *series.Observation) {
	counted := o.Counted
	o.Counted = series.Counted{}
	if !d.counted.Then(o).Equal(counted) {
		o.Counted = counted
	}
	d.counted = d.counted.Then(o)
}

func newDeciders(policies []Policy) (*deciders, error) { return (&deciders{}).with(policies) }

// with returns the deciders of these policies. Those that decide as before are taken over with what they know; the others are
// fresh and to be recovered.
func (d *deciders) with(policies []Policy) (*deciders, error) {
	next := &deciders{all: make(map[string]*decider, len(policies)), recovering: map[string]bool{}}
	for _, p := range policies {
		name, configuration := p.Name(), p.configuration()
		if one, ok := d.all[name]; ok && bytes.Equal(one.configuration, configuration) {
			one.policy = p
			next.all[name] = one
			continue
		}
		a, err := p.newAutoscaler()
		if err != nil {
			return nil, err
		}
		next.all[name] = &decider{policy: p, autoscaler: a, configuration: configuration, spec: fingerprint(configuration), fresh: true}
		next.recovering[name] = true
	}
	return next, nil
}

// Restore implements eventlog.Recovery. Policies that are not to be recovered are passed over.
func (d *deciders) Restore(c eventlog.Checkpoint) error {
	if !d.recovering[c.Policy] {
		return nil
	}
	p := d.all[c.Policy]
	if err := p.autoscaler.Restore(c.State); err != nil {
		return err
	}
	p.fresh, p.counted = false, c.Counted
	return nil
}

// Observe implements eventlog.Recovery: the decision that comes out is the one that is in the log already.
func (d *deciders) Observe(t eventlog.Tick, restart bool) {
	if !d.recovering[t.Policy] {
		return
	}
	p := d.all[t.Policy]
	if restart {
		p.counted = series.Counted{}
	}
	if restart && !p.fresh {
		a, err := p.policy.newAutoscaler()
		if err != nil {
			panic(fmt.Sprintf("pipeline: policy %s was valid and is not: %v", t.Policy, err))
		}
		p.autoscaler = a
	}
	if restart && t.Seed != nil {
		// A seed of another version leaves the state fresh, as a checkpoint of another version does.
		_ = p.autoscaler.Restore(t.Seed)
	}
	p.count(&t.Observation)
	p.tick(t.At, t.Observation)
	p.fresh = false
	d.replayed++
}
