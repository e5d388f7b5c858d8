package kafka

import "github.com/prescale/prescale/metrics/series"

// The samples place a record between two ticks. Of a group that keeps up, every waiting record came since the latest tick,
// so that its seconds behind would be about half a tick whatever it is. Where no more partitions of a target wait than a tick
// may look up, their oldest records are looked up in the very tick that tells of them, and the seconds behind are those of the
// batches' timestamps.

// waiting is the oldest record that waits in a partition, of which the samples tell the age roughly.
type waiting struct {
	place  *groupTopic
	p      int
	offset int64
	at     moment
}

// refinement is an observation whose seconds behind are taken again once the batches of unsure records were read.
type refinement struct {
	o   *series.Observation
	sum lagSum
}

// matters reports whether noteWaiting would change anything. It is asked of every partition, nearly always in vain.
func (c *Collector) matters(sum *lagSum, m *moment) bool {
	return !sum.sureWaiting || m.likely < sum.oldestSure.likely || m.earliest < sum.oldestSure.earliest ||
		m.latest < sum.oldestSure.latest || m.bound() > c.config.ExactAbove.Nanoseconds()
}

// noteWaiting takes the oldest waiting record of a partition into the sum.
func (c *Collector) noteWaiting(sum *lagSum, gt *groupTopic, p int, offset int64, m moment) {
	if !sum.waiting || m.likely < sum.likeliest.at.likely {
		sum.likeliest = waiting{gt, p, offset, m}
	}
	addOldest(&sum.oldest, &sum.waiting, m)
	if m.bound() <= max(c.config.ExactAbove.Nanoseconds(), (sum.nowNanos-m.likely)/4) {
		addOldest(&sum.oldestSure, &sum.sureWaiting, m)
		return
	}
	if len(sum.unsure) <= c.config.ExactChecks {
		sum.unsure = append(sum.unsure, waiting{gt, p, offset, m})
	}
}

// addOldest takes one more record into the moment of the oldest of those that wait, if any do.
func addOldest(oldest *moment, waiting *bool, m moment) {
	if *waiting {
		m = m.older(*oldest)
	}
	*oldest, *waiting = m, true
}

// wantUnsure asks for the records that decide a target's seconds behind: all that are unsure where they are few, otherwise
// the one that seems the oldest.
func (c *Collector) wantUnsure(sum *lagSum, g *group) {
	if len(sum.unsure) > c.config.ExactChecks {
		c.wantOldest(sum, g)
		return
	}
	for i, w := range sum.unsure {
		// Among targets, each one's first wishes come before any one's last.
		c.wantCheck(check{g, w.place, w.p, w.offset, w.at.age(sum.nowNanos).bound / float64(i+1)})
	}
}

// refine takes the seconds behind again where batches were read for them.
func (c *Collector) refine() {
	for i := range c.refinements {
		r := &c.refinements[i]
		r.sum.oldest, r.sum.waiting = r.sum.oldestSure, r.sum.sureWaiting
		for _, w := range r.sum.unsure {
			m := w.at
			if e, ok := w.place.exact[int32(w.p)]; ok && e.known && e.offset == w.offset {
				m = c.recordMoment(w.place.topic, w.p, w.offset, &e)
			}
			addOldest(&r.sum.oldest, &r.sum.waiting, m)
		}
		r.sum.seconds(r.o)
	}
	clear(c.refinements)
	c.refinements = c.refinements[:0]
}
