// Package readmodel holds the latest answer for every policy in memory, so that a query never waits for Kafka, Prometheus
// or Kubernetes. Its main type is the Store. It decides nothing: it is told what was decided, and it knows how old that is.
package readmodel

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// StaleAfterTicks is how many intervals old a value may be before it is an error and no longer a value.
const StaleAfterTicks = 3

// Entry is what one tick published for one policy. It is a value: nobody modifies it or what it points to afterwards.
type Entry struct {
	// Policy is "namespace/name".
	Policy string `json:"policy"`
	// At is when the observation behind the entry was taken; Interval is the policy's tick, ObjectiveLag how long a record may wait and
	// ObjectiveLatency what bounds the latency, 0 where nothing does.
	At               time.Time     `json:"at"`
	Interval         time.Duration `json:"interval"`
	ObjectiveLag     time.Duration `json:"-"`
	ObjectiveLatency time.Duration `json:"-"`
	// Labels are added to every metric of the policy: cluster, group and, where there is just one, topic.
	Labels map[string]string `json:"labels,omitempty"`
	// LatencyQuantile is the quantile that the observation's latency is of; 0 where none is measured.
	LatencyQuantile float64 `json:"latencyQuantile,omitempty"`
	// Observation lacks the per-partition values where it came from the log.
	Observation series.Observation `json:"observation"`
	Decision    scaler.Decision    `json:"decision"`
	// Ahead is the forecast of each step of the decision's horizon, by the levels of its ArrivalForecast: step k (from 1), level
	// i at (k-1)×levels+i. It is nil where the decision came from the log, which does not keep it.
	Ahead []float64 `json:"-"`
	// Writer is the process that decided; empty where nothing but this one can have.
	Writer string `json:"writer,omitempty"`
	// Usable says that the decision may be served; where it is not, Cause says why in words.
	Usable bool   `json:"usable"`
	Cause  string `json:"cause,omitempty"`
}

// StaleError says that a policy's newest answer is older than it may be, or further ahead of this clock: then how old it is is not
// known, and one that stays the newest until this clock has come there would be served all that time.
type StaleError struct {
	Policy string
	// Age is negative where the answer is ahead.
	Age   time.Duration
	Limit time.Duration
	// Cause is what went wrong since, in words; it may be empty.
	Cause string
}

func (e *StaleError) Error() string {
	s := fmt.Sprintf("policy %s: the last sample is %s old, the limit is %s",
		e.Policy, e.Age.Round(time.Second), e.Limit.Round(time.Second))
	if e.Age < 0 {
		s = fmt.Sprintf("policy %s: the last sample is dated %s ahead of this clock, the limit is %s: set the clocks of the daemon's nodes",
			e.Policy, -e.Age.Round(time.Second), e.Limit.Round(time.Second))
	}
	if e.Cause != "" {
		s += ": " + e.Cause
	}
	return s
}

// NotReadyError says that a policy has no answer yet.
type NotReadyError struct {
	Policy   string
	Interval time.Duration
	Cause    string
}

func (e *NotReadyError) Error() string {
	s := fmt.Sprintf("policy %s has no sample yet", e.Policy)
	if e.Cause != "" {
		s += ": " + e.Cause
	}
	return s
}

// RefusedError says that a policy exists and is not run.
type RefusedError struct{ Policy, Why string }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("policy %s is not run: %s", e.Policy, e.Why)
}

// Store keeps the newest entry of each policy. It is safe for concurrent use.
type Store struct {
	now func() time.Time

	mu       sync.RWMutex
	policies map[string]*state
	refused  map[string]string
	watchers map[chan<- Entry]struct{}
}

type state struct {
	interval time.Duration
	entry    Entry
	// metrics are entry.Metrics(), computed once so that a query only looks up.
	metrics []Metric
	has     bool
	// cause is the latest failure since entry.
	cause string
}

