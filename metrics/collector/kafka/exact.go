package kafka

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// batch sizes of the exact check: most batches fit the first; one that does not is fetched alone with the second, where
// the broker gives one batch of whatever size (KIP-74).
const (
	exactBytes = 64 << 10
	lonelyByte = 1
)

// residueAtMost bounds the lags for which a tail of control records is looked for: each open producer leaves one marker
// a partition, so a larger lag is work.
const residueAtMost = 64

// check is one partition to look up.
type check struct {
	group  *group
	place  *groupTopic
	p      int
	offset int64
	need   float64 // how much the answer is wanted
}

// wantUnknown asks for a record of which the samples say nothing: without its age the target has none.
func (c *Collector) wantUnknown(g *group, gt *groupTopic, p int, offset int64) {
	c.wantCheck(check{g, gt, p, offset, 1e12})
}

// wideAt is the error bound from which an age is worth a request: a quarter of it, and no less than ExactAbove.
func (c *Collector) wideAt(seconds float64) float64 {
	return max(c.config.ExactAbove.Seconds(), seconds/4)
}

// wantOldest asks for the record that decides a target's seconds behind, where its age has a wide bound. The other
// partitions' ages matter less than it and stay as the samples tell them.
func (c *Collector) wantOldest(sum *lagSum, g *group) {
	if !sum.waiting {
		return
	}
	w := &sum.likeliest
	if age := w.at.age(sum.nowNanos); age.bound > c.wideAt(age.seconds) {
		c.wantCheck(check{g, w.place, w.p, w.offset, age.bound})
	}
}

// wantResidue asks whether what is left before the end is anything that a consumer is given, where neither end nor
// position moved at this tick.
func (c *Collector) wantResidue(g *group, gt *groupTopic, p int, from, end int64) {
	t := gt.topic
	if gt.movedTick == c.tick || t.countedTick != c.tick || p >= len(t.lastArrived) || t.lastArrived[p] != 0 {
		return
	}
	if known, had := gt.exact[int32(p)]; had && known.offset == from && known.residueTo < end && known.lookedTo >= end {
		return
	}
	c.wantCheck(check{g, gt, p, from, 0.5 / float64(end-from)})
}

// wantCheck notes a wish unless it was answered before. When there are many more than can be granted, the least wanted
// are forgotten.
func (c *Collector) wantCheck(ch check) {
	if c.config.ExactChecks == 0 {
		return
	}
	if known, had := ch.place.exact[int32(ch.p)]; had && known.offset == ch.offset && ch.need >= 1 &&
		(known.known || known.refused || known.failed != 0 && known.failedTick+failedFor > c.tick) {
		return
	}
	c.checks = append(c.checks, ch)
	if len(c.checks) >= 8*c.config.ExactChecks {
		c.mostWanted()
	}
}

// failedFor is how many ticks a look-up that failed is left alone.
const failedFor = 12

// mostWanted keeps as many wishes as a tick may grant.
func (c *Collector) mostWanted() {
	slices.SortFunc(c.checks, func(a, b check) int {
		return cmp.Or(cmp.Compare(b.need, a.need), cmp.Compare(a.group.name, b.group.name),
			cmp.Compare(a.place.name, b.place.name), cmp.Compare(a.p, b.p))
	})
	c.checks = c.checks[:min(len(c.checks), c.config.ExactChecks)]
}

// checkExact grants the wishes of this tick and returns the groups about whose unknown ages something was told; the other
// answers serve the next tick.
func (c *Collector) checkExact(ctx context.Context) (told map[*group]bool) {
	c.wantReported()
	c.mostWanted()
	checks := c.checks
	defer func() {
		clear(c.checks)
		c.checks = c.checks[:0]
	}()
	if len(checks) == 0 || ctx.Err() != nil {
		return nil
	}
	told = map[*group]bool{}
	for _, ch := range checks {
		if ch.need >= 1e12 {
			told[ch.group] = true
		}
	}
	// A topic-partition is asked about one offset a request; groups that wait at the same one share the answer.
	type place struct {
		topic  *topic
		p      int
		offset int64
	}
	asked := map[place][]check{}
	byLeader := map[int32][]place{}
	for _, ch := range checks {
		at := place{ch.place.topic, ch.p, ch.offset}
		if asked[at] == nil {
			leader := at.topic.leader[ch.p]
			byLeader[leader] = append(byLeader[leader], at)
		}
		asked[at] = append(asked[at], ch)
	}
	var mu sync.Mutex
	store := func(at place, e exact) {
		mu.Lock()
		defer mu.Unlock()
		e.lookedTo, e.failedTick = max(at.topic.end[at.p], e.residueTo), c.tick
		for _, ch := range asked[at] {
			if ch.place.exact == nil {
				ch.place.exact = map[int32]exact{}
			}
			ch.place.exact[int32(ch.p)] = e
		}
	}
	var wait sync.WaitGroup
	for leader, places := range byLeader {
		if leader < 0 {
			continue
		}
		wait.Go(func() {
			for len(places) > 0 && ctx.Err() == nil {
				// One request may name a partition once.
				var round, rest []place
				named := map[*topic]map[int]bool{}
				for _, at := range places {
					if named[at.topic] == nil {
						named[at.topic] = map[int]bool{}
					}
					if named[at.topic][at.p] {
						rest = append(rest, at)
						continue
					}
					named[at.topic][at.p] = true
					round = append(round, at)
				}
				places = rest
				var lonely []place
				for chunk := range slices.Chunk(round, 100) {
					topics := make([]*topic, len(chunk))
					partitions := make([]int, len(chunk))
					offsets := make([]int64, len(chunk))
					for i, at := range chunk {
						topics[i], partitions[i], offsets[i] = at.topic, at.p, at.offset
					}
					got, err := c.fetchBatches(ctx, leader, topics, partitions, offsets, exactBytes)
					if err != nil {
						return
					}
					for i, at := range chunk {
						if got[i].failed == 0 && !got[i].known && got[i].residueTo == at.offset {
							lonely = append(lonely, at)
							continue
						}
						store(at, got[i])
					}
				}
				for _, at := range lonely {
					got, err := c.fetchBatches(ctx, leader, []*topic{at.topic}, []int{at.p}, []int64{at.offset}, lonelyByte)
					if err != nil {
						return
					}
					got[0].refused = !got[0].known
					store(at, got[0])
				}
			}
		})
	}
	wait.Wait()
	return told
}

// wantReported asks for records whose age is not known, or roughly, in groups that no target names and that are reported on.
func (c *Collector) wantReported() {
	for _, g := range c.groups {
		if g.forTarget || g.readTick != c.tick {
			continue
		}
		committed, reset := c.isolation(g)
		now := time.Unix(0, c.line.received[c.line.order[len(c.line.order)-1]])
		sum := lagSum{nowNanos: now.UnixNano(), now: now, committed: committed, reset: reset}
		for _, gt := range g.topics {
			if gt.topic.partitions() > 0 {
				c.sumTopic(&sum, g, gt, &stateTally{})
			}
		}
		c.wantUnsure(&sum, g)
	}
}

// isolation returns how the targets of a group read it; without a target it is as consumers do by default.
func (c *Collector) isolation(g *group) (committed bool, reset resetPolicy) {
	for i := range c.targets {
		if c.targets[i].Group == g.name {
			return c.targets[i].ReadCommitted, resetPolicy(c.targets[i].Reset)
		}
	}
	return c.selection.ReadCommitted, resetPolicy(c.selection.reset())
}
