package kafka

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// requestsInFlight is how many requests a broker has from us at once. It works on one a connection at a time; a second
// keeps it from waiting for us.
const requestsInFlight = 2

// readPositions reads the positions of every group: once from the coordinators that are known, and once more, from newly
// found ones, for those groups whose coordinator had moved or did not answer.
func (c *Collector) readPositions(ctx context.Context) {
	all := slices.SortedFunc(maps.Values(c.groups), func(a, b *group) int { return cmp.Compare(a.name, b.name) })
	c.readPositionsOf(ctx, all)
	var again []*group
	for _, g := range all {
		if g.problem != nil && g.coordinator < 0 {
			again = append(again, g)
		}
	}
	if len(again) == 0 || ctx.Err() != nil {
		return
	}
	c.coordinators(ctx, again)
	c.readPositionsOf(ctx, again)
}

// readPositionsOf reads the positions of some groups, every coordinator at the same time. Each group is written by one
// goroutine; topics are only read.
func (c *Collector) readPositionsOf(ctx context.Context, groups []*group) {
	batches := map[int32][][]*group{}
	var shares []*group
	for _, g := range groups {
		g.problem = nil
		switch {
		case g.coordinator < 0:
			// A group that nobody lists has a coordinator all the same, unless it is only hidden from us: brokers leave
			// groups out of the list that the user may not describe.
			g.problem = g.coordinatorProblem
			if g.problem == nil {
				g.problem = fmt.Errorf("its coordinator is not known")
			}
			continue
		case !g.listed:
			g.problem = fmt.Errorf("its type is not known: not every broker listed its groups")
			continue
		}
		if g.kind == typeShare {
			shares = append(shares, g)
			continue
		}
		list := batches[g.coordinator]
		if n := len(list); n > 0 && len(list[n-1]) < c.config.GroupsPerRequest {
			list[n-1] = append(list[n-1], g)
		} else {
			list = append(list, []*group{g})
		}
		batches[g.coordinator] = list
	}
	news := &newTopics{}
	var wait sync.WaitGroup
	for node, list := range batches {
		work := make(chan []*group, len(list))
		for _, batch := range list {
			work <- batch
		}
		close(work)
		for range min(requestsInFlight, len(list)) {
			wait.Go(func() {
				for batch := range work {
					c.fetchCommits(ctx, node, batch, news)
				}
			})
		}
	}
	for _, batch := range byCoordinator(shares) {
		wait.Go(func() { c.fetchShares(ctx, batch[0].coordinator, batch, news) })
	}
	wait.Wait()
	for _, add := range news.found {
		// A topic that was not known: its positions count from the next reading on, which metadata makes possible.
		gt := add.group.inTopic(c.topic(add.topic))
		gt.seenTick = c.tick
	}
	if len(news.found) > 0 {
		var again []*group
		for _, add := range news.found {
			if !slices.Contains(again, add.group) {
				again = append(again, add.group)
			}
		}
		for _, g := range again {
			g.readTick = 0
		}
		c.readPositionsOf(ctx, again)
	}
}

func byCoordinator(groups []*group) map[int32][]*group {
	batches := map[int32][]*group{}
	for _, g := range groups {
		batches[g.coordinator] = append(batches[g.coordinator], g)
	}
	return batches
}

// newTopics gathers topics that groups have positions in and the collector does not know yet.
type newTopics struct {
	mu    sync.Mutex
	found []struct {
		group *group
		topic string
	}
}

func (n *newTopics) add(g *group, topic string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.found = append(n.found, struct {
		group *group
		topic string
	}{g, topic})
}

// positionsFailed marks groups whose positions could not be read.
func positionsFailed(groups []*group, err error, lost bool) {
	for _, g := range groups {
		if g.problem == nil {
			g.problem = err
		}
		if lost {
			g.coordinator = -1
		}
	}
}

// maxPartition bounds the partition numbers that are believed: Kafka itself does not get near it.
const maxPartition = 1 << 20

// have takes the members that a tick found.
func (g *group) have(members []member, tick int) {
	g.members, g.membersKnown, g.membersProblem, g.membersTick = members, true, nil, tick
	switch {
	case len(members) > 0:
		g.hadMembers, g.emptyTick = true, 0
	case g.emptyTick == 0:
		g.emptyTick = tick
	}
}

// jumped says how positions came to move on since the tick before, where nothing is known to have consumed: the group had members
// and has none. A group that never had any may be that of consumers that assign partitions to themselves and only commit. Members
// that were there at the tick before, or that came since they were last asked for, may have moved them.
func (g *group) jumped(tick int) string {
	switch {
	case !g.hadMembers || !g.membersKnown || g.membersProblem != nil || len(g.members) > 0:
		return ""
	case g.emptyTick < tick && g.membersTick == tick:
		return resetForwards
	}
	return resetUnsure
}

// forgetUnseen takes topics that the answer did not hold as never committed: the answer holds all there is. Of those, it forgets what no
// member is assigned and no target names: a group reads other topics than before, or a target names others. What a group had that has
// nothing at all any more stays: where its commits have expired, what arrives still is its work.
func (g *group) forgetUnseen(c *Collector) {
	left := map[string]bool{}
	for name, gt := range g.topics {
		if gt.seenTick == c.tick || g.assigned(name) {
			left[name] = true
		}
		if gt.seenTick == c.tick {
			continue
		}
		clear(gt.failed)
		for p := range gt.position {
			gt.position[p] = unknown
		}
		gt.known = true
	}
	if len(left) > 0 && g.membersProblem == nil {
		maps.DeleteFunc(g.topics, func(name string, _ *groupTopic) bool { return !left[name] && !c.named(g, name) })
	}
}

// assigned reports whether a member of the group has partitions of the topic.
func (g *group) assigned(topic string) bool {
	return slices.ContainsFunc(g.members, func(m member) bool { return len(m.topics[topic]) > 0 })
}

// named reports whether a target of the group names the topic.
func (c *Collector) named(g *group, topic string) bool {
	return slices.ContainsFunc(c.targets, func(t target) bool { return t.Group == g.name && slices.Contains(t.Topics, topic) })
}
