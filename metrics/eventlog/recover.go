package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// recover implements backend. The producer is initialised already: what its predecessor had open is ended, so the stable
// ends that the brokers name now are the ends of all that was ever written.
func (k *kafkaBackend) recover(ctx context.Context, s *Shard, r Recovery) error {
	if err := k.takeOvers.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("shard %d: wait for other take-overs: %w", s.Number, err)
	}
	defer k.takeOvers.Release(1)
	// A rebuilding of many policies from all their observations takes as long as it takes. Given up and begun anew it would never end.
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	silence := time.AfterFunc(takeOverTimeout, func() { stop(fmt.Errorf("nothing more came for %v", takeOverTimeout)) })
	defer silence.Stop()
	start := wall()
	if err := k.takeOver(ctx, s, r, func() { silence.Reset(takeOverTimeout) }); err != nil {
		return fmt.Errorf("shard %d: %w", s.Number, err)
	}
	k.metrics.takeOver.Observe(time.Since(start).Seconds())
	return nil
}

// takeOver reads the checkpoints and the ticks after them. It calls progressed after each of them.
func (k *kafkaBackend) takeOver(ctx context.Context, s *Shard, r Recovery, progressed func()) error {
	checkpoints, err := k.readCheckpoints(ctx, s.Number, progressed)
	if err != nil {
		return err
	}
	ends, err := retry(ctx, func() (map[int32]int64, error) {
		return stableEnds(ctx, k.producer, s.cfg.observations(), []int32{s.Number})
	})
	if err != nil {
		return err
	}
	t := takeOver{shard: s, to: r, checkpoints: checkpoints, rebuild: map[string]bool{}, reseed: map[string]bool{}}
	from := t.restore(k.log, ends[s.Number])
	tail := newFetcher(k.producer, s.cfg.observations(), map[int32]int64{s.Number: from})
	t.reading = tail.cursors[s.Number]
	err = tail.readTo(ctx, ends, func(r *kgo.Record) error {
		defer progressed()
		return t.tick(r)
	})
	if err != nil {
		return err
	}
	t.finish()
	s.Term++
	s.end = ends[s.Number]
	return nil
}

// takeOver is how far one has come.
type takeOver struct {
	shard       *Shard
	to          Recovery
	checkpoints map[string]Checkpoint // the newest of each policy
	rebuild     map[string]bool       // policies whose checkpoint cannot be used, until their first tick is read
	reseed      map[string]bool       // policies whose next tick must begin with a state and have a checkpoint
	bare        bool                  // whether there is no checkpoint at all
	reading     *cursor
}

// restore hands over the checkpoints and returns from where the ticks are read, which is `end` where none is needed.
func (t *takeOver) restore(log *slog.Logger, end int64) (from int64) {
	s := t.shard
	from = end
	clear(s.last)
	if t.bare = len(t.checkpoints) == 0; t.bare && end > 0 {
		// Somebody deleted their topic. A checkpoint comes with a policy's first tick, so nothing else leaves none.
		log.Warn("the shard has observations and no checkpoint: its states are rebuilt from the observations", "shard", s.Number)
		from = 0
	}
	cut := 0
	for policy, c := range t.checkpoints {
		s.Term = max(s.Term, c.Term)
		if c.ReplayFrom > end {
			// The topic of the observations was made anew, or lost its end: its offsets are not those of the checkpoint.
			t.reseed[policy] = true
			c.ReplayFrom = 0
			t.checkpoints[policy] = c
			cut++
		}
		if len(c.State) == 0 {
			s.last[policy] = position{seq: c.Seq - 1, origin: c.Origin}
			from = min(from, c.ReplayFrom)
			continue
		}
		if err := t.to.Restore(c); err != nil {
			// Every observation that is left is better than none: read on from the start of the log.
			log.Warn("a checkpoint cannot be used; the state is rebuilt from the observations", "policy", policy, "error", err)
			t.rebuild[policy] = true
			from, c.ReplayFrom = 0, 0
			t.checkpoints[policy] = c
			continue
		}
		s.last[policy] = position{c.Seq, c.At, c.Origin, c.Spec}
		from = min(from, c.ReplayFrom)
	}
	if cut > 0 {
		log.Warn("observations that checkpoints name are gone: the states go on from the checkpoints", "shard", s.Number, "policies", cut)
	}
	return from
}

// tick hands over one tick of the log, where it is one that its policy's checkpoint does not know.
func (t *takeOver) tick(record *kgo.Record) error {
	s := t.shard
	tick, err := DecodeTick(record.Key, record.Value)
	if err != nil {
		return err
	}
	s.Term = max(s.Term, tick.Term)
	last, known := s.last[tick.Policy]
	replayFrom := t.checkpoints[tick.Policy].ReplayFrom
	switch {
	case record.Offset < replayFrom:
		return nil // Read for another policy's sake.
	case t.rebuild[tick.Policy]:
		delete(t.rebuild, tick.Policy)
		t.to.Observe(tick, true)
		tick.Origin = tick.Seq
	case !known && t.bare:
		t.reseed[tick.Policy] = true
		t.to.Observe(tick, true)
		tick.Origin = tick.Seq
	case !known && tick.Seq == 1:
		t.to.Observe(tick, true)
	case !known:
		return nil // A policy whose checkpoint was removed: forgotten.
	case tick.Seq <= last.seq:
		return nil // The checkpoint knows it already.
	case tick.Seq != last.seq+1 && t.reading.skippedTo > replayFrom:
		// Nobody owned the shard for so long that retention took ticks after the checkpoint.
		t.to.Observe(tick, true)
		tick.Origin = tick.Seq
	case tick.Seq != last.seq+1:
		return fmt.Errorf("policy %s: tick %d follows tick %d at offset %d: the log has a gap", tick.Policy, tick.Seq, last.seq,
			record.Offset)
	default:
		t.to.Observe(tick, tick.Origin == tick.Seq)
		if tick.Origin != tick.Seq {
			tick.Origin = last.origin
		}
	}
	s.last[tick.Policy] = position{tick.Seq, tick.At, tick.Origin, tick.Spec}
	return nil
}

// finish has the numbers go on of policies of which neither a usable checkpoint nor one observation is left, and new states begin
// where a take-over before the next checkpoint would not find what this one did.
func (t *takeOver) finish() {
	for policy := range t.rebuild {
		c := t.checkpoints[policy]
		t.shard.last[policy] = position{c.Seq, c.At, c.Seq + 1, c.Spec}
	}
	for policy := range t.reseed {
		last := t.shard.last[policy]
		last.spec = 0
		t.shard.last[policy] = last
	}
}

// readCheckpoints returns the newest checkpoint of each of the shard's policies.
func (k *kafkaBackend) readCheckpoints(ctx context.Context, n int32, progressed func()) (map[string]Checkpoint, error) {
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
		progressed()
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

// retry calls do until it succeeds, fails in a way that another try cannot mend, or ctx ends. A topic that is not there is one of
// those: it takes somebody who makes it.
func retry[T any](ctx context.Context, do func() (T, error)) (T, error) {
	for {
		v, err := do()
		var kafka *kerr.Error
		if err == nil || errors.As(err, &kafka) && (!kafka.Retriable || errors.Is(err, kerr.UnknownTopicOrPartition)) {
			return v, err
		}
		if sleep(ctx, fetchBackoff) != nil {
			return v, err
		}
	}
}

// takeOverTimeout is how long a take-over may wait for brokers before the owner starts again.
const takeOverTimeout = 2 * time.Minute
