package eventlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Event is one tick as the log holds it. Tick.Seq is 0 where only the decision is there, Decision.Seq is 0 where only the
// tick is: an end of the log that retention or compaction has reached, or a log that is broken.
type Event struct {
	Tick     Tick
	Decision Decision
}

// Stamp returns the stamp of what is there.
func (e *Event) Stamp() *Stamp {
	if e.Tick.Seq == 0 {
		return &e.Decision.Stamp
	}
	return &e.Tick.Stamp
}

// History returns all that a shard's log holds now, in the order in which it was written. policy, where it is not empty,
// leaves the other policies out. An error ends the sequence.
//
// Ticks and decisions lie in two topics but are written together, in the same order: reading both side by side pairs
// them without holding more than one decision. Both are read to one cut (see wholeEnds), or a tick that was committed this
// very moment could show without its decision.
func History(ctx context.Context, client *kgo.Client, cfg Config, shard int32, policy string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		ends, err := wholeEnds(ctx, client, shard, cfg.observations(), cfg.decisions())
		if err != nil {
			yield(Event{}, fmt.Errorf("read shard %d: %w", shard, err))
			return
		}
		wanted := func(r *kgo.Record) bool { return r.Value != nil && (policy == "" || string(r.Key) == policy) }
		ticks, stopTicks := iter.Pull2(records(ctx, client, cfg.observations(), shard, 0, ends[0], wanted))
		defer stopTicks()
		decisions, stopDecisions := iter.Pull2(records(ctx, client, cfg.decisions(), shard, 0, ends[1], wanted))
		defer stopDecisions()
		nextDecision := func() (d Decision, err error) {
			r, err, ok := decisions()
			if !ok || err != nil {
				return Decision{}, err
			}
			return DecodeDecision(r.Key, r.Value)
		}
		decision, err := nextDecision()
		for err == nil {
			var r *kgo.Record
			var ok bool
			if r, err, ok = ticks(); err != nil || !ok {
				break
			}
			var tick Tick
			if tick, err = DecodeTick(r.Key, r.Value); err != nil {
				break
			}
			// Decisions whose ticks are gone come first.
			for err == nil && decision.Seq != 0 && !sameTick(&tick, &decision) && decision.At.Before(tick.At) {
				if !yield(Event{Decision: decision}, nil) {
					return
				}
				decision, err = nextDecision()
			}
			if err != nil {
				break
			}
			e := Event{Tick: tick}
			if sameTick(&tick, &decision) {
				e.Decision = decision
				decision, err = nextDecision()
			}
			if !yield(e, nil) {
				return
			}
		}
		for err == nil && decision.Seq != 0 {
			if !yield(Event{Decision: decision}, nil) {
				return
			}
			decision, err = nextDecision()
		}
		if err != nil {
			yield(Event{}, fmt.Errorf("read shard %d: %w", shard, err))
		}
	}
}

// sameTick compares the times too: where somebody deleted the observations numbers begin again, and so may terms, and the decisions have
// both.
func sameTick(t *Tick, d *Decision) bool {
	return t.Policy == d.Policy && t.Seq == d.Seq && t.At.Equal(d.At)
}

// Observations returns the ticks of a policy from one time to another, both included, as far as the log holds them. An
// error ends the sequence.
func Observations(ctx context.Context, client *kgo.Client, cfg Config, policy string, from, to time.Time) iter.Seq2[Tick, error] {
	return func(yield func(Tick, error) bool) {
		shard := ShardOf(policy, cfg.Shards)
		fail := func(err error) { yield(Tick{}, fmt.Errorf("read the observations of %s: %w", policy, err)) }
		// The records' timestamps are the ticks', in milliseconds.
		starts, err := retry(ctx, func() (map[int32]int64, error) {
			return offsetsAt(ctx, client, cfg.observations(), []int32{shard}, from)
		})
		if err != nil {
			fail(err)
			return
		}
		ends, err := retry(ctx, func() (map[int32]int64, error) { return stableEnds(ctx, client, cfg.observations(), []int32{shard}) })
		if err != nil {
			fail(err)
			return
		}
		wanted := func(r *kgo.Record) bool { return string(r.Key) == policy }
		for r, err := range records(ctx, client, cfg.observations(), shard, starts[shard], ends[shard], wanted) {
			var t Tick
			if err == nil {
				t, err = DecodeTick(r.Key, r.Value)
			}
			switch {
			case err != nil:
				fail(err)
				return
			case !t.At.Before(from) && !t.At.After(to) && !yield(t, nil):
				return
			}
		}
	}
}

// wholeEnds returns an offset in the shard's partition of each topic so that a transaction lies before all of them or
// after all of them, as a whole.
//
// A commit becomes visible partition by partition, whenever the coordinator's marker arrives there, also after the
// producer was told of it (KIP-98, "Data Flow", 5.2). So last stable offsets that are read one after another may cut a
// transaction in two. They do not where each is also its partition's end, asked for after all of them: at some moment
// between the two answers there was then no transaction under way in any of the partitions.
func wholeEnds(ctx context.Context, client *kgo.Client, shard int32, topics ...string) ([]int64, error) {
	adm := kadm.NewClient(client)
	ask := func(list func(context.Context, ...string) (kadm.ListedOffsets, error)) ([]int64, error) {
		return retry(ctx, func() ([]int64, error) {
			listed, err := list(ctx, topics...)
			if err != nil {
				return nil, fmt.Errorf("ask where the log ends: %w", err)
			}
			ends := make([]int64, len(topics))
			for i, topic := range topics {
				if ends[i], err = offsetOf(listed, topic, shard); err != nil {
					return nil, err
				}
			}
			return ends, nil
		})
	}
	for {
		stable, err := ask(adm.ListCommittedOffsets)
		if err != nil {
			return nil, err
		}
		ends, err := ask(adm.ListEndOffsets)
		if err != nil {
			return nil, err
		}
		if slices.Equal(stable, ends) {
			return stable, nil
		}
		// A tick is being written, or its writer died in it: that transaction ends within Config.AppendTimeout.
		if sleep(ctx, cutPause) != nil {
			return nil, fmt.Errorf("wait until no tick is being written: %w", context.Cause(ctx))
		}
	}
}

// cutPause is the pause between two looks for a moment without a transaction: much shorter than a tick takes to write.
const cutPause = 20 * time.Millisecond

// records returns the committed records of a partition from one offset to before another.
func records(ctx context.Context, client *kgo.Client, topic string, partition int32, from, end int64,
	wanted func(*kgo.Record) bool) iter.Seq2[*kgo.Record, error] {
	return func(yield func(*kgo.Record, error) bool) {
		err := newFetcher(client, topic, map[int32]int64{partition: from}).readTo(ctx, map[int32]int64{partition: end},
			func(r *kgo.Record) error {
				if wanted(r) && !yield(r, nil) {
					return errStop
				}
				return nil
			})
		if err != nil && !errors.Is(err, errStop) {
			yield(nil, err)
		}
	}
}

// errStop ends a reading early.
var errStop = errors.New("enough")
