package eventlog

import (
	"context"
	"errors"
	"fmt"
	"iter"

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
// them without holding more than one decision.
func History(ctx context.Context, client *kgo.Client, cfg Config, shard int32, policy string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		wanted := func(r *kgo.Record) bool { return r.Value != nil && (policy == "" || string(r.Key) == policy) }
		ticks, stopTicks := iter.Pull2(records(ctx, client, cfg.observations(), shard, wanted))
		defer stopTicks()
		decisions, stopDecisions := iter.Pull2(records(ctx, client, cfg.decisions(), shard, wanted))
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

func sameTick(t *Tick, d *Decision) bool { return t.Policy == d.Policy && t.Seq == d.Seq }

// records returns the committed records of a partition, from its start to where it ends now.
func records(ctx context.Context, client *kgo.Client, topic string, partition int32, wanted func(*kgo.Record) bool) iter.Seq2[*kgo.Record, error] {
	return func(yield func(*kgo.Record, error) bool) {
		ends, err := retry(ctx, func() (map[int32]int64, error) { return stableEnds(ctx, client, topic, []int32{partition}) })
		if err != nil {
			yield(nil, err)
			return
		}
		err = newFetcher(client, topic, map[int32]int64{partition: 0}).readTo(ctx, ends, func(r *kgo.Record) error {
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
