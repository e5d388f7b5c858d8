package kafka

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// target is a collector.Target and what its counts are counted from.
type target struct {
	collector.Target

	// countedAt and countedTick are of the latest observation whose counts are known; zero before the first.
	countedAt   time.Time
	countedTick int
	// observedAt is of the latest observation of any kind.
	observedAt time.Time
	arrived    map[*topic]int64
	consumed   map[*groupTopic]int64
	// consumedAt is when consumed was taken.
	consumedAt time.Time
	// sampledAt is of the latest observation with a lag, for the age metric.
	sampledAt time.Time
	rebalance int
}

func (t *target) key() string {
	return t.Policy + "\x00" + t.Group + "\x00" + strings.Join(t.Topics, ",") + "\x00" + string(t.Reset) +
		fmt.Sprint(t.ReadCommitted)
}

// observe makes a Result for each target of what the tick at now had read by readAt, to which ages count; err is why
// nothing was.
func (c *Collector) observe(now, readAt time.Time, err error) []collector.Result {
	results := make([]collector.Result, len(c.targets))
	for i := range c.targets {
		t := &c.targets[i]
		results[i].Observation.Policy = t.Policy
		results[i].Observation.At = now.UTC()
		if err != nil {
			results[i].Err = err
			continue
		}
		c.observeTarget(t, now, readAt, &results[i])
	}
	return results
}

// observeTarget fills in one target's Result.
func (c *Collector) observeTarget(t *target, now, readAt time.Time, result *collector.Result) {
	o := &result.Observation
	g := c.groups[t.Group]
	result.Group = g.summary()
	result.Members = g.memberCount()
	o.Rebalancing = g.rebalancing()
	problems := problemList{}

	if !t.observedAt.IsZero() {
		o.Interval = now.Sub(t.observedAt)
	}
	if !t.countedAt.IsZero() {
		o.Interval = now.Sub(t.countedAt)
	}
	t.observedAt = now

	topics := c.targetTopics(t, g)
	if len(topics) == 0 {
		result.Err = fmt.Errorf("cluster %s: group %s has no topics: it has neither commits nor assigned partitions",
			c.config.Cluster, g.name)
		return
	}
	if g.state == stateAbsent && g.problem == nil && g.readTick == c.tick && !g.positioned() {
		problems.add("group %s is not on cluster %s: its lag counts from where its reset policy (%s) will start it",
			g.name, c.config.Cluster, t.Reset)
	}
	if g.membersProblem != nil {
		problems.add("members of group %s are not known: %v", g.name, g.membersProblem)
	}
	c.observeLag(t, g, topics, readAt, o, &problems)
	c.observeCounts(t, g, topics, now, o, &problems)
	o.Problems = problems.sorted()
	if !o.LagRecords.Known() && !o.ArrivalRecords.Known() && c.nothingRead(g, topics) {
		result.Err = fmt.Errorf("cluster %s: group %s: %s", c.config.Cluster, g.name, strings.Join(o.Problems, "; "))
	}
	if o.LagRecords.Known() {
		t.sampledAt = now
	}
}

// nothingRead reports whether neither the group's positions nor any partition's end were read.
func (c *Collector) nothingRead(g *group, topics []*topic) bool {
	if g.readTick == c.tick {
		return false
	}
	for _, t := range topics {
		for _, end := range t.end {
			if end >= 0 {
				return false
			}
		}
	}
	return true
}

// positioned reports whether the group has a position anywhere.
func (g *group) positioned() bool {
	for _, gt := range g.topics {
		for _, p := range gt.position {
			if p >= 0 {
				return true
			}
		}
	}
	return false
}

// targetTopics returns the topics of a target, sorted by name.
func (c *Collector) targetTopics(t *target, g *group) []*topic {
	names := t.Topics
	if len(names) == 0 {
		seen := map[string]bool{}
		for name := range g.topics {
			seen[name] = true
		}
		names = slices.Sorted(maps.Keys(seen))
	}
	topics := make([]*topic, 0, len(names))
	for _, name := range names {
		if topic := c.topics[name]; topic != nil {
			topics = append(topics, topic)
		}
	}
	return topics
}

