package kafka

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// Selection picks groups to report on beside the targets'. The zero Selection picks none.
type Selection struct {
	// Names are groups by their whole name; Prefixes by how the name begins; Patterns by a regular expression that must
	// match the whole name where it is anchored so.
	Names    []string
	Prefixes []string
	Patterns []*regexp.Regexp
	// All picks every group.
	All bool
	// ReadCommitted counts lag to the last stable offset, and Reset says where never-committed partitions count from,
	// for groups that no target names. Empty means ResetEarliest.
	ReadCommitted bool
	Reset         collector.Reset
}

// Matches reports whether a group is picked.
func (s *Selection) Matches(group string) bool {
	if s.All || slices.Contains(s.Names, group) {
		return true
	}
	for _, prefix := range s.Prefixes {
		if strings.HasPrefix(group, prefix) {
			return true
		}
	}
	for _, pattern := range s.Patterns {
		if pattern.MatchString(group) {
			return true
		}
	}
	return false
}

func (s *Selection) reset() collector.Reset {
	if s.Reset == "" {
		return collector.ResetEarliest
	}
	return s.Reset
}

// SetSelection says which groups Groups reports on; they are followed from the next tick on as they come and go.
func (c *Collector) SetSelection(selection Selection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.selection = selection
	c.nextGroups = time.Time{}
}

// GroupLag is one group's lag in one topic, in the form that `prescale lag -o json` prints. A value that is not known is
// null and Reason says why.
type GroupLag struct {
	Cluster                  string         `json:"cluster"`
	Group                    string         `json:"group"`
	Type                     string         `json:"type"`
	State                    string         `json:"state"`
	Members                  series.Value   `json:"members"`
	Topic                    string         `json:"topic"`
	LagRecords               series.Value   `json:"lagRecords"`
	LagSeconds               series.Value   `json:"lagSeconds"`
	LagSecondsError          series.Value   `json:"lagSecondsError"`
	ArrivalRecordsPerSecond  series.Value   `json:"arrivalRecordsPerSecond"`
	ConsumedRecordsPerSecond series.Value   `json:"consumedRecordsPerSecond"`
	Reason                   string         `json:"reason,omitempty"`
	Partitions               []PartitionLag `json:"partitions"`
}

// PartitionLag is one partition of a GroupLag.
type PartitionLag struct {
	Partition       int32        `json:"partition"`
	Committed       series.Value `json:"committed"`
	Start           series.Value `json:"start"`
	End             series.Value `json:"end"`
	LagRecords      series.Value `json:"lagRecords"`
	LagSeconds      series.Value `json:"lagSeconds"`
	LagSecondsError series.Value `json:"lagSecondsError"`
	State           State        `json:"state"`
	Owner           string       `json:"owner,omitempty"`
	Reason          string       `json:"reason,omitempty"`
}

// Groups returns what the latest Collect read of the selected groups and of the targets', sorted by group and topic;
// partitions are in order. now is the time to which ages count, that of the latest Collect or a little later. A selected
// group without topics has one entry with an empty topic, whose values are missing.
func (c *Collector) Groups(now time.Time) []GroupLag {
	c.mu.Lock()
	defer c.mu.Unlock()
	report := []GroupLag{}
	for _, name := range slices.Sorted(maps.Keys(c.groups)) {
		g := c.groups[name]
		if !g.forTarget && !g.forReport {
			continue // it is gone, or no longer selected, and will be forgotten
		}
		topics := slices.SortedFunc(maps.Values(g.topics), func(a, b *groupTopic) int { return cmp.Compare(a.name, b.name) })
		topics = slices.DeleteFunc(topics, func(gt *groupTopic) bool { return gt.topic.gone })
		if len(topics) == 0 {
			entry := c.groupEntry(g, "")
			entry.Reason = "the group has neither commits nor assigned partitions"
			if g.problem != nil {
				entry.Reason = g.problem.Error()
			}
			report = append(report, entry)
		}
		for _, gt := range topics {
			report = append(report, c.reportTopic(g, gt, now))
		}
	}
	return report
}

func (c *Collector) groupEntry(g *group, topic string) GroupLag {
	return GroupLag{
		Cluster: c.config.Cluster, Group: g.name, Type: g.kind, State: g.state, Members: g.memberCount(), Topic: topic,
		Partitions: []PartitionLag{},
	}
}

// reportTopic reports on one group in one topic.
func (c *Collector) reportTopic(g *group, gt *groupTopic, now time.Time) GroupLag {
	entry := c.groupEntry(g, gt.name)
	committed, reset := c.isolation(g)
	owners := map[int32]string{}
	for i := range g.members {
		for _, p := range g.members[i].topics[gt.name] {
			owners[p] = g.members[i].id
		}
	}
	lag, oldest, waits := 0.0, moment{}, false
	lagKnown, secondsKnown := gt.topic.partitions() > 0, gt.topic.partitions() > 0
	reasons := map[string]bool{}
	for p := range gt.topic.end {
		at := c.partitionAt(g, gt, p, reset, committed, now)
		line := PartitionLag{
			Partition: int32(p), Committed: offsetValue(at.committed), Start: offsetValue(at.start), End: offsetValue(at.end),
			State: at.state, Owner: owners[int32(p)], Reason: at.reason,
		}
		if at.lag.known {
			line.LagRecords = series.Of(at.lag.records)
			lag += at.lag.records
		}
		if at.age.known {
			line.LagSeconds, line.LagSecondsError = series.Of(at.age.seconds), series.Of(at.age.bound)
			if at.oldest.known {
				addOldest(&oldest, &waits, at.oldest)
			}
		}
		lagKnown = lagKnown && at.lag.known
		secondsKnown = secondsKnown && at.age.known
		if at.reason != "" {
			reasons[at.reason] = true
		}
		entry.Partitions = append(entry.Partitions, line)
	}
	if gt.topic.problem != nil {
		reasons[gt.topic.problem.Error()] = true
	}
	if lagKnown {
		entry.LagRecords = series.Of(lag)
	}
	if secondsKnown {
		behind := age{known: true}
		if waits {
			behind = oldest.age(now.UnixNano())
		}
		entry.LagSeconds, entry.LagSecondsError = series.Of(behind.seconds), series.Of(behind.bound)
	}
	entry.ArrivalRecordsPerSecond, entry.ConsumedRecordsPerSecond = c.rates(g, gt)
	if !entry.ArrivalRecordsPerSecond.Known() {
		reasons["rates need two ticks at which every partition answers"] = true
	}
	entry.Reason = strings.Join(slices.Sorted(maps.Keys(reasons)), "; ")
	return entry
}

// rates returns what arrived and what was consumed a second between the latest two ticks.
func (c *Collector) rates(g *group, gt *groupTopic) (arrival, consumed series.Value) {
	if t := gt.topic; t.countedTick == c.tick && t.complete && t.stepSeconds > 0 {
		sum := int64(0)
		for _, n := range t.lastArrived {
			sum += n
		}
		arrival = series.Of(float64(sum) / t.stepSeconds)
	}
	if g.readTick == c.tick && gt.stepSeconds > 0 {
		consumed = series.Of(float64(gt.step) / gt.stepSeconds)
	}
	return arrival, consumed
}

func offsetValue(offset int64) series.Value {
	if offset < 0 {
		return series.Missing
	}
	return series.OfInt(offset)
}
