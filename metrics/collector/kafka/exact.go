package kafka

import (
	"cmp"
	"context"
	"slices"
	"time"
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
// position moved at this tick. What comes behind an open transaction moves another end: a transaction of a minute would else hold the
// marker of the one before up for as long.
func (c *Collector) wantResidue(g *group, gt *groupTopic, p int, from, end int64) {
	t := gt.topic
	_, moved := gt.moved[int32(p)]
	if moved = moved || !g.forTarget && gt.movedTick == c.tick; moved || t.countedTick != c.tick || p >= len(t.lastArrived) {
		return
	}
	if open := end < t.end[p]; t.lastArrived[p] != 0 && !open {
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
	defer func() {
		clear(c.checks)
		c.checks = c.checks[:0]
	}()
	if len(c.checks) == 0 || ctx.Err() != nil {
		return nil
	}
	told = map[*group]bool{}
	for _, ch := range c.checks {
		if ch.need >= 1e12 {
			told[ch.group] = true
		}
	}
	c.lookUp(ctx, c.checks)
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
