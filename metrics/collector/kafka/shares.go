package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

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
		g.forgetUnseen(c)
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
	gt.take(read, c.tick, g.jumped(c.tick), g.forTarget)
	gt.shareLag = lag
}
