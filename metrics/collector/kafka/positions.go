package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
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

// fetchCommits reads the commits of a batch of groups from their coordinator.
func (c *Collector) fetchCommits(ctx context.Context, node int32, batch []*group, news *newTopics) {
	response, err := c.ask(ctx, node, encodeOffsetFetch(batch))
	if err != nil {
		positionsFailed(batch, fmt.Errorf("fetch its offsets from broker %d: %w", node, err), true)
		return
	}
	into := &commitSink{collector: c, groups: batch, news: news}
	for _, g := range batch {
		g.problem = fmt.Errorf("fetch its offsets from broker %d: the answer left it out", node)
	}
	if err := decodeOffsetFetch(response.(*rawResponse).body, into); err != nil {
		for _, g := range batch {
			g.problem = nil
		}
		positionsFailed(batch, err, false)
	}
}

// commitSink takes the commits of a batch of groups into place.
type commitSink struct {
	collector *Collector
	groups    []*group
	news      *newTopics
	current   *group
	place     *groupTopic
	read      []int64 // the positions of place so far
}

func (s *commitSink) group(name []byte) bool {
	s.current, s.place = nil, nil
	for _, g := range s.groups {
		if g.name == string(name) {
			s.current = g
			break
		}
	}
	return s.current != nil
}

func (s *commitSink) topic(name []byte) bool {
	s.finishTopic()
	g := s.current
	s.place = g.topics[string(name)]
	t := s.collector.topics[string(name)]
	if s.place != nil && t != nil && s.place.topic != t {
		s.place = nil // created again
	}
	if s.place == nil {
		if !g.wants(s.collector, string(name)) {
			return false
		}
		if t == nil {
			s.news.add(g, string(name))
			return false
		}
		s.place = g.inTopic(t)
	}
	clear(s.place.failed)
	s.read = s.read[:0]
	for range max(s.place.topic.partitions(), len(s.place.position)) {
		s.read = append(s.read, unknown)
	}
	return true
}

// maxPartition bounds the partition numbers that are believed: Kafka itself does not get near it.
const maxPartition = 1 << 20

func (s *commitSink) commit(partition int32, offset int64, code int16) {
	p := int(partition)
	if p < 0 || p >= maxPartition {
		return
	}
	if code != 0 {
		s.collector.telemetry.failedCode(code)
		if s.place.failed == nil {
			s.place.failed = map[int32]int16{}
		}
		s.place.failed[partition] = code
		// What was known stays for the count, and does not serve as a position.
		offset = unknown
		if p < len(s.place.position) {
			offset = s.place.position[p]
		}
	}
	for p >= len(s.read) {
		s.read = append(s.read, unknown)
	}
	s.read[p] = max(offset, unknown)
}

func (s *commitSink) finishTopic() {
	if s.place == nil {
		return
	}
	s.place.seenTick = s.collector.tick
	s.place.take(s.read, s.collector.tick, s.current.idle(), s.current.forTarget)
	s.place = nil
}

func (s *commitSink) groupDone(code int16) {
	s.finishTopic()
	g := s.current
	if err := kerr.ErrorForCode(code); err != nil {
		g.problem = fmt.Errorf("fetch its offsets: %w%s", err, hint(code, g.name))
		if retriable(code) {
			g.coordinator = -1
		}
		if code == kerr.GroupIDNotFound.Code {
			g.problem = nil // some brokers say so of a group that is not there
		} else {
			s.collector.telemetry.failedCode(code)
			return
		}
	}
	if g.vanished(s.collector.tick, s.collector.tickTime) {
		g.problem = errors.New("fetch its offsets: the coordinator answers with none, though there were some: not believed before it has said so for 30 s")
		g.coordinator = -1
		return
	}
	g.problem = nil
	g.readTick = s.collector.tick
	g.forgetUnseen(s.collector.tick)
}

// vanishedFor is how long a coordinator must say that it knows no commit of a group that had some before it is believed.
// While brokers die and return, one may answer so for many seconds, and without an error: that was seen on three brokers. Why
// was not seen, only what it is not: it is the right coordinator, and it has loaded (otherwise it says NOT_COORDINATOR or
// COORDINATOR_LOAD_IN_PROGRESS, which are retried). Likely it is that a coordinator since KIP-848 answers from its state at
// the high watermark of its partition of the offsets topic (KAFKA-15910), which after a takeover may lie before the commits
// until enough followers have caught up. RequireStable waits for open transactions only, and member epochs are about members;
// neither tells. So commits that really are deleted count from the reset policy this much later, and are missing until then.
const vanishedFor = 30 * time.Second

