package kafka

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prescale/prescale/metrics/collector"
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
	// hosts is where each member stood, for targets by host.
	hosts hostBase
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
		o.Interval = between(t.observedAt, now)
	}
	if !t.countedAt.IsZero() {
		o.Interval = between(t.countedAt, now)
	}
	t.observedAt = now

	topics := c.targetTopics(t, g)
	if len(topics) == 0 {
		result.Err = fmt.Errorf("cluster %s: group %s has no topics: it has neither commits nor assigned partitions",
			c.config.Cluster, g.name)
		return
	}
	if g.state == stateAbsent && g.problem == nil && g.readTick == c.tick && !g.positioned() {
		result.Group.Absence = fmt.Sprintf("group %s is not on cluster %s: its lag counts from where its reset policy (%s) will start it",
			g.name, c.config.Cluster, t.Reset)
		problems.add("%s", result.Group.Absence)
	}
	if g.membersProblem != nil {
		problems.add("members of group %s are not known: %v", g.name, g.membersProblem)
	}
	c.observeCounts(t, g, topics, now, o, &problems)
	if t.ByHost {
		result.Hosts = c.observeHosts(t, g, topics, now, o.Interval)
	}
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
