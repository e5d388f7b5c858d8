package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/scaler"
)

// record is the payload of a decision in the log.
type record struct {
	Decision scaler.Decision `json:"decision"`
	// Cause says why the observation is none; then the decision is not to be served.
	Cause string `json:"cause,omitempty"`
}

// Publisher puts decisions that come through the log into the store. Of policies that are not known here it keeps the newest:
// another replica may have heard of the policy before this one. It is safe for concurrent use.
type Publisher struct {
	store *readmodel.Store

	mu       sync.Mutex
	policies map[string]Policy
	unknown  map[string]eventlog.Decision
}

// NewPublisher returns a Publisher that knows no policies yet.
func NewPublisher(store *readmodel.Store) *Publisher {
	return &Publisher{store: store, policies: map[string]Policy{}, unknown: map[string]eventlog.Decision{}}
}

// SetPolicies says whose decisions are published from now on.
func (p *Publisher) SetPolicies(policies []Policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.policies)
	for _, one := range policies {
		p.policies[one.Name()] = one
		if d, ok := p.unknown[one.Name()]; ok {
			delete(p.unknown, one.Name())
			p.publish(one, d)
		}
	}
}

// Publish takes the next decision of its policy.
func (p *Publisher) Publish(d eventlog.Decision) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if policy, ok := p.policies[d.Policy]; ok {
		p.publish(policy, d)
	} else {
		p.unknown[d.Policy] = d
	}
}

func (p *Publisher) publish(policy Policy, d eventlog.Decision) {
	var r record
	if err := json.Unmarshal(d.Payload, &r); err != nil {
		p.store.Fail(d.Policy, fmt.Errorf("read tick %d from the log: %w", d.Seq, err))
		return
	}
	var err error
	if r.Cause != "" {
		err = errors.New(r.Cause)
	}
	e := entry(policy, d.Observation, r.Decision, err)
	e.Writer = d.Writer
	p.store.Publish(e)
}
