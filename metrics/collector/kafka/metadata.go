package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// readMetadata reads which partitions the wanted topics have and who leads them.
func (c *Collector) readMetadata(ctx context.Context, now time.Time) error {
	c.dropUnwanted()
	request := kmsg.NewPtrMetadataRequest()
	request.AllowAutoTopicCreation = false
	// An empty list asks for brokers only; null would ask for every topic there is.
	request.Topics = []kmsg.MetadataRequestTopic{}
	asked := slices.Collect(maps.Keys(c.topics))
	if c.topics[offsetsTopic] == nil {
		asked = append(asked, offsetsTopic)
	}
	slices.Sort(asked)
	for _, name := range asked {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, topic)
	}
	response, err := c.ask(ctx, anyNode, request)
	if err != nil {
		return c.clusterError("read metadata", err)
	}
	answer := response.(*kmsg.MetadataResponse)
	c.nodes = c.nodes[:0]
	for i := range answer.Brokers {
		c.nodes = append(c.nodes, answer.Brokers[i].NodeID)
	}
	slices.Sort(c.nodes)
	for i := range answer.Topics {
		name := answer.Topics[i].Topic
		if name == nil {
			continue
		}
		if *name == offsetsTopic {
			c.offsets = readOffsetsMetadata(&answer.Topics[i])
		}
		c.takeTopic(&answer.Topics[i])
	}
	c.nextMetadata = now.Add(c.config.MetadataInterval)
	absent := func(t *topic) bool { return t.problem != nil }
	if len(c.offsets.leaderless) > 0 || slices.ContainsFunc(slices.Collect(maps.Values(c.topics)), absent) {
		// Groups and topics that are there again are not to wait.
		c.nextMetadata = now.Add(min(c.config.MetadataInterval, c.config.GroupInterval))
	}
	return nil
}

// takeTopic takes what the cluster says of one topic.
func (c *Collector) takeTopic(from *kmsg.MetadataResponseTopic) {
	name := *from.Topic
	t := c.topics[name]
	if t == nil {
		return
	}
	if from.ErrorCode != 0 {
		c.telemetry.failedCode(from.ErrorCode)
		if from.ErrorCode == kerr.UnknownTopicOrPartition.Code {
			t.problem = fmt.Errorf("topic %s does not exist", name)
			for p := range t.leader {
				t.leader[p] = -1
			}
		} else {
			t.problem = fmt.Errorf("topic %s: %w%s", name, kerr.ErrorForCode(from.ErrorCode), hint(from.ErrorCode, name))
		}
		c.logTopicProblem(t)
		return
	}
	if t.partitions() > 0 && t.id != from.TopicID {
		// Deleted and created again: nothing known of the old one holds for the new one.
		c.logger.Info("topic was created again", "topic", name)
		fresh := &topic{name: name, wantStable: t.wantStable, samples: newSamples(c.config.Samples, 0), fresh: true}
		t.gone = true
		c.topics[name] = fresh
		t = fresh
	}
	if t.problem != nil && t.partitions() == 0 && c.tick > 1 {
		t.fresh = true // it did not exist when we last looked
	}
	t.problem = nil
	c.logTopicProblem(t)
	t.id = from.TopicID
	count := 0
	for i := range from.Partitions {
		count = max(count, int(from.Partitions[i].Partition)+1)
	}
	t.grow(count, c.config.Samples)
	for i := range from.Partitions {
		p := &from.Partitions[i]
		t.leader[p.Partition] = p.Leader
	}
	t.beginTick()
}

// logTopicProblem logs a topic's problem when it changes.
func (c *Collector) logTopicProblem(t *topic) {
	text := ""
	if t.problem != nil {
		text = t.problem.Error()
	}
	if text == t.problemLogged {
		return
	}
	if text != "" {
		c.logger.Warn("topic cannot be read", "topic", t.name, "error", t.problem)
	} else {
		c.logger.Info("topic can be read again", "topic", t.name)
	}
	t.problemLogged = text
}

// dropUnwanted forgets groups and topics that nobody asks for any more.
func (c *Collector) dropUnwanted() {
	maps.DeleteFunc(c.groups, func(_ string, g *group) bool { return !g.forTarget && !g.forReport })
	wanted := map[string]bool{}
	for _, t := range c.targets {
		for _, name := range t.Topics {
			wanted[name] = true
		}
	}
	for _, g := range c.groups {
		for name := range g.topics {
			wanted[name] = true
		}
		for i := range g.members {
			for name := range g.members[i].topics {
				wanted[name] = true
			}
		}
	}
	maps.DeleteFunc(c.topics, func(name string, _ *topic) bool { return !wanted[name] })
}

// coordinators finds the coordinator of each group that has none, all in one request.
func (c *Collector) coordinators(ctx context.Context, groups []*group) {
	var lost []*group
	for _, g := range groups {
		if g.coordinator < 0 {
			lost = append(lost, g)
		}
	}
	if len(lost) == 0 {
		return
	}
	request := kmsg.NewPtrFindCoordinatorRequest()
	byName := map[string]*group{}
	for _, g := range lost {
		request.CoordinatorKeys = append(request.CoordinatorKeys, g.name)
		byName[g.name] = g
		g.coordinatorProblem = errors.New("its coordinator was not named")
	}
	response, err := c.askAnyBroker(ctx, request)
	if err != nil {
		for _, g := range lost {
			g.coordinatorProblem = fmt.Errorf("find its coordinator: %w", err)
		}
		return
	}
	for _, found := range response.(*kmsg.FindCoordinatorResponse).Coordinators {
		g := byName[found.Key]
		if g == nil {
			continue
		}
		if err := kerr.ErrorForCode(found.ErrorCode); err != nil {
			c.telemetry.failedCode(found.ErrorCode)
			g.coordinatorProblem = fmt.Errorf("find its coordinator: %w%s", err, hint(found.ErrorCode, g.name))
			if c.offsets.away(g.name) {
				g.coordinatorProblem = fmt.Errorf("%w: partition %d of %s, where it is kept, has no leader", g.coordinatorProblem,
					offsetsPartition(g.name, c.offsets.partitions), offsetsTopic)
			}
			if found.ErrorCode == kerr.CoordinatorNotAvailable.Code {
				c.nextMetadata = time.Time{} // which tells whether its partition has a leader
			}
			continue
		}
		g.coordinator, g.coordinatorProblem = found.NodeID, nil
		if !slices.Contains(c.nodes, found.NodeID) {
			c.nextMetadata = time.Time{} // it came, or came back, since the brokers were last read
		}
	}
}

// askAnyBroker asks the brokers in turn until one answers, those first that have not failed at this tick. The client's
// own way would split the request into one for each group and retry each for long.
func (c *Collector) askAnyBroker(ctx context.Context, request kmsg.Request) (kmsg.Response, error) {
	err := errors.New("no broker is known")
	for _, failed := range []bool{false, true} {
		for _, node := range c.nodes {
			if (c.nodeProblems[node] != nil) != failed {
				continue
			}
			var response kmsg.Response
			if response, err = c.ask(ctx, node, request); err == nil {
				return response, nil
			}
			c.nodeProblems[node] = err
			if failed || ctx.Err() != nil {
				return nil, err
			}
		}
	}
	return nil, err
}

// hint says which right is missing where an error is about rights.
func hint(code int16, name string) string {
	switch code {
	case kerr.TopicAuthorizationFailed.Code:
		return ": the collector's user needs Describe on topic " + name
	case kerr.GroupAuthorizationFailed.Code:
		return ": the collector's user needs Describe on group " + name
	}
	return ""
}
