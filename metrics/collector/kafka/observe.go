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
	// otherProblems are those of this tick that do not speak of lag.
	otherProblems []string
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
	result.Members, result.Starting = g.memberCount(), g.starting(now, t.Reset)
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
	c.observeCounts(t, g, topics, now, o, &problems)
	t.otherProblems = slices.Clone(problems)
	c.observeLag(t, g, topics, readAt, o, &problems)
	o.Problems = problems.sorted()
	if !o.LagRecords.Known() && !o.ArrivalRecords.Known() && c.nothingRead(g, topics) {
		result.Err = fmt.Errorf("cluster %s: group %s: %s", c.config.Cluster, g.name, strings.Join(o.Problems, "; "))
	}
	if o.LagRecords.Known() {
		t.sampledAt = now
	}
}

// observeAgain takes the lag of targets again whose groups the exact checks have told something.
func (c *Collector) observeAgain(told map[*group]bool, readAt time.Time, results []collector.Result) {
	for i := range c.targets {
		t := &c.targets[i]
		g := c.groups[t.Group]
		if !told[g] || results[i].Err != nil {
			continue
		}
		problems := problemList(slices.Clone(t.otherProblems))
		o := &results[i].Observation
		c.observeLag(t, g, c.targetTopics(t, g), readAt, o, &problems)
		o.Problems = problems.sorted()
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

// lagSum gathers a target's lag over its partitions.
type lagSum struct {
	records               int64
	recordsKnown          bool
	oldest                moment // of the oldest waiting record, where any waits
	oldestTopic           *groupTopic
	oldestPartition       int
	waiting, secondsKnown bool
	unsure                []waiting // whose ages have a wide bound; more than unsureAtMost means that there are too many
	oldestSure            moment    // of the others
	sureWaiting           bool
	nowNanos              int64
	partitions            []series.Value
	others                age // the largest that partitionAt gave
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
		c.wantUnsure(&sum, g, o)
	}
	o.Partitions, o.PartitionLagRecords = series.Missing, nil
	if partitionsKnown {
		o.Partitions, o.PartitionLagRecords = series.OfInt(partitions), sum.partitions
	}
}

// seconds fills in the age of the oldest waiting record.
func (s *lagSum) seconds(o *series.Observation) {
	age := s.others
	if s.waiting {
		if plain := s.oldest.age(s.nowNanos); plain.seconds >= age.seconds {
			age = plain
		}
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
	switch {
	case !at.age.known:
		sum.secondsKnown = false
		c.wantUnknown(g, gt, p, at.from)
		return
	case at.age.seconds > sum.others.seconds || at.age.seconds == sum.others.seconds && at.age.bound > sum.others.bound:
		sum.others = at.age
	}
	if at.age.bound > c.wideAt(at.age.seconds) {
		c.wantWide(g, gt, p, at.from, at.age.bound)
	}
	if sum.committed && at.lag.records > 0 && at.lag.records <= residueAtMost {
		c.wantResidue(g, gt, p, at.from, at.end)
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
