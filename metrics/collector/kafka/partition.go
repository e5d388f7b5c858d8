package kafka

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/prescale/prescale/metrics/collector"
)

// State says how a partition's lag came about.
type State string

// The states of a partition.
const (
	// StateCurrent: the group has a position inside the log.
	StateCurrent State = "current"
	// StateNeverCommitted: the group has no position; lag counts from where its reset policy will start it.
	StateNeverCommitted State = "never-committed"
	// StateExpired: retention deleted records past the position; lag counts from the start of the log.
	StateExpired State = "expired"
	// StateTruncated: the position is past the end of the log, which was cut; lag is not known.
	StateTruncated State = "truncated"
	// StateResidue: what is left before the end is control records or aborted ones, which no consumer is given; lag is 0.
	StateResidue State = "residue"
	// StateUnknown: something needed was not read at this tick.
	StateUnknown State = "unknown"
)

type resetPolicy collector.Reset

// count is a number of records that may not be known.
type count struct {
	records float64
	known   bool
}

// partitionLag is everything a tick knows of a group in one partition.
type partitionLag struct {
	state  State
	reason string // why something is not known, or "" when all is
	// committed, start and end are unknown (-1) where they are; from is where lag counts from.
	committed, start, end, from int64
	lag                         count
	// oldest is the moment of the oldest waiting record; it is not known, and nothing is missing, where none waits.
	oldest moment
	age    age
}

// partitionAt works out a group's lag in a partition, whatever its state. It makes no strings unless something is wrong.
func (c *Collector) partitionAt(g *group, gt *groupTopic, p int, reset resetPolicy, committed bool, now time.Time) partitionLag {
	t := gt.topic
	at := partitionLag{state: StateUnknown, committed: unknown, start: unknown, end: unknown, from: unknown}
	if p >= t.partitions() {
		at.reason = "the cluster does not name this partition"
		return at
	}
	at.start, at.end = t.start[p], t.readable(p, committed)
	if p < len(gt.position) {
		at.committed = gt.position[p]
	}
	switch {
	case g.readTick != c.tick:
		at.reason = "the group's offsets could not be read"
		if g.problem != nil {
			at.reason = g.problem.Error()
		}
		at.committed = unknown
		return at
	case t.problem != nil:
		at.reason = t.problem.Error()
		return at
	case at.end < 0:
		at.reason = "its end offset could not be read: " + t.fault[p].String()
		return at
	case len(gt.failed) > 0:
		if code, bad := gt.failed[int32(p)]; bad {
			at.reason = "its committed offset could not be read: " + errorText(code)
			at.committed = unknown
			return at
		}
	}
	at.state, at.from = StateCurrent, at.committed
	switch {
	case at.committed < 0:
		at.state = StateNeverCommitted
		if reset == resetPolicy(collector.ResetLatest) {
			at.from = at.end
			break
		}
		at.from = at.start
		if at.start < 0 {
			at.state, at.reason = StateUnknown, "the start of its log could not be read"
			return at
		}
	case at.committed > at.end && (t.stable == nil || !committed || at.committed > t.end[p]):
		at.state = StateTruncated
		at.reason = fmt.Sprintf("the committed offset %d is past the end %d: the log was cut", at.committed, at.end)
		return at
	case at.committed < at.start:
		at.state, at.from = StateExpired, at.start
	}
	records := max(0, at.end-at.from)
	if gt.shareLag != nil && p < len(gt.shareLag) && at.state != StateNeverCommitted {
		// The broker knows which records past the start offset were acknowledged already.
		if gt.shareLag[p] < 0 {
			at.reason = "the broker does not tell the share group's lag"
			return at
		}
		records = gt.shareLag[p]
	}
	c.ageOf(gt, p, &at, records, now)
	return at
}

// ageOf fills in lag and age, and recognises a tail that no consumer is given.
func (c *Collector) ageOf(gt *groupTopic, p int, at *partitionLag, records int64, now time.Time) {
	if records == 0 {
		at.lag, at.age = count{0, true}, age{known: true}
		return
	}
	var near *exact
	if len(gt.exact) > 0 {
		if e, ok := gt.exact[int32(p)]; ok {
			near = &e
		}
	}
	if near != nil && near.offset <= at.from && near.residueTo >= at.end && at.end > at.from {
		at.state = StateResidue
		at.lag, at.age = count{0, true}, age{known: true}
		return
	}
	at.lag = count{float64(records), true}
	at.oldest = c.recordMoment(gt.topic, p, at.from, near)
	at.age = at.oldest.age(now.UnixNano())
	if !at.age.known {
		at.reason = "the oldest waiting record is older than the samples, and its batch was not looked up yet"
		if near != nil && near.failed != 0 {
			at.reason = "the oldest waiting record is older than the samples, and its batch could not be read: " +
				errorText(near.failed)
			if near.failed == kerr.TopicAuthorizationFailed.Code {
				at.reason += ": the collector's user needs Read on topic " + gt.name
			}
		}
	}
}
