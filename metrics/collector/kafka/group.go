package kafka

import (
	"time"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// The group types, as ListGroups names them.
const (
	typeClassic  = "classic"
	typeConsumer = "consumer"
	typeShare    = "share"
	typeStreams  = "streams"
)

// stateAbsent stands for a group that no broker lists.
const stateAbsent = "Absent"

// group is what the collector keeps of one consumer group.
type group struct {
	name  string
	kind  string
	state string
	// listed says that kind and state come from an answer of every broker.
	listed bool
	// coordinator is the node to ask, -1 when it is not known; coordinatorProblem then says why.
	coordinator        int32
	coordinatorProblem error

	topics map[string]*groupTopic
	// readTick is the tick at which the positions were last read; problem is why they were not read at this one.
	readTick int
	problem  error
	// emptySince is since when the answers hold no commit of a group that had some; zero when they do.
	emptySince time.Time

	members        []member
	membersKnown   bool
	hadMembers     bool
	membersProblem error
	// membersTick is the tick at which the members were last described, emptyTick that at which there first were none again; 0 while
	// there are some.
	membersTick, emptyTick int
	track                  rebalanceTrack

	// forTarget and forReport say who wants the group.
	forTarget, forReport bool
}

// member is one member and what it is assigned.
type member struct {
	id, client, host string
	topics           map[string][]int32
	partitions       int
}

// groupTopic is a group's position in one topic. The slices are by partition.
type groupTopic struct {
	topic *topic
	name  string
	// position is the commit, or a share group's start offset; unknown where there is none.
	position []int64
	// shareLag is the broker's own count for a share group, nil for the others.
	shareLag []int64
	// failed holds partitions whose position the broker did not give, with its error code.
	failed map[int32]int16
	// exact holds what was read from the batch at a position.
	exact map[int32]exact
	// seenTick is the tick at which an answer last held the topic.
	seenTick int
	known    bool // positions were read at least once

	// consumed counts the records by which positions moved on since the first reading. First commits count from where
	// the reset policy starts, so there is one sum for each policy.
	consumed      int64
	firstEarliest int64
	firstLatest   int64
	// step is how much consumed and firstEarliest grew in stepSeconds, between the latest two readings; 0 seconds when that
	// is not known.
	step, total int64
	stepSeconds float64
	totalAt     time.Time
	// movedTick and resetTick are the latest ticks at which a position moved on, and at which one went back.
	movedTick, resetTick int
	reset                string
	moved                map[int32]struct{}
}

func newGroup(name string) *group {
	return &group{name: name, coordinator: -1, topics: map[string]*groupTopic{}, track: newRebalanceTrack()}
}

// inTopic returns the group's place for a topic, making it where it is new.
func (g *group) inTopic(t *topic) *groupTopic {
	gt := g.topics[t.name]
	if gt == nil || gt.topic != t {
		gt = &groupTopic{topic: t, name: t.name}
		g.topics[t.name] = gt
	}
	return gt
}

// grow makes room for n partitions.
func (gt *groupTopic) grow(n int) {
	for len(gt.position) < n {
		gt.position = append(gt.position, unknown)
		if gt.shareLag != nil {
			gt.shareLag = append(gt.shareLag, unknown)
		}
	}
}

// How a position may move other than by consumption.
const (
	resetBack     = "were set back"
	resetForwards = "were set forwards" // nobody was there to consume
	resetUnsure   = "moved while members left or came, or were set forwards"
)

// take stores the positions read at a tick (unknown where there is none) and counts what they moved by. jumped, where it is not empty,
// says of positions that moved on how that came, since it is no consumption.
func (gt *groupTopic) take(read []int64, tick int, jumped string, watched bool) {
	gt.grow(len(read))
	gt.reset = ""
	if watched {
		clear(gt.moved)
	}
	for p, now := range read {
		before := gt.position[p]
		if now == before {
			continue
		}
		gt.position[p] = now
		switch {
		case !gt.known:
		case before < 0:
			gt.countFirst(p, now)
			gt.movedTick = tick
			gt.note(p, watched)
		case now < before:
			gt.resetTick, gt.reset = tick, resetBack
		case jumped != "":
			gt.resetTick, gt.reset = tick, jumped
		default:
			from := before
			if p < gt.topic.partitions() && gt.topic.start[p] > from {
				from = min(gt.topic.start[p], now)
			}
			gt.consumed += now - from
			gt.movedTick = tick
			gt.note(p, watched)
		}
	}
	for p := len(read); p < len(gt.position); p++ {
		gt.position[p] = unknown
	}
	gt.known = true
}

// note remembers that a partition's position moved, for the groups whose members' first commits are watched.
func (gt *groupTopic) note(p int, watched bool) {
	if !watched {
		return
	}
	if gt.moved == nil {
		gt.moved = map[int32]struct{}{}
	}
	gt.moved[int32(p)] = struct{}{}
}

// countFirst counts a partition's first commit: from the start of the log for a group that starts there, and from the
// end at the tick before for one that starts at the end.
func (gt *groupTopic) countFirst(p int, now int64) {
	t := gt.topic
	if p >= t.partitions() {
		return
	}
	if t.start[p] >= 0 {
		gt.firstEarliest += max(0, now-t.start[p])
	}
	if p < len(t.counted) {
		gt.firstLatest += max(0, now-t.counted[p])
	}
}

// consumedUnder returns the count under a reset policy.
func (gt *groupTopic) consumedUnder(reset collector.Reset) int64 {
	if reset == collector.ResetLatest {
		return gt.consumed + gt.firstLatest
	}
	return gt.consumed + gt.firstEarliest
}

// endTick closes the books on a reading.
func (g *group) endTick(now time.Time) {
	for _, gt := range g.topics {
		gt.stepSeconds = 0
		total := gt.consumedUnder(collector.ResetEarliest)
		if !gt.totalAt.IsZero() && gt.reset == "" {
			gt.step, gt.stepSeconds = total-gt.total, between(gt.totalAt, now).Seconds()
		}
		gt.total, gt.totalAt = total, now
	}
}

// rebalancing reports whether the state says that members wait for partitions.
func (g *group) rebalancing() bool {
	switch g.state {
	case "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling":
		return true
	}
	return false
}

// rebalanceTrack follows a group's rebalances and its members' first commits from one look to the next.
type rebalanceTrack struct {
	fingerprint uint64
	looked      bool
	count       int
	began       time.Time // of the one going on; zero when none is
	lastCommit  time.Time
	lastPause   time.Duration
	joined      map[string]time.Time // members that have not committed yet
	known       map[string]bool
	starts      []collector.Start
}

func newRebalanceTrack() rebalanceTrack {
	return rebalanceTrack{joined: map[string]time.Time{}, known: map[string]bool{}}
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