// NewStore returns an empty Store that takes the time for ages from now.
func NewStore(now func() time.Time) *Store {
	return &Store{now: now, policies: map[string]*state{}, watchers: map[chan<- Entry]struct{}{}}
}

// Expect makes the policy known: until its first entry, reads of it answer NotReadyError.
func (s *Store) Expect(policy string, interval time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.policies[policy]; ok {
		st.interval = interval
		return
	}
	s.policies[policy] = &state{interval: interval}
}

// Refuse replaces what is known of policies that exist and are not run: why, by name. The Store keeps the map.
func (s *Store) Refuse(why map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = why
}

// Forget removes the policy.
func (s *Store) Forget(policy string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.policies, policy)
}

// Publish makes e the newest entry of its policy. An entry older than the present one is dropped, unless that one is further ahead of this
// clock than it may be, and one that is not usable leaves the present one to age, with its cause.
func (s *Store) Publish(e Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.policies[e.Policy]
	if !ok {
		st = &state{}
		s.policies[e.Policy] = st
	}
	if e.Interval > 0 {
		st.interval = e.Interval
	}
	switch {
	case st.has && e.At.Before(st.entry.At) && st.entry.At.Sub(s.now()) <= StaleAfterTicks*st.interval:
	case e.Usable:
		st.entry, st.metrics, st.has, st.cause = e, e.Metrics(), true, ""
	default:
		st.cause = e.Cause
	}
	for w := range s.watchers {
		select {
		case w <- e:
		default: // A slow watcher misses entries rather than holding up the others.
		}
	}
}

// Fail records why the policy could not be observed; its last entry ages on.
func (s *Store) Fail(policy string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.policies[policy]; ok {
		st.cause = err.Error()
	}
}

// Watch sends every published entry to c until the returned stop is called. Entries that c cannot take at once are left out.
func (s *Store) Watch(c chan<- Entry) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[c] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, c)
	}
}

// Get returns the policy's newest entry, or a *StaleError, a *NotReadyError, a *RefusedError or ErrUnknown.
func (s *Store) Get(policy string) (Entry, error) {
	now := s.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	st, ok := s.policies[policy]
	if !ok {
		return Entry{}, s.unknown(policy)
	}
	return st.get(policy, now)
}

// ErrUnknown says that no such policy exists.
var ErrUnknown = errors.New("unknown policy")

// unknown says why there is nothing of a policy; s.mu is held.
func (s *Store) unknown(policy string) error {
	if why, ok := s.refused[policy]; ok {
		return &RefusedError{policy, why}
	}
	return ErrUnknown
}

func (st *state) get(policy string, now time.Time) (Entry, error) {
	if !st.has {
		return Entry{}, &NotReadyError{Policy: policy, Interval: st.interval, Cause: st.cause}
	}
	limit := StaleAfterTicks * st.interval
	if age := now.Sub(st.entry.At); age > limit || age < -limit {
		return Entry{}, &StaleError{Policy: policy, Age: age, Limit: limit, Cause: st.cause}
	}
	return st.entry, nil
}

// Status is a policy's entry with what is wrong with it, for people: the entry is given even when it is stale.
type Status struct {
	Policy string
	Entry  Entry
	Has    bool
	Err    error
	Cause  string
}

// Status returns the policy's status, or a *RefusedError or ErrUnknown.
func (s *Store) Status(policy string) (Status, error) {
	now := s.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	st, ok := s.policies[policy]
	if !ok {
		return Status{}, s.unknown(policy)
	}
	return st.status(policy, now), nil
}

func (st *state) status(policy string, now time.Time) Status {
	_, err := st.get(policy, now)
	return Status{Policy: policy, Entry: st.entry, Has: st.has, Err: err, Cause: st.cause}
}

// All returns the status of every policy, sorted by name.
func (s *Store) All() []Status {
	now := s.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]Status, 0, len(s.policies))
	for name, st := range s.policies {
		all = append(all, st.status(name, now))
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Policy, b.Policy) })
	return all
}
