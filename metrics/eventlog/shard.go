package eventlog

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"
)

// ShardFunc serves one shard for as long as this process owns it: it recovers the state, appends ticks, and returns nil
// once ctx ends, or an error after which it wants to start again from the log.
//
// An Append that is under way when ctx ends with the cause ErrHandover is completed, so that a shard that is handed over
// in good order ends with a whole tick. With any other cause the shard is lost already.
type ShardFunc func(ctx context.Context, shard *Shard) error

// ErrHandover is the cause with which a ShardFunc's context ends when its shard is asked back in good order.
var ErrHandover = errors.New("the shard is handed over")

// ErrLost is the cause with which a ShardFunc's context ends when its shard was taken away.
var ErrLost = errors.New("the shard is lost to another owner")

// FencedError says that another process has taken the shard over: nothing of the attempt is in the log.
type FencedError struct {
	Shard int32
	Err   error
}

func (e *FencedError) Error() string {
	return fmt.Sprintf("shard %d: another owner has taken over: %v", e.Shard, e.Err)
}

func (e *FencedError) Unwrap() error { return e.Err }

// Shard is the right to write one shard. It is for one goroutine at a time.
type Shard struct {
	// Number is the shard's partition.
	Number int32
	// Term counts the shard's take-overs, this one included. It is known after Recover.
	Term uint64

	cfg     Config
	backend backend
	last    map[string]position
	failed  error
	// appended, where it is not nil, is called after each Append.
	appended func()
	// end is an offset in the shard's observations beyond every tick that was appended before the present Append.
	end   int64
	batch batch
}

// position is where a policy's ticks stand.
type position struct {
	seq    uint64
	at     time.Time
	origin uint64
	// spec is the fingerprint of the configuration of the last tick, or 0 where the next one must begin with a state all the same.
	spec uint64
}

// batch is what one transaction writes.
type batch struct {
	ticks       []Tick
	decisions   []Decision
	checkpoints []Checkpoint
	// forgotten are policies whose checkpoint and newest decision are taken out of the log.
	forgotten []string
}

// backend is where a shard's records go.
type backend interface {
	// durable reports whether checkpoints are worth their making.
	durable() bool
	// recover calls the visitors with every checkpoint that counts and then every tick after the oldest of them.
	recover(ctx context.Context, s *Shard, r Recovery) error
	// write writes all of the batch or nothing and returns an offset beyond its ticks. After an error the outcome may be
	// unknown.
	write(ctx context.Context, s *Shard, b *batch) (end int64, err error)
}

// Recovery receives what a shard's log holds.
type Recovery interface {
	// Restore is called first, once for every policy that has a checkpoint, also for policies that are no longer
	// configured. An error (a version that this program cannot read) makes Recover hand over all ticks that the log has of
	// the policy instead: the first one with restart true.
	Restore(c Checkpoint) error
	// Observe is called for every tick after the policy's checkpoint, in order. restart says that the state must be
	// started anew before the tick, from the tick's Seed where it has one.
	Observe(t Tick, restart bool)
}

// Recover reads the shard's log: the newest checkpoint of every policy and the ticks after it. It must be called before the
// first Append, and may be called again between two of them: for policies that r did not want before.
func (s *Shard) Recover(ctx context.Context, r Recovery) error {
	term := s.Term
	if err := s.backend.recover(ctx, s, r); err != nil {
		return err
	}
	if term > 0 {
		s.Term = term // It is still the same take-over.
	}
	return nil
}

// Next returns the sequence number of the policy's next tick.
func (s *Shard) Next(policy string) uint64 { return s.last[policy].seq + 1 }

// Known reports whether the shard has ticks of the policy, and the time of the last.
func (s *Shard) Known(policy string) (last time.Time, ok bool) {
	p, ok := s.last[policy]
	return p.at, ok
}

// SeedDue reports whether the policy's next tick, decided under the configuration with the fingerprint spec, ought to begin a
// state anew, from a seed: the last one was decided under another configuration, and what came of that is not to be derived
// under this one. So it is where checkpoints and observations no longer fit together, as where somebody deleted one of their
// topics.
func (s *Shard) SeedDue(policy string, spec uint64) bool {
	p, known := s.last[policy]
	return known && p.spec != spec && s.backend.durable()
}

// CheckpointDue reports whether the policy's next tick ought to carry the decider's state: every Config.CheckpointTicks-th,
// spread over the policies.
func (s *Shard) CheckpointDue(policy string) bool {
	if !s.backend.durable() {
		return false
	}
	next := s.Next(policy)
	return due(policy, next, s.cfg.CheckpointTicks) || s.anchorDue(policy, next)
}

func (s *Shard) anchorDue(policy string, seq uint64) bool {
	return s.cfg.AnchorTicks > 0 && due(policy, seq, s.cfg.AnchorTicks)
}

