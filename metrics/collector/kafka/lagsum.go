package kafka

import (
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// lagSum gathers a target's lag over its partitions.
type lagSum struct {
	records               int64
	recordsKnown          bool
	oldest                moment  // of the oldest waiting record, where any waits
	likeliest             waiting // the one that is likely the oldest
	waiting, secondsKnown bool
	unsure                []waiting // whose ages have a wide bound; more than ExactChecks means that there are too many
	oldestSure            moment    // of the others
	sureWaiting           bool
	nowNanos              int64
	partitions            []series.Value
	committed             bool
	reset                 resetPolicy
	now                   time.Time
}

// observeLag sums the lag over the partitions and takes the oldest waiting record for the seconds.
func (c *Collector) observeLag(t *target, g *group, topics []*topic, now time.Time, o *series.Observation, problems *problemList) {
	partitions := 0
	for _, topic := range topics {
		partitions += topic.partitions()
	}
	sum := lagSum{
		recordsKnown: true, secondsKnown: true, nowNanos: now.UnixNano(), now: now,
		partitions: make([]series.Value, 0, partitions), committed: t.ReadCommitted, reset: resetPolicy(t.Reset),
	}
	partitionsKnown := true
	for _, topic := range topics {
		if topic.problem != nil {
			problems.add("%v", topic.problem)
			partitionsKnown = false
		}
		if topic.partitions() == 0 {
			sum.recordsKnown, sum.secondsKnown, partitionsKnown = false, false, false
			continue
		}
		tally := stateTally{}
		c.sumTopic(&sum, g, g.inTopic(topic), &tally)
		tally.report(topic.name, t.Reset, problems)
	}
	o.LagRecords, o.LagSeconds, o.LagSecondsError = series.Missing, series.Missing, series.Missing
	if sum.recordsKnown {
		o.LagRecords = series.OfInt(sum.records)
	}
	if sum.secondsKnown && sum.recordsKnown {
		sum.seconds(o)
		c.wantUnsure(&sum, g)
		if len(sum.unsure) > 0 && len(sum.unsure) <= c.config.ExactChecks {
			c.refinements = append(c.refinements, refinement{o, sum})
		}
	}
	o.Partitions, o.PartitionLagRecords = series.Missing, nil
	if partitionsKnown {
		o.Partitions, o.PartitionLagRecords = series.OfInt(partitions), sum.partitions
	}
}

// seconds fills in the age of the oldest waiting record.
func (s *lagSum) seconds(o *series.Observation) {
	age := age{known: true}
	if s.waiting {
		age = s.oldest.age(s.nowNanos)
	}
	o.LagSeconds, o.LagSecondsError = series.Of(age.seconds), series.Of(age.bound)
}

// sumTopic adds one topic's partitions. Nearly all of them have a commit inside the log and nothing wrong, and are done
// here with a few instructions; partitionAt has the rest.
func (c *Collector) sumTopic(sum *lagSum, g *group, gt *groupTopic, tally *stateTally) {
	t := gt.topic
	plain := g.readTick == c.tick && t.problem == nil && len(gt.failed) == 0 && gt.shareLag == nil
	ends := t.end
	if sum.committed {
		ends = t.stable
	}
	for p := range t.end {
		if plain && p < len(gt.position) && p < len(ends) {
			from, end := gt.position[p], ends[p]
			if from >= 0 && from >= t.start[p] && end >= 0 && from <= end {
				tally.partitions++
				if c.sumPlain(sum, g, gt, p, from, end) {
					continue
				}
				tally.partitions--
			}
		}
		at := c.partitionAt(g, gt, p, sum.reset, sum.committed, sum.now)
		tally.add(p, &at)
		c.sumOther(sum, g, gt, p, &at)
	}
}

// sumPlain adds a partition with a position inside the log; it returns false, having added nothing, where that takes
// more thought: the record's age is not known, or the tail may be residue.
func (c *Collector) sumPlain(sum *lagSum, g *group, gt *groupTopic, p int, from, end int64) bool {
	lag := end - from
	if lag > 0 {
		var near *exact
		if len(gt.exact) > 0 {
			if e, ok := gt.exact[int32(p)]; ok {
				if e.residueTo > e.offset {
					return false
				}
				near = &e
			}
		}
		m := c.recordMoment(gt.topic, p, from, near)
		if !m.known {
			return false
		}
		if c.matters(sum, &m) {
			c.noteWaiting(sum, gt, p, from, m)
		}
		if sum.committed && lag <= residueAtMost {
			c.wantResidue(g, gt, p, from, end)
		}
	}
	sum.records += lag
	sum.partitions = append(sum.partitions, series.OfInt(lag))
	return true
}

// sumOther adds what partitionAt gave.
func (c *Collector) sumOther(sum *lagSum, g *group, gt *groupTopic, p int, at *partitionLag) {
	if !at.lag.known {
		sum.recordsKnown, sum.secondsKnown = false, false
		sum.partitions = append(sum.partitions, series.Missing)
		return
	}
	sum.records += int64(at.lag.records)
	sum.partitions = append(sum.partitions, series.Of(at.lag.records))
	if !at.age.known {
		sum.secondsKnown = false
		c.wantUnknown(g, gt, p, at.from)
		return
	}
	if at.oldest.known && c.matters(sum, &at.oldest) {
		c.noteWaiting(sum, gt, p, at.from, at.oldest)
	}
	if sum.committed && at.lag.records > 0 && at.lag.records <= residueAtMost {
		c.wantResidue(g, gt, p, at.from, at.end)
	}
}
