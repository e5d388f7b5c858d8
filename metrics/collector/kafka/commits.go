package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

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
	s.place.take(s.read, s.collector.tick, s.current.jumped(s.collector.tick), s.current.forTarget)
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
		g.problem = errors.New(
			"fetch its offsets: the coordinator answers with none, though there were some: not believed before it has said so for 30 s")
		g.coordinator = -1
		return
	}
	g.problem = nil
	g.readTick = s.collector.tick
	g.forgetUnseen(s.collector)
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