// due reports whether seq is the policy's own residue modulo every, so that a shard's checkpoints do not come at once.
func due(policy string, seq uint64, every int) bool {
	h := fnv.New64a()
	h.Write([]byte(policy))
	return seq%uint64(every) == h.Sum64()%uint64(every)
}

// Append writes one tick of any number of policies of the shard, each at most once, in one transaction: when it returns
// nil all is in the log for good, in this order. After any error the outcome is unknown (after a *FencedError: nothing was
// written), the Shard refuses further use, and the ShardFunc must return the error.
func (s *Shard) Append(ctx context.Context, entries []Entry) error {
	if s.failed != nil {
		return fmt.Errorf("shard %d: append after a failure: %w", s.Number, s.failed)
	}
	if len(entries) == 0 {
		return nil
	}
	if err := s.append(ctx, entries); err != nil {
		s.failed = err
		return err
	}
	return nil
}

// Forgettable returns the policies, sorted, that have had no tick for so long before now that retention has left none of
// their observations. A policy that is merely unknown to this replica, in a roll-out of a new configuration say, or that
// returns within days, is not among them.
func (s *Shard) Forgettable(now time.Time) []string {
	var idle []string
	for policy, p := range s.last {
		if now.Sub(p.at) > s.cfg.Retention+forgetMargin {
			idle = append(idle, policy)
		}
	}
	slices.Sort(idle)
	return idle
}

// forgetMargin is how long observations may outlive Config.Retention: more than a segment's span and the broker's interval
// between its looks.
const forgetMargin = 24 * time.Hour

// Forget takes the checkpoints and decisions of policies out of the log, in one transaction: a policy of that name begins
// anew. Errors are those of Append.
func (s *Shard) Forget(ctx context.Context, policies []string) error {
	if s.failed != nil {
		return fmt.Errorf("shard %d: forget after a failure: %w", s.Number, s.failed)
	}
	if len(policies) == 0 {
		return nil
	}
	if _, err := s.backend.write(ctx, s, &batch{forgotten: policies}); err != nil {
		s.failed = err
		return err
	}
	for _, policy := range policies {
		delete(s.last, policy)
	}
	return nil
}

func (s *Shard) append(ctx context.Context, entries []Entry) error {
	b := &s.batch
	b.ticks, b.decisions, b.checkpoints = b.ticks[:0], b.decisions[:0], b.checkpoints[:0]
	for i := range entries {
		e := &entries[i]
		stamp, err := s.stamp(e)
		if err != nil {
			return err
		}
		tick := Tick{Stamp: stamp, Observation: e.Observation, Seed: e.Seed}
		if e.State == nil && stamp.Origin == stamp.Seq {
			// Where a state begins, nothing is known before: a checkpoint without state says from where to replay.
			b.checkpoints = append(b.checkpoints, Checkpoint{Stamp: stamp, ReplayFrom: s.end})
		}
		if e.State != nil {
			b.checkpoints = append(b.checkpoints, Checkpoint{Stamp: stamp, ReplayFrom: s.end, State: e.State, Counted: e.Counted})
			if s.anchorDue(e.Policy, stamp.Seq) {
				tick.Anchor = e.State
			}
		}
		if stamp.Origin == stamp.Seq || s.last[e.Policy].spec != stamp.Spec || tick.Anchor != nil {
			tick.Configuration = e.Configuration
		}
		b.ticks = append(b.ticks, tick)
		b.decisions = append(b.decisions, Decision{
			Stamp: stamp, Observation: e.Observation, DesiredReplicas: e.DesiredReplicas, Reason: e.Reason, Payload: e.Payload,
		})
	}
	end, err := s.backend.write(ctx, s, b)
	if err != nil {
		return err
	}
	s.end = end
	for i := range b.ticks {
		t := &b.ticks[i]
		s.last[t.Policy] = position{t.Seq, t.At, t.Origin, t.Spec}
	}
	if s.appended != nil {
		s.appended()
	}
	return nil
}

func (s *Shard) stamp(e *Entry) (Stamp, error) {
	if n := ShardOf(e.Policy, s.cfg.Shards); n != s.Number {
		return Stamp{}, fmt.Errorf("shard %d: policy %s belongs to shard %d", s.Number, e.Policy, n)
	}
	last, known := s.last[e.Policy]
	// Only the wall's time is read again: a monotonic reading would go on where the clock is set back, and the log's time would not.
	at := e.At.Round(0)
	if known && !at.After(last.at) && !(e.SetBack && at.Before(last.at)) {
		return Stamp{}, fmt.Errorf("shard %d: policy %s: tick at %s is not after the last, at %s: is this clock behind?",
			s.Number, e.Policy, at.Format(time.RFC3339Nano), last.at.Format(time.RFC3339Nano))
	}
	stamp := Stamp{
		Policy: e.Policy, Seq: last.seq + 1, At: at, Origin: last.origin, Spec: e.Spec,
		Term: s.Term, Writer: s.cfg.Instance,
	}
	if e.Fresh || !known {
		stamp.Origin = stamp.Seq
	}
	return stamp, nil
}
