package kafka

import (
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// observeMembers takes a fresh look at a group's members: a changed assignment, or a state that says so, is a rebalance.
func (g *group) observeMembers(now time.Time) {
	t := &g.track
	print := g.fingerprint()
	changed := t.looked && print != t.fingerprint
	if (changed || g.rebalancing()) && t.began.IsZero() && t.looked {
		t.count++
		t.began = now
		if !t.lastCommit.IsZero() {
			// Nothing was committed since then, so the pause began there at the earliest.
			t.began = t.lastCommit
		}
	}
	present := make(map[string]bool, len(g.members))
	for i := range g.members {
		id := g.members[i].id
		present[id] = true
		if t.looked && !t.known[id] {
			t.joined[id] = now
		}
	}
	maps.DeleteFunc(t.joined, func(id string, _ time.Time) bool { return !present[id] })
	t.fingerprint, t.known, t.looked = print, present, true
}

// observeCommits follows the commits of a tick: it ends a rebalance's pause and notes members' first commits.
func (g *group) observeCommits(now time.Time, tick int) {
	t := &g.track
	t.starts = nil
	moved := false
	for _, gt := range g.topics {
		moved = moved || gt.movedTick == tick
	}
	if moved {
		t.lastCommit = now
	}
	if !t.began.IsZero() && !g.rebalancing() && (moved || len(g.members) == 0) {
		t.lastPause = now.Sub(t.began)
		t.began = time.Time{}
	}
	if len(t.joined) == 0 || !moved {
		return
	}
	for i := range g.members {
		m := &g.members[i]
		at, waiting := t.joined[m.id]
		if waiting && g.movedAny(m, tick) {
			t.starts = append(t.starts, collector.Start{Member: m.id, JoinedAt: at, FirstCommitAt: now})
			delete(t.joined, m.id)
		}
	}
	slices.SortFunc(t.starts, func(a, b collector.Start) int { return a.JoinedAt.Compare(b.JoinedAt) })
}

// startingFor is how long a member may take to its first commit. One that has not committed by then has another trouble, and
// one more replica would not be coming: it counts as a replica that works.
const startingFor = 15 * time.Minute

// starting is how many members joined while we looked, have work and have not committed yet.
func (g *group) starting(now time.Time, reset collector.Reset) series.Value {
	if !g.membersKnown || g.membersProblem != nil {
		return series.Missing
	}
	n := 0
	for i := range g.members {
		m := &g.members[i]
		if at, waiting := g.track.joined[m.id]; waiting && now.Sub(at) < startingFor && g.hasWork(m, reset) {
			n++
		}
	}
	return series.OfInt(n)
}

// hasWork reports whether a partition of the member holds records that are not consumed yet, as far as is known.
func (g *group) hasWork(m *member, reset collector.Reset) bool {
	for name, partitions := range m.topics {
		gt := g.topics[name]
		if gt == nil {
			continue
		}
		for _, p := range partitions {
			if int(p) >= gt.topic.partitions() {
				continue
			}
			from := unknown
			if int(p) < len(gt.position) {
				from = gt.position[p]
			}
			if from < 0 && reset == collector.ResetEarliest {
				from = gt.topic.start[p]
			}
			if from >= 0 && gt.topic.end[p] > from {
				return true
			}
		}
	}
	return false
}

// movedAny reports whether any partition of a member moved at the tick.
func (g *group) movedAny(m *member, tick int) bool {
	for name, partitions := range m.topics {
		gt := g.topics[name]
		if gt == nil || gt.movedTick != tick {
			continue
		}
		for _, p := range partitions {
			if _, ok := gt.moved[p]; ok {
				return true
			}
		}
	}
	return false
}

// fingerprint is a number that changes when a member or an assignment does.
func (g *group) fingerprint() uint64 {
	var sum uint64
	for i := range g.members {
		m := &g.members[i]
		for _, name := range slices.Sorted(maps.Keys(m.topics)) {
			for _, p := range m.topics[name] {
				h := fnv.New64a()
				h.Write([]byte(m.id + "\x00" + name + "\x00" + strconv.Itoa(int(p))))
				sum += h.Sum64()
			}
		}
		h := fnv.New64a()
		h.Write([]byte(m.id))
		sum += h.Sum64()
	}
	return sum
}