// vanished reports whether the answer of this tick holds nothing of a group that had commits, and is not to be believed yet.
func (g *group) vanished(tick int, now time.Time) bool {
	had := false
	for _, gt := range g.topics {
		if gt.seenTick == tick {
			g.emptySince = time.Time{}
			return false
		}
		for _, position := range gt.position {
			had = had || position != unknown
		}
	}
	if !had {
		return false
	}
	if g.emptySince.IsZero() {
		g.emptySince = now
	}
	return now.Sub(g.emptySince) < vanishedFor
}

// idle reports whether the group had members and is known to have none now, so that nothing consumes. A group that never
// had any may be that of consumers that assign partitions to themselves and only commit.
func (g *group) idle() bool {
	return g.hadMembers && g.membersKnown && g.membersProblem == nil && len(g.members) == 0
}

// forgetUnseen takes topics that the answer did not hold as never committed: the answer holds all there is.
func (g *group) forgetUnseen(tick int) {
	for _, gt := range g.topics {
		if gt.seenTick == tick {
			continue
		}
		clear(gt.failed)
		for p := range gt.position {
			gt.position[p] = unknown
		}
		gt.known = true
	}
}

// fetchShares reads the start offsets and lags of a batch of share groups from their coordinator.
func (c *Collector) fetchShares(ctx context.Context, node int32, batch []*group, news *newTopics) {
	request := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	for _, g := range batch {
		group := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
		group.GroupID = g.name
		request.Groups = append(request.Groups, group)
	}
	response, err := c.ask(ctx, node, request)
	if err != nil {
		positionsFailed(batch, fmt.Errorf("describe its offsets at broker %d: %w", node, err), true)
		return
	}
	byName := indexGroups(batch)
	for _, g := range batch {
		g.problem = fmt.Errorf("describe its offsets at broker %d: the answer left it out", node)
	}
	answer := response.(*kmsg.DescribeShareGroupOffsetsResponse)
	for i := range answer.Groups {
		from := &answer.Groups[i]
		g := byName[from.GroupID]
		if g == nil {
			continue
		}
		g.problem = nil
		if err := kerr.ErrorForCode(from.ErrorCode); err != nil {
			c.telemetry.failedCode(from.ErrorCode)
			g.problem = fmt.Errorf("describe its offsets: %w%s", err, hint(from.ErrorCode, g.name))
			if retriable(from.ErrorCode) {
				g.coordinator = -1
			}
			continue
		}
		for j := range from.Topics {
			c.takeShare(g, &from.Topics[j], news)
		}
		g.readTick = c.tick
		g.forgetUnseen(c.tick)
	}
}

// takeShare takes a share group's offsets in one topic.
func (c *Collector) takeShare(g *group, from *kmsg.DescribeShareGroupOffsetsResponseGroupTopic, news *newTopics) {
	if !g.wants(c, from.Topic) {
		return
	}
	t := c.topics[from.Topic]
	if t == nil {
		news.add(g, from.Topic)
		return
	}
	gt := g.inTopic(t)
	gt.seenTick = c.tick
	clear(gt.failed)
	read := make([]int64, max(t.partitions(), len(gt.position)))
	lag := make([]int64, len(read))
	for p := range read {
		read[p], lag[p] = unknown, unknown
	}
	for i := range from.Partitions {
		part := &from.Partitions[i]
		p := int(part.Partition)
		if p < 0 || p >= maxPartition {
			continue
		}
		for p >= len(read) {
			read, lag = append(read, unknown), append(lag, unknown)
		}
		if part.ErrorCode != 0 {
			if gt.failed == nil {
				gt.failed = map[int32]int16{}
			}
			gt.failed[part.Partition] = part.ErrorCode
			continue
		}
		read[p], lag[p] = part.StartOffset, part.Lag
	}
	gt.take(read, c.tick, g.idle(), g.forTarget)
	gt.shareLag = lag
}
