package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// Log gives this process shards to serve: *eventlog.Owner, or *eventlog.Memory.
type Log interface {
	Run(ctx context.Context, serve eventlog.ShardFunc) error
}

// shards are the shards that this process owns now. Runners collect for their policies and hand over what they saw; each
// shard decides and appends in a goroutine of its own, so that one that waits for a broker holds up no other.
type shards struct {
	cfg Config
	// byShard are the policies by shard, sorted by name.
	byShard map[int32][]Policy

	// importSlots bounds how many histories are imported at once.
	importSlots *semaphore.Weighted

	mu    sync.Mutex
	owned map[int32]*shard
	// generation counts the changes of owned.
	generation int
}

// shard is one shard while it is served.
type shard struct {
	policies []Policy
	// inbox holds ticks that were observed and are not decided yet: while a broker is away they wait, so that they are
	// missing from no forecast afterwards.
	inbox chan sightings
	// questions are answered between ticks.
	questions chan question
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

func newShards(cfg Config) *shards {
	s := &shards{cfg: cfg, byShard: map[int32][]Policy{}, owned: map[int32]*shard{}, importSlots: semaphore.NewWeighted(importsAtOnce)}
	for _, p := range cfg.Policies {
		n := eventlog.ShardOf(p.Name(), cfg.Shards)
		s.byShard[n] = append(s.byShard[n], p)
	}
	for _, policies := range s.byShard {
		slices.SortFunc(policies, func(a, b Policy) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return s
}

// policiesOf returns the owned policies of one group of policies, sorted by name, and the generation of that answer.
func (s *shards) policiesOf(g group) ([]Policy, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var policies []Policy
	for _, owned := range s.owned {
		for _, p := range owned.policies {
			if groupOf(p) == g {
				policies = append(policies, p)
			}
		}
	}
	slices.SortFunc(policies, func(a, b Policy) int { return strings.Compare(a.Name(), b.Name()) })
	return policies, s.generation
}

func (s *shards) owns(policy string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.owned[eventlog.ShardOf(policy, s.cfg.Shards)]
	return ok
}

// explain is a readmodel.Explainer.
func (s *shards) explain(ctx context.Context, policy string) (readmodel.Explained, bool) {
	s.mu.Lock()
	owned, ok := s.owned[eventlog.ShardOf(policy, s.cfg.Shards)]
	s.mu.Unlock()
	if !ok {
		return readmodel.Explained{}, false
	}
	answer := make(chan *readmodel.Explained, 1)
	select {
	case owned.questions <- question{policy, answer}:
	case <-ctx.Done():
		return readmodel.Explained{}, false
	}
	if explained := <-answer; explained != nil {
		return *explained, true
	}
	return readmodel.Explained{}, false
}

func (s *shards) changed(generation int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation != generation
}

// settle is how long shards that come together may lie apart.
const settle = 500 * time.Millisecond

// awaitFirst returns a channel that closes once policies of the group are owned, or ctx ends.
func (s *shards) awaitFirst(ctx context.Context, g group) <-chan struct{} {
	come := make(chan struct{})
	go func() {
		defer close(come)
		ticker := time.NewTicker(settle)
		defer ticker.Stop()
		for before := 0; ; {
			policies, _ := s.policiesOf(g)
			if len(policies) > 0 && len(policies) == before {
				return
			}
			before = len(policies)
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	return come
}

// deliver hands what a tick saw to the shards that are still owned.
func (s *shards) deliver(now time.Time, seen []sighting) {
	byShard := map[int32][]sighting{}
	for _, p := range seen {
		n := eventlog.ShardOf(p.policy.Name(), s.cfg.Shards)
		byShard[n] = append(byShard[n], p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, policies := range byShard {
		owned, ok := s.owned[n]
		if !ok {
			continue
		}
		select {
		case owned.inbox <- sightings{now, policies}:
		default:
			s.cfg.Metrics.dropped(len(policies))
			s.cfg.Logger.Warn("a tick is dropped: the log takes no more", "shard", n, "policies", len(policies), "at", now)
		}
	}
}

func (s *shards) open(n int32) *shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	owned := &shard{policies: s.byShard[n], inbox: make(chan sightings, inboxTicks), questions: make(chan question)}
	s.owned[n] = owned
	s.generation++
	return owned
}

func (s *shards) close(n int32, closing *shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owned[n] == closing {
		delete(s.owned, n)
		s.generation++
	}
}

// serve is the eventlog.ShardFunc: recover, then decide and append every tick until the shard goes.
func (s *shards) serve(ctx context.Context, log *eventlog.Shard) error {
	start := time.Now()
	d, err := newDeciders(s.byShard[log.Number])
	if err != nil {
		return err
	}
	s.cfg.Kept.take(d)
	if err := log.Recover(ctx, d); err != nil {
		return err
	}
	s.cfg.Logger.Info("serving a shard", "shard", log.Number, "term", log.Term, "policies", len(d.all), "replayedTicks", d.replayed, "took", time.Since(start))
	importing, stop := context.WithCancel(ctx)
	defer stop()
	imports := s.importHistories(importing, d)
	owned := s.open(log.Number)
	defer s.close(log.Number, owned)
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
		case <-ctx.Done():
			// Nothing is written on leaving: the next owner replays the few ticks since each checkpoint faster than a last
			// checkpoint of every policy could be written.
			s.cfg.Kept.put(d)
			return nil
		}
	}
}

// tick decides for every policy that was seen and appends all of it. What the log did not take was not decided: the
// caller gives the shard up then, and with it the state that is ahead of the log.
func (s *shards) tick(ctx context.Context, log *eventlog.Shard, d *deciders, seen sightings) error {
	entries := make([]eventlog.Entry, 0, len(seen.policies))
	decisions := make([]scaler.Decision, 0, len(seen.policies))
	histories := 0
	for _, p := range seen.policies {
		name := p.policy.Name()
		if last, known := log.Known(name); known && !seen.now.After(last) {
			s.cfg.Logger.Warn("a tick is passed over: this clock is behind the log", "policy", name, "now", seen.now, "last", last)
			continue
		}
		decider := d.all[name]
		var seed []byte
		if decider.past != nil && histories < historiesPerTick {
			seed = s.begin(decider)
			histories++
		}
		p.observation.Problems = decider.problems(p.observation.Problems)
		decision := decider.tick(seen.now, p.observation)
		payload, err := json.Marshal(record{Decision: decision, Cause: cause(p.err)})
		if err != nil {
			// A number that JSON cannot hold. The tick counts, so that the log goes on; the answer is not served.
			s.cfg.Logger.Error("a decision cannot be written", "policy", name, "error", err)
			payload, err = json.Marshal(record{
				Decision: scaler.Decision{Policy: name, At: decision.At, DesiredReplicas: decision.DesiredReplicas, Reason: decision.Reason},
				Cause:    "the decision cannot be written: " + err.Error(),
			})
			if err != nil {
				return fmt.Errorf("policy %s: encode the decision: %w", name, err)
			}
		}
		e := eventlog.Entry{
			Policy: name, At: seen.now, Observation: p.observation, Spec: decider.spec, Fresh: decider.fresh || seed != nil, Seed: seed,
			DesiredReplicas: decision.DesiredReplicas, Reason: string(decision.Reason), Payload: payload,
		}
		decider.fresh = false
		if log.CheckpointDue(name) {
			e.State = decider.autoscaler.AppendCheckpoint(nil)
		}
		entries = append(entries, e)
		decisions = append(decisions, decision)
	}
	if err := log.Append(ctx, entries); err != nil {
		return err
	}
	for i := range decisions {
		s.cfg.Metrics.decided(decisions[i].Policy, decisions[i])
	}
	return nil
}

// forgetEvery is how often a shard's owner looks for policies whose remains are to go: they have been gone for days.
const forgetEvery = time.Hour

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

// record is the payload of a decision in the log.
type record struct {
	Decision scaler.Decision `json:"decision"`
	// Cause says why the observation is none; then the decision is not to be served.
	Cause string `json:"cause,omitempty"`
}

// Publisher returns what puts a decision that came through the log into the store. Decisions of policies that are not
// configured here are passed over.
func Publisher(policies []Policy, store *readmodel.Store, fail func(policy string, err error)) func(eventlog.Decision) {
	byName := map[string]Policy{}
	for _, p := range policies {
		byName[p.Name()] = p
	}
	return func(d eventlog.Decision) {
		p, ok := byName[d.Policy]
		if !ok {
			return
		}
		var r record
		if err := json.Unmarshal(d.Payload, &r); err != nil {
			fail(d.Policy, fmt.Errorf("read tick %d from the log: %w", d.Seq, err))
			return
		}
		var err error
		if r.Cause != "" {
			err = errors.New(r.Cause)
		}
		e := entry(p, d.Observation, r.Decision, err)
		e.Writer = d.Writer
		store.Publish(e)
	}
}

// deciders are a shard's autoscalers. They are the eventlog.Recovery.
type deciders struct {
	all      map[string]*decider
	replayed int
}

type decider struct {
	policy     Policy
	autoscaler *scaler.Autoscaler
	spec       uint64
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

func newDeciders(policies []Policy) (*deciders, error) {
	d := &deciders{all: make(map[string]*decider, len(policies))}
	for _, p := range policies {
		a, err := p.newAutoscaler()
		if err != nil {
			return nil, err
		}
		d.all[p.Name()] = &decider{policy: p, autoscaler: a, spec: p.Fingerprint(), fresh: true}
	}
	return d, nil
}

// Restore implements eventlog.Recovery. Policies that are not configured are passed over.
func (d *deciders) Restore(c eventlog.Checkpoint) error {
	p, ok := d.all[c.Policy]
	if !ok {
		return nil
	}
	if err := p.autoscaler.Restore(c.State); err != nil {
		return err
	}
	p.fresh = false
	return nil
}

// Observe implements eventlog.Recovery: the decision that comes out is the one that is in the log already.
func (d *deciders) Observe(t eventlog.Tick, restart bool) {
	p, ok := d.all[t.Policy]
	if !ok {
		return
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
	p.tick(t.At, t.Observation)
	p.fresh = false
	d.replayed++
}

// Fingerprint returns a hash of all of the policy that its decisions depend on.
func (p Policy) Fingerprint() uint64 {
	data, err := json.Marshal([]any{p.Scaler, p.Model})
	if err != nil {
		panic(fmt.Sprintf("pipeline: policy %s cannot be written as JSON: %v", p.Name(), err))
	}
	h := fnv.New64a()
	h.Write(data)
	return h.Sum64()
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
	}
	if c.Sources != nil {
		c.Sources.Annotate(now, &observation)
	}
	return sighting{p, observation, result.Err}
}
