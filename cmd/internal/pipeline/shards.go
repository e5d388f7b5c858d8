package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
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
	// importSlots bounds how many histories are imported at once.
	importSlots *semaphore.Weighted

	mu sync.Mutex
	// byShard are the policies by shard, sorted by name, and versions counts a shard's changes of them.
	byShard  map[int32][]Policy
	versions map[int32]int
	owned    map[int32]*shard
	// generation counts the changes of owned, and changed closes at the next.
	generation int
	changed    chan struct{}
}

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

func newShards(cfg Config) *shards {
	s := &shards{
		cfg: cfg, importSlots: semaphore.NewWeighted(importsAtOnce),
		versions: map[int32]int{}, owned: map[int32]*shard{}, changed: make(chan struct{}),
	}
	s.set(cfg.Policies)
	return s
}

// set replaces the policies. Shards whose policies stay as they were go on undisturbed.
func (s *shards) set(policies []Policy) {
	byShard := map[int32][]Policy{}
	for _, p := range policies {
		n := eventlog.ShardOf(p.Name(), s.cfg.Shards)
		byShard[n] = append(byShard[n], p)
	}
	for _, policies := range byShard {
		sortByName(policies)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range int32(s.cfg.Shards) {
		if reflect.DeepEqual(s.byShard[n], byShard[n]) {
			continue
		}
		s.versions[n]++
		if owned := s.owned[n]; owned != nil {
			s.drop(n, owned)
		}
	}
	s.byShard = byShard
}

func sortByName(policies []Policy) {
	slices.SortFunc(policies, func(a, b Policy) int { return strings.Compare(a.Name(), b.Name()) })
}

// policiesIn returns the policies of a shard and the version of that answer.
func (s *shards) policiesIn(n int32) ([]Policy, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byShard[n], s.versions[n]
}

// next begins another generation. s.mu is held.
func (s *shards) next() {
	s.generation++
	close(s.changed)
	s.changed = make(chan struct{})
}

// policiesOf returns the owned policies of one group of policies, sorted by name, and the generation of that answer. The targets
// of those that came after the generation since say up to where they were counted.
func (s *shards) policiesOf(g group, since int) ([]Policy, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var policies []Policy
	for _, owned := range s.owned {
		for _, p := range owned.policies {
			if groupOf(p) != g {
				continue
			}
			if owned.opened <= since {
				p.Target.Counted = series.Counted{}
			}
			policies = append(policies, p)
		}
	}
	sortByName(policies)
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
	case <-owned.gone:
		return readmodel.Explained{}, false
	case <-ctx.Done():
		return readmodel.Explained{}, false
	}
	if explained := <-answer; explained != nil {
		return *explained, true
	}
	return readmodel.Explained{}, false
}

func (s *shards) changedSince(generation int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation != generation
}

// settle is how long shards that come together may lie apart.
const settle = 500 * time.Millisecond

// overdue returns a channel that closes once policies of the group have come since the generation and should have been decided by
// now: their owner before did not get to it, or they are new. It stays open when ctx ends before.
func (s *shards) overdue(ctx context.Context, g group, since int) <-chan struct{} {
	found := make(chan struct{})
	go func() {
		for {
			overdue, changed := s.isOverdue(g, since)
			var settled <-chan time.Time
			if overdue {
				settled = time.After(settle)
			}
			select {
			case <-ctx.Done():
				return
			case <-changed:
			case <-settled:
				close(found)
				return
			}
		}
	}()
	return found
}

// isOverdue says whether, and returns a channel that closes when that may have changed.
func (s *shards) isOverdue(g group, since int) (bool, <-chan struct{}) {
	now := s.cfg.Clock.At(time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, owned := range s.owned {
		if owned.opened <= since {
			continue
		}
		for _, p := range owned.policies {
			last := owned.ticked[p.Name()]
			if groupOf(p) == g && (last.IsZero() || !now.Before(nextTick(last, g.interval))) {
				return true, s.changed
			}
		}
	}
	return false, s.changed
}

// nextTick is when the tick after one at a time is due. All replicas tick together.
func nextTick(last time.Time, interval time.Duration) time.Time {
	return last.Truncate(interval).Add(interval)
}

// deliver hands what a tick saw to the shards that are still owned as they were at the generation: what came since counts its
// arrivals from elsewhere.
func (s *shards) deliver(now time.Time, generation int, seen []sighting) {
	byShard := map[int32][]sighting{}
	for _, p := range seen {
		n := eventlog.ShardOf(p.policy.Name(), s.cfg.Shards)
		byShard[n] = append(byShard[n], p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, policies := range byShard {
		owned, ok := s.owned[n]
		if !ok || owned.opened > generation {
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

// open says that the shard is served from now on with the deciders of this version of its policies. It returns nil, having done
// nothing, where that is not the newest.
func (s *shards) open(log *eventlog.Shard, version int, d *deciders) *shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.versions[log.Number] != version {
		return nil
	}
	s.next()
	owned := &shard{
		policies: slices.Clone(s.byShard[log.Number]), ticked: map[string]time.Time{}, opened: s.generation,
		inbox: make(chan sightings, inboxTicks), questions: make(chan question), gone: make(chan struct{}),
	}
	for i := range owned.policies {
		name := owned.policies[i].Name()
		owned.policies[i].Target.Counted = d.all[name].counted
		owned.ticked[name], _ = log.Known(name)
	}
	s.owned[log.Number] = owned
	return owned
}

func (s *shards) close(n int32, closing *shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owned[n] == closing {
		s.drop(n, closing)
	}
}

// drop ends the service of a shard. s.mu is held.
func (s *shards) drop(n int32, owned *shard) {
	delete(s.owned, n)
	close(owned.gone)
	s.next()
}

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
		s.cfg.Logger.Info("serving a shard", "shard", log.Number, "term", log.Term, "policies", len(d.all), "replayedTicks", d.replayed, "took", time.Since(start))
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

// seedsAtOnce bounds the states, of some 90 kB each, that one append has besides the checkpoints that are due. Where a new version
// of this program changes every policy's configuration, a tick is appended in parts.
const seedsAtOnce = 32

// tick decides for every policy that was seen and appends all of it. What the log did not take was not decided: the
// caller gives the shard up then, and with it the state that is ahead of the log.
func (s *shards) tick(ctx context.Context, log *eventlog.Shard, d *deciders, seen sightings) error {
	entries := make([]eventlog.Entry, 0, len(seen.policies))
	decisions := make([]scaler.Decision, 0, len(seen.policies))
	histories, seeds := 0, 0
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
		if seed == nil && !decider.fresh && log.SeedDue(name, decider.spec) {
			// What it knows came of another configuration.
			seed = decider.autoscaler.AppendCheckpoint(nil)
		}
		decider.count(&p.observation)
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
			Policy: name, At: seen.now, Observation: p.observation, Spec: decider.spec, Configuration: decider.configuration,
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
