package pipeline

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/prescale/prescale/cmd/internal/readmodel"
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

// decided counts decisions. Those of a policy that went while they were appended are left out, or its metrics would be there for good.
func (s *shards) decided(decisions []scaler.Decision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range decisions {
		policies := s.byShard[eventlog.ShardOf(d.Policy, s.cfg.Shards)]
		if _, there := slices.BinarySearchFunc(policies, d.Policy, func(p Policy, name string) int {
			return strings.Compare(p.Name(), name)
		}); there {
			s.cfg.Metrics.decided(d.Policy, d)
		}
	}
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

// seedsAtOnce bounds the states, of some 90 kB each, that one append has besides the checkpoints that are due. Where a new version
// of this program changes every policy's configuration, a tick is appended in parts.
const seedsAtOnce = 32

// forgetEvery is how often a shard's owner looks for policies whose remains are to go: they have been gone for days.
const forgetEvery = time.Hour
