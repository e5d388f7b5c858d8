package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// recover implements backend. The producer is initialised already: what its predecessor had open is ended, so the stable
// ends that the brokers name now are the ends of all that was ever written.
func (k *kafkaBackend) recover(ctx context.Context, s *Shard, r Recovery) (err error) {
	n := s.Number
	ctx, cancel := context.WithTimeout(ctx, takeOverTimeout)
	defer cancel()
	if err := k.takeOvers.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("shard %d: wait for other take-overs: %w", n, err)
	}
	defer k.takeOvers.Release(1)
	start := wall()
	defer func() {
		if err == nil {
			k.metrics.takeOver.Observe(time.Since(start).Seconds())
		}
	}()
	checkpoints, err := k.readCheckpoints(ctx, n)
	if err != nil {
		return fmt.Errorf("shard %d: %w", n, err)
	}
	ends, err := retry(ctx, func() (map[int32]int64, error) {
		return stableEnds(ctx, k.producer, s.cfg.observations(), []int32{n})
	})
	if err != nil {
		return fmt.Errorf("shard %d: %w", n, err)
	}
	from := ends[n]
	clear(s.last)
	rebuild := map[string]bool{}
	for policy, c := range checkpoints {
		s.Term = max(s.Term, c.Term)
		if len(c.State) == 0 {
			s.last[policy] = position{seq: c.Seq - 1, origin: c.Origin}
			from = min(from, c.ReplayFrom)
			continue
		}
		if err := r.Restore(c); err != nil {
			// Every observation that is left is better than none: read on from the start of the log.
			k.log.Warn("a checkpoint cannot be used; the state is rebuilt from the observations", "policy", policy, "error", err)
			rebuild[policy] = true
			from, c.ReplayFrom = 0, 0
			checkpoints[policy] = c
			continue
		}
		s.last[policy] = position{c.Seq, c.At, c.Origin, c.Spec}
		from = min(from, c.ReplayFrom)
	}
	tail := newFetcher(k.producer, s.cfg.observations(), map[int32]int64{n: from})
	reading := tail.cursors[n]
	err = tail.readTo(ctx, ends, func(record *kgo.Record) error {
		t, err := DecodeTick(record.Key, record.Value)
		if err != nil {
			return err
		}
		s.Term = max(s.Term, t.Term)
		last, known := s.last[t.Policy]
		switch {
		case record.Offset < checkpoints[t.Policy].ReplayFrom:
			return nil // Read for another policy's sake.
		case rebuild[t.Policy]:
			delete(rebuild, t.Policy)
			r.Observe(t, true)
			t.Origin = t.Seq
		case !known && t.Seq == 1:
			r.Observe(t, true)
		case !known:
			return nil // A policy whose checkpoint was removed: forgotten.
		case t.Seq <= last.seq:
			return nil // The checkpoint knows it already.
		case t.Seq != last.seq+1 && reading.skippedTo > checkpoints[t.Policy].ReplayFrom:
			// Nobody owned the shard for so long that retention took ticks after the checkpoint.
			r.Observe(t, true)
			t.Origin = t.Seq
		case t.Seq != last.seq+1:
			return fmt.Errorf("policy %s: tick %d follows tick %d at offset %d: the log has a gap", t.Policy, t.Seq, last.seq, record.Offset)
		default:
			r.Observe(t, t.Origin == t.Seq)
			if t.Origin != t.Seq {
				t.Origin = last.origin
			}
		}
		s.last[t.Policy] = position{t.Seq, t.At, t.Origin, t.Spec}
		return nil
	})
	if err != nil {
		return fmt.Errorf("shard %d: %w", n, err)
	}
	for policy := range rebuild {
		// Not one observation is left, but the numbers go on.
		c := checkpoints[policy]
		s.last[policy] = position{c.Seq, c.At, c.Seq + 1, c.Spec}
	}
	s.Term++
	s.end = ends[n]
	return nil
}

// readCheckpoints returns the newest checkpoint of each of the shard's policies.
func (k *kafkaBackend) readCheckpoints(ctx context.Context, n int32) (map[string]Checkpoint, error) {
	topic := k.cfg.checkpoints()
	ends, err := retry(ctx, func() (map[int32]int64, error) {
		return stableEnds(ctx, k.producer, topic, []int32{n})
	})
	if err != nil {
		return nil, err
	}
	// Only the newest of each is decoded.
	newest := map[string][]byte{}
	err = newFetcher(k.producer, topic, map[int32]int64{n: 0}).readTo(ctx, ends, func(r *kgo.Record) error {
		if r.Value == nil {
			delete(newest, string(r.Key))
			return nil
		}
		newest[string(r.Key)] = r.Value
		return nil
	})
	if err != nil {
		return nil, err
	}
	checkpoints := make(map[string]Checkpoint, len(newest))
	for policy, value := range newest {
		c, err := DecodeCheckpoint([]byte(policy), value)
		if err != nil {
			return nil, err
		}
		checkpoints[policy] = c
	}
	return checkpoints, nil
}

// retry calls do until it succeeds, fails in a way that another try cannot mend, or ctx ends.
func retry[T any](ctx context.Context, do func() (T, error)) (T, error) {
	for {
		v, err := do()
		var kafka *kerr.Error
		if err == nil || errors.As(err, &kafka) && !kafka.Retriable {
			return v, err
		}
		if sleep(ctx, fetchBackoff) != nil {
			return v, err
		}
	}
}

// The time that a take-over may need before the owner starts again: reading and replaying hundreds of policies on a busy
// machine takes seconds.
const takeOverTimeout = 2 * time.Minute
