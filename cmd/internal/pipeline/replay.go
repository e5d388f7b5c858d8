package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/scaler"
)

// Replayer runs recorded ticks through the present code: under the given configuration of their policy, or under the one that is
// recorded with them where none is given. Ticks of a policy must come in order. It is an eventlog.Deriver, and then takes the
// recorded configuration wherever there is one: each tick under the configuration that it was decided under.
type Replayer struct {
	policies map[string]Policy
	// recorded are the policies as they were last recorded.
	recorded map[string]Policy
	deciders map[string]*decider
	// asRecorded says that recorded policies come first.
	asRecorded bool
}

// NewReplayer returns a Replayer for the policies.
func NewReplayer(policies []Policy) *Replayer {
	r := &Replayer{policies: map[string]Policy{}, recorded: map[string]Policy{}, deciders: map[string]*decider{}}
	for _, p := range policies {
		r.policies[p.Name()] = p
	}
	return r
}

// policy returns the policy that a tick is to be decided under.
func (r *Replayer) policy(t *eventlog.Tick) (Policy, bool, error) {
	if t.Configuration != nil {
		p, err := recordedPolicy(t.Policy, t.Configuration)
		if err != nil {
			return Policy{}, false, err
		}
		r.recorded[t.Policy] = p
	}
	given, isGiven := r.policies[t.Policy]
	recorded, isRecorded := r.recorded[t.Policy]
	if isGiven && !(isRecorded && r.asRecorded) {
		return given, true, nil
	}
	return recorded, isRecorded, nil
}

// Replayed is one tick decided again.
type Replayed struct {
	Recorded, Now scaler.Decision
	// RecordedJSON and NowJSON are the same in the form in which they are compared.
	RecordedJSON, NowJSON []byte
	// OtherSpec says that the tick was decided under another configuration of the policy.
	OtherSpec bool
}

// Same reports whether both decisions are the same to the last bit.
func (r *Replayed) Same() bool { return bytes.Equal(r.RecordedJSON, r.NowJSON) }

// Step decides one tick again. ok is false where that cannot be: the policy's configuration is neither given nor recorded, the
// tick's decision is not in the log any more, or the state before it is not known, because the log begins in the middle and no
// copy of the state has been met since.
func (r *Replayer) Step(e *eventlog.Event) (replayed Replayed, ok bool, err error) {
	t := &e.Tick
	if t.Seq == 0 {
		return Replayed{}, false, nil
	}
	p, known, err := r.policy(t)
	if err != nil || !known {
		return Replayed{}, false, err
	}
	d := r.deciders[t.Policy]
	begins := t.Origin == t.Seq
	if d == nil && !begins && t.Anchor == nil {
		return Replayed{}, false, nil
	}
	if d == nil || begins {
		a, err := p.newAutoscaler()
		if err != nil {
			return Replayed{}, false, err
		}
		before := d
		d = &decider{policy: p, autoscaler: a, spec: p.Fingerprint()}
		if !begins {
			// The log begins in the middle: from this tick's state on all is as it was.
			if err := a.Restore(t.Anchor); err != nil {
				return Replayed{}, false, nil // Another version's, or another configuration's: wait for the next.
			}
			r.deciders[t.Policy] = d
			return Replayed{}, false, nil
		}
		if t.Seed != nil && a.Restore(t.Seed) != nil {
			if r.asRecorded || before == nil {
				delete(r.deciders, t.Policy)
				return Replayed{}, false, nil // Another version's, as above.
			}
			d = before // The configuration was changed here, and not the given one.
		}
		r.deciders[t.Policy] = d
	}
	replayed.Now = d.tick(t.At, t.Observation)
	if e.Decision.Seq == 0 {
		return Replayed{}, false, nil
	}
	if replayed.Recorded, replayed.RecordedJSON, err = recordedDecision(&e.Decision); err != nil {
		return Replayed{}, false, err
	}
	if replayed.NowJSON, err = json.Marshal(replayed.Now); err != nil {
		return Replayed{}, false, fmt.Errorf("policy %s tick %d: write the decision: %w", t.Policy, t.Seq, err)
	}
	replayed.OtherSpec = t.Spec != d.spec
	return replayed, true, nil
}

// WhatIf says what would have changed the last decision of a policy that Step decided again.
func (r *Replayer) WhatIf(policy string) []scaler.WhatIf { return r.deciders[policy].whatIf() }

// RecordedDecision returns a decision as it was made.
func RecordedDecision(d *eventlog.Decision) (scaler.Decision, error) {
	decision, _, err := recordedDecision(d)
	return decision, err
}

// recordedDecision returns it with its text, to the byte, but that an older program wrote no verdicts as null.
func recordedDecision(d *eventlog.Decision) (decision scaler.Decision, text []byte, err error) {
	var payload struct {
		Decision json.RawMessage `json:"decision"`
	}
	if err = json.Unmarshal(d.Payload, &payload); err == nil {
		text = bytes.Replace(payload.Decision, []byte(`"verdicts":null`), []byte(`"verdicts":[]`), 1)
		err = json.Unmarshal(text, &decision)
	}
	if err != nil {
		err = fmt.Errorf("policy %s tick %d: read the recorded decision: %w", d.Policy, d.Seq, err)
	}
	return decision, text, err
}

// Derive implements eventlog.Deriver.
func (r *Replayer) Derive(e *eventlog.Event) (difference string, ok bool) {
	r.asRecorded = true
	replayed, ok, err := r.Step(e)
	switch {
	case err != nil:
		return err.Error(), true
	case !ok, replayed.Same():
		return "", ok
	case replayed.OtherSpec:
		return "", false // Its configuration was not recorded.
	}
	return replayed.Difference(), true
}

// Difference says in words how and, as far as can be told, why the two differ: the first rule that asked for another
// count, a changed configuration, or just the figures.
func (r *Replayed) Difference() string {
	s := fmt.Sprintf("recorded %d (%s), now %d (%s)", r.Recorded.DesiredReplicas, r.Recorded.Reason, r.Now.DesiredReplicas, r.Now.Reason)
	if r.OtherSpec {
		s += "; the policy's configuration has changed since"
	}
	for i, now := range r.Now.Terms {
		if i >= len(r.Recorded.Terms) || r.Recorded.Terms[i] != now {
			was := "no such rule"
			if i < len(r.Recorded.Terms) {
				was = fmt.Sprintf("%s: %d (%s)", r.Recorded.Terms[i].Name, r.Recorded.Terms[i].Replicas, r.Recorded.Terms[i].Detail)
			}
			return s + fmt.Sprintf("; first differing rule: recorded %s, now %s: %d (%s)", was, now.Name, now.Replicas, now.Detail)
		}
	}
	if r.Recorded.DesiredReplicas == r.Now.DesiredReplicas && r.Recorded.Reason == r.Now.Reason {
		s += fmt.Sprintf("; only figures differ: recorded %s, now %s", r.RecordedJSON, r.NowJSON)
	}
	return s
}