// observeLag sums the lag over the partitions and takes the oldest waiting record for the seconds.
func (c *Collector) observeLag(t *target, g *group, topics []*topic, now time.Time, o *series.Observation, problems *problemList) {
	partitions := 0
	for _, topic := range topics {
		partitions += topic.partitions()
	}
	o.PartitionLagRecords = make([]series.Value, 0, partitions)
	var lag, seconds, bound float64
	lagKnown, secondsKnown, partitionsKnown := true, true, true
	for _, topic := range topics {
		if topic.problem != nil {
			problems.add("%v", topic.problem)
			partitionsKnown = false
		}
		if topic.partitions() == 0 {
			lagKnown, secondsKnown, partitionsKnown = false, false, false
			continue
		}
		gt := g.inTopic(topic)
		tally := stateTally{}
		for p := range topic.end {
			at := c.partitionAt(g, gt, p, resetPolicy(t.Reset), t.ReadCommitted, now)
			tally.add(p, &at)
			if !at.lag.known {
				lagKnown = false
				o.PartitionLagRecords = append(o.PartitionLagRecords, series.Missing)
			} else {
				lag += at.lag.records
				o.PartitionLagRecords = append(o.PartitionLagRecords, series.Of(at.lag.records))
			}
			switch {
			case !at.age.known:
				secondsKnown = false
			case at.age.seconds > seconds || at.age.seconds == seconds && at.age.bound > bound:
				seconds, bound = at.age.seconds, at.age.bound
			}
		}
		tally.report(topic.name, t.Reset, problems)
	}
	if lagKnown {
		o.LagRecords = series.Of(lag)
	}
	if secondsKnown && lagKnown {
		o.LagSeconds, o.LagSecondsError = series.Of(seconds), series.Of(bound)
	}
	if partitionsKnown {
		o.Partitions = series.OfInt(partitions)
	} else {
		o.PartitionLagRecords = nil
	}
}

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
	if complete {
		c.countArrivals(t, topics, arrived, o)
	}
	if g.readTick == c.tick {
		c.countConsumed(t, g, topics, now, o, problems)
	}
	if complete {
		t.arrived, t.countedAt, t.countedTick = arrived, now, c.tick
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
	for _, topic := range topics {
		for _, n := range topic.lastArrived {
			o.PartitionArrivalRecords = append(o.PartitionArrivalRecords, series.OfInt(n))
		}
	}
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
			problems.add("offsets of group %s in %s were set %s: what was consumed cannot be told", g.name, topic.name, gt.reset)
		}
	}
	if span := now.Sub(t.consumedAt); known && span > 0 && o.Interval > 0 {
		value := float64(sum)
		if diff := span - o.Interval; diff > time.Millisecond || diff < -time.Millisecond {
			value *= o.Interval.Seconds() / span.Seconds()
		}
		o.ConsumedRecords = series.Of(value)
	}
	t.consumed, t.consumedAt = consumed, now
}

// summary says what is known of a group itself.
func (g *group) summary() collector.Group {
	s := collector.Group{
		Type: g.kind, State: g.state, Rebalances: g.track.count, LastPause: g.track.lastPause, Starts: g.track.starts,
	}
	if g.membersKnown && g.membersProblem == nil {
		assigned := 0
		for i := range g.members {
			if g.members[i].partitions > 0 {
				assigned++
			}
		}
		s.Assigned = series.OfInt(assigned)
	}
	return s
}

// memberCount is how many members the group has.
func (g *group) memberCount() series.Value {
	if !g.membersKnown || g.membersProblem != nil {
		return series.Missing
	}
	return series.OfInt(len(g.members))
}

// stateTally gathers what must be said of a topic's partitions, so that a thousand partitions with one trouble make one
// sentence.
type stateTally struct {
	partitions, never, expired, truncated int
	firstTruncated                        string
	reasons                               map[string][]int
}

func (s *stateTally) add(p int, at *partitionLag) {
	s.partitions++
	switch at.state {
	case StateNeverCommitted:
		s.never++
	case StateExpired:
		s.expired++
	case StateTruncated:
		s.truncated++
	case StateCurrent, StateResidue, StateUnknown:
	}
	if at.reason == "" {
		return
	}
	if s.reasons == nil {
		s.reasons = map[string][]int{}
	}
	if len(s.reasons) < 4 || s.reasons[at.reason] != nil {
		s.reasons[at.reason] = append(s.reasons[at.reason], p)
	}
}

func (s *stateTally) report(topic string, reset collector.Reset, problems *problemList) {
	if s.never > 0 {
		problems.add("%s: %d of %d partitions were never committed: their lag counts from where the reset policy (%s) starts",
			topic, s.never, s.partitions, reset)
	}
	if s.expired > 0 {
		problems.add("%s: retention deleted records that were not consumed yet in %d of %d partitions: lag counts from the start of the log",
			topic, s.expired, s.partitions)
	}
	for reason, partitions := range s.reasons {
		problems.add("%s: partitions %s: %s", topic, compress(partitions), reason)
	}
}

// compress writes rising numbers as ranges, "0-3,7", cut after a few.
func compress(numbers []int) string {
	var parts []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		if len(parts) == 8 {
			return strings.Join(parts, ",") + ",…"
		}
		if i == j {
			parts = append(parts, fmt.Sprint(numbers[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", numbers[i], numbers[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// problemList gathers sentences.
type problemList []string

func (l *problemList) add(format string, args ...any) { *l = append(*l, fmt.Sprintf(format, args...)) }

func (l problemList) sorted() []string {
	slices.SortFunc(l, cmp.Compare[string])
	return slices.Compact(l)
}
