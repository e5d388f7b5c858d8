package kafka

import (
	"hash/fnv"
	"slices"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// observeCounts fills in what arrived and what was consumed since the counts were last known.
func (c *Collector) observeCounts(t *target, g *group, topics []*topic, now time.Time, o *series.Observation, problems *problemList) {
	arrived := make(map[*topic]int64, len(topics))
	complete := true
	for _, topic := range topics {
		if topic.countedTick != c.tick {
			complete = false
		}
		arrived[topic] = topic.arrived
	}
	switch {
	case complete && t.Counted.Known():
		c.countSince(t.Counted, topics, now, o)
	case complete:
		c.countArrivals(t, topics, arrived, o)
	}
	if g.readTick == c.tick {
		c.countConsumed(t, g, topics, now, o, problems)
	}
	if complete {
		t.arrived, t.countedAt, t.countedTick = arrived, now, c.tick
		o.Counted = c.countedTo(topics, now)
		t.Counted = series.Counted{}
	}
}

// countedTo says where the topics' ends stand, for another collector that goes on from there. It is not known where the
// brokers give topics no ids, and a topic made again could not be told.
func (c *Collector) countedTo(topics []*topic, now time.Time) series.Counted {
	to := series.Counted{At: now.UTC()}
	ids := fnv.New64a()
	for _, topic := range topics {
		if topic.id == [16]byte{} {
			return series.Counted{}
		}
		to.EndRecords += topic.countedSum
		ids.Write(topic.id[:])
	}
	to.Topics = ids.Sum64()
	return to
}

// countSince counts the records that arrived since another collector counted. None of the topics may be another one than
// then, and none may have lost records, as far as the sum of the ends and this tick can tell.
func (c *Collector) countSince(since series.Counted, topics []*topic, now time.Time, o *series.Observation) {
	to := c.countedTo(topics, now)
	cut := slices.ContainsFunc(topics, func(t *topic) bool { return t.cutTick == c.tick })
	if to.Topics == since.Topics && to.EndRecords >= since.EndRecords && !cut {
		o.ArrivalRecords = series.OfInt(to.EndRecords - since.EndRecords)
	}
}

// countArrivals counts the records that arrived since the latest tick at which all ends were known.
func (c *Collector) countArrivals(t *target, topics []*topic, arrived map[*topic]int64, o *series.Observation) {
	if t.countedAt.IsZero() || len(t.arrived) != len(topics) {
		return
	}
	var sum int64
	perPartition := true
	for _, topic := range topics {
		before, had := t.arrived[topic]
		if !had && !(topic.lastArrived != nil && topic.previousTick == 0) || !topic.complete {
			return // created again, or cut: what arrived cannot be told
		}
		sum += arrived[topic] - before
		perPartition = perPartition && topic.previousTick == t.countedTick && topic.lastArrived != nil
	}
	o.ArrivalRecords = series.OfInt(sum)
	if !perPartition {
		return
	}
	o.PartitionArrivalRecords = c.partitionArrivals(topics)
}

// partitionArrivals returns what arrived in each partition at this tick. Targets of the same topics share the answer.
func (c *Collector) partitionArrivals(topics []*topic) []series.Value {
	if c.arrivals.tick == c.tick && slices.Equal(c.arrivals.topics, topics) {
		return c.arrivals.values
	}
	partitions := 0
	for _, topic := range topics {
		partitions += len(topic.lastArrived)
	}
	values := make([]series.Value, 0, partitions)
	for _, topic := range topics {
		for _, n := range topic.lastArrived {
			values = append(values, series.OfInt(n))
		}
	}
	c.arrivals.tick, c.arrivals.topics, c.arrivals.values = c.tick, topics, values
	return values
}

// countConsumed counts the records by which the group's positions moved on. Where positions could not be read in
// between, the count is scaled to the interval of the arrivals.
func (c *Collector) countConsumed(t *target, g *group, topics []*topic, now time.Time, o *series.Observation, problems *problemList) {
	consumed := make(map[*groupTopic]int64, len(topics))
	var sum int64
	known := !t.consumedAt.IsZero()
	for _, topic := range topics {
		gt := g.inTopic(topic)
		total := gt.consumedUnder(t.Reset)
		consumed[gt] = total
		before, had := t.consumed[gt]
		known = known && had
		sum += total - before
		if gt.resetTick == c.tick && gt.reset != "" {
			known = false
			problems.add("offsets of group %s in %s %s: what was consumed cannot be told", g.name, topic.name, gt.reset)
		}
	}
	if span := between(t.consumedAt, now); known && span > 0 && o.Interval > 0 {
		value := float64(sum)
		if diff := span - o.Interval; diff > time.Millisecond || diff < -time.Millisecond {
			value *= o.Interval.Seconds() / span.Seconds()
		}
		o.ConsumedRecords = series.Of(value)
	}
	t.consumed, t.consumedAt = consumed, now
}
