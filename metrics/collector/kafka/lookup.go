package kafka

import (
	"context"
	"slices"
	"sync"
)

// Batch sizes of the exact check: most batches fit the first; one that does not is fetched alone with the second, where
// the broker gives one batch of whatever size (KIP-74).
const (
	exactBytes = 64 << 10
	lonelyByte = 1
)

// lookup is an offset that a broker is asked about. Groups that wait at the same one share the answer.
type lookup struct {
	topic  *topic
	p      int
	offset int64
}

// lookups are those of one tick, with the checks that each is for.
type lookups struct {
	c  *Collector
	of map[lookup][]check
	mu sync.Mutex // guards what is stored of their answers
}

// lookUp asks the leaders, all at once, about the checks' offsets and stores what they answer.
func (c *Collector) lookUp(ctx context.Context, checks []check) {
	l := lookups{c: c, of: map[lookup][]check{}}
	byLeader := map[int32][]lookup{}
	for _, ch := range checks {
		at := lookup{ch.place.topic, ch.p, ch.offset}
		if l.of[at] == nil {
			leader := at.topic.leader[ch.p]
			byLeader[leader] = append(byLeader[leader], at)
		}
		l.of[at] = append(l.of[at], ch)
	}
	var wait sync.WaitGroup
	for leader, asked := range byLeader {
		if leader >= 0 {
			wait.Go(func() { l.ask(ctx, leader, asked) })
		}
	}
	wait.Wait()
}

// ask asks one leader, until it fails.
func (l *lookups) ask(ctx context.Context, leader int32, asked []lookup) {
	for len(asked) > 0 && ctx.Err() == nil {
		var round []lookup
		round, asked = oncePartition(asked)
		for chunk := range slices.Chunk(round, 100) {
			if l.fetch(ctx, leader, chunk) != nil {
				return
			}
		}
	}
}

// oncePartition splits off look-ups that one request may hold: it may name a partition once.
func oncePartition(asked []lookup) (round, rest []lookup) {
	type partition struct {
		topic *topic
		p     int
	}
	named := map[partition]bool{}
	for _, at := range asked {
		if of := (partition{at.topic, at.p}); !named[of] {
			named[of] = true
			round = append(round, at)
		} else {
			rest = append(rest, at)
		}
	}
	return round, rest
}

// fetch asks for all of chunk in one request, and once more for each whose batch did not fit.
func (l *lookups) fetch(ctx context.Context, leader int32, chunk []lookup) error {
	topics := make([]*topic, len(chunk))
	partitions := make([]int, len(chunk))
	offsets := make([]int64, len(chunk))
	for i, at := range chunk {
		topics[i], partitions[i], offsets[i] = at.topic, at.p, at.offset
	}
	got, err := l.c.fetchBatches(ctx, leader, topics, partitions, offsets, exactBytes)
	if err != nil {
		return err
	}
	var alone []int
	for i, at := range chunk {
		if got[i].failed == 0 && !got[i].known && got[i].residueTo == at.offset {
			alone = append(alone, i)
			continue
		}
		l.store(at, got[i])
	}
	for _, i := range alone {
		got, err := l.c.fetchBatches(ctx, leader, topics[i:i+1], partitions[i:i+1], offsets[i:i+1], lonelyByte)
		if err != nil {
			return err
		}
		got[0].refused = !got[0].known
		l.store(chunk[i], got[0])
	}
	return nil
}

func (l *lookups) store(at lookup, e exact) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.lookedTo, e.failedTick = max(at.topic.end[at.p], e.residueTo), l.c.tick
	for _, ch := range l.of[at] {
		if ch.place.exact == nil {
			ch.place.exact = map[int32]exact{}
		}
		ch.place.exact[int32(ch.p)] = e
	}
}
