package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// listedGroup is what ListGroups says of a group.
type listedGroup struct{ kind, state string }

// readGroups lists the groups, picks those that are wanted and describes them.
func (c *Collector) readGroups(ctx context.Context, now time.Time) {
	complete := c.listGroups(ctx)
	for _, g := range c.groups {
		// The broker that has the group is one of those asked, unless it came, or came back, since the brokers were last read.
		complete = complete && (g.coordinator < 0 || slices.Contains(c.nodes, g.coordinator))
	}
	for name := range c.listed {
		if c.groups[name] == nil && c.selection.Matches(name) {
			c.groups[name] = newGroup(name)
		}
	}
	for _, name := range c.selection.plainNames() {
		if c.groups[name] == nil && c.offsets.away(name) {
			c.groups[name] = newGroup(name)
		}
	}
	var wanted []*group
	for name, g := range c.groups {
		found, ok := c.listed[name]
		away := !ok && c.offsets.away(name)
		g.forReport = (ok || away) && c.selection.Matches(name)
		switch {
		case ok:
			if g.kind != "" && g.kind != found.kind {
				// Another group of the same name: positions are asked for in another way.
				g.topics, g.members, g.membersKnown = map[string]*groupTopic{}, nil, false
				g.track = newRebalanceTrack()
			}
			g.kind, g.state, g.listed = found.kind, found.state, true
		case away:
			g.state, g.listed, g.membersKnown = "", false, false
		case complete:
			g.state, g.listed = stateAbsent, true
			g.have(nil, c.tick)
		}
		wanted = append(wanted, g)
	}
	slices.SortFunc(wanted, func(a, b *group) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	c.coordinators(ctx, wanted)
	c.describe(ctx, wanted, now)
}

// listGroups asks every broker for the groups that it coordinates and reports whether all answered. When one did not,
// what was listed before is kept beside the new.
func (c *Collector) listGroups(ctx context.Context) (complete bool) {
	type answer struct {
		node     int32
		response *kmsg.ListGroupsResponse
		err      error
	}
	answers := make([]answer, len(c.nodes))
	var wait sync.WaitGroup
	for i, node := range c.nodes {
		wait.Go(func() {
			response, err := c.ask(ctx, node, kmsg.NewPtrListGroupsRequest())
			answers[i] = answer{node: node, err: err}
			if err == nil {
				answers[i].response = response.(*kmsg.ListGroupsResponse)
				answers[i].err = kerr.ErrorForCode(answers[i].response.ErrorCode)
			}
		})
	}
	wait.Wait()
	complete = len(answers) > 0
	c.unlisted = map[int32]error{}
	listed := map[string]listedGroup{}
	for _, a := range answers {
		if a.err != nil {
			complete = false
			c.nodeProblems[a.node] = a.err
			c.unlisted[a.node] = a.err
			c.logger.Debug("broker did not list its groups", "node", a.node, "error", a.err)
			continue
		}
		for i := range a.response.Groups {
			g := &a.response.Groups[i]
			kind := g.GroupType
			if kind == "" {
				kind = typeClassic // a broker from before KIP-848 knows no other
			}
			listed[g.Group] = listedGroup{kind: lower(kind), state: g.GroupState}
		}
	}
	if !complete {
		for name, g := range c.listed {
			if _, ok := listed[name]; !ok {
				listed[name] = g
			}
		}
	}
	c.listed = listed
	return complete
}

// lower returns s with ASCII letters lowered: brokers write "Classic", "Consumer", "Share".
func lower(s string) string {
	b := []byte(s)
	for i, ch := range b {
		if 'A' <= ch && ch <= 'Z' {
			b[i] = ch + 'a' - 'A'
		}
	}
	return string(b)
}

// describe reads the members of the groups, asking each coordinator once for each type.
func (c *Collector) describe(ctx context.Context, groups []*group, now time.Time) {
	type key struct {
		node int32
		kind string
	}
	batches := map[key][]*group{}
	for _, g := range groups {
		switch {
		case g.state == stateAbsent || g.kind == "":
			continue
		case g.kind == typeStreams:
			g.membersProblem = errors.New("members of streams groups are not described")
			continue
		case g.coordinator < 0:
			g.membersProblem = g.coordinatorProblem
			continue
		}
		k := key{g.coordinator, g.kind}
		batches[k] = append(batches[k], g)
	}
	var wait sync.WaitGroup
	for k, batch := range batches {
		wait.Go(func() {
			var err error
			switch k.kind {
			case typeConsumer:
				err = c.describeConsumer(ctx, k.node, batch)
			case typeShare:
				err = c.describeShare(ctx, k.node, batch)
			default:
				err = c.describeClassic(ctx, k.node, batch)
			}
			if err != nil {
				for _, g := range batch {
					g.membersProblem = err
				}
			}
		})
	}
	wait.Wait()
	for _, g := range groups {
		if g.membersProblem == nil && g.membersKnown {
			g.observeMembers(now)
		}
		for i := range g.members {
			for name := range g.members[i].topics {
				if g.wants(c, name) {
					g.inTopic(c.topic(name))
				}
			}
		}
	}
}

// wants reports whether a topic of a group is asked for: a report or a target without topics takes every one.
func (g *group) wants(c *Collector, topic string) bool {
	if g.forReport {
		return true
	}
	for i := range c.targets {
		t := &c.targets[i]
		if t.Group == g.name && (len(t.Topics) == 0 || slices.Contains(t.Topics, topic)) {
			return true
		}
	}
	return false
}

// described takes one group's description at a tick; code is the broker's error for it.
func (g *group) described(tick int, code int16, message *string, state string, members []member) {
	if err := kerr.ErrorForCode(code); err != nil {
		g.membersProblem = fmt.Errorf("describe it: %w", err)
		if message != nil && *message != "" {
			g.membersProblem = fmt.Errorf("describe it: %w: %s", err, *message)
		}
		if retriable(code) {
			g.coordinator = -1
		}
		return
	}
	g.have(members, tick)
	if state != "" {
		g.state = state
	}
}

func (c *Collector) describeClassic(ctx context.Context, node int32, batch []*group) error {
	request := kmsg.NewPtrDescribeGroupsRequest()
	for _, g := range batch {
		request.Groups = append(request.Groups, g.name)
	}
	response, err := c.ask(ctx, node, request)
	if err != nil {
		return fmt.Errorf("describe it: %w", err)
	}
	byName := indexGroups(batch)
	for i := range response.(*kmsg.DescribeGroupsResponse).Groups {
		from := &response.(*kmsg.DescribeGroupsResponse).Groups[i]
		g := byName[from.Group]
		if g == nil {
			continue
		}
		var members []member
		for j := range from.Members {
			m := &from.Members[j]
			out := member{id: m.MemberID, client: m.ClientID, host: m.ClientHost, topics: map[string][]int32{}}
			var assignment kmsg.ConsumerMemberAssignment
			// Members of other protocols (Connect workers) have assignments of their own kind: no partitions then.
			if from.ProtocolType == "consumer" && assignment.ReadFrom(m.MemberAssignment) == nil {
				for _, t := range assignment.Topics {
					out.add(t.Topic, t.Partitions)
				}
			}
			members = append(members, out)
		}
		g.described(c.tick, from.ErrorCode, from.ErrorMessage, from.State, members)
	}
	return nil
}

func (c *Collector) describeConsumer(ctx context.Context, node int32, batch []*group) error {
	request := kmsg.NewPtrConsumerGroupDescribeRequest()
	for _, g := range batch {
		request.Groups = append(request.Groups, g.name)
	}
	response, err := c.ask(ctx, node, request)
	if err != nil {
		return fmt.Errorf("describe it: %w", err)
	}
	byName := indexGroups(batch)
	for i := range response.(*kmsg.ConsumerGroupDescribeResponse).Groups {
		from := &response.(*kmsg.ConsumerGroupDescribeResponse).Groups[i]
		g := byName[from.Group]
		if g == nil {
			continue
		}
		var members []member
		for j := range from.Members {
			m := &from.Members[j]
			out := member{id: m.MemberID, client: m.ClientID, host: m.ClientHost, topics: map[string][]int32{}}
			for _, t := range m.Assignment.TopicPartitions {
				out.add(c.nameOf(t.Topic, t.TopicID), t.Partitions)
			}
			members = append(members, out)
		}
		g.described(c.tick, from.ErrorCode, from.ErrorMessage, from.State, members)
	}
	return nil
}

func (c *Collector) describeShare(ctx context.Context, node int32, batch []*group) error {
	request := kmsg.NewPtrShareGroupDescribeRequest()
	for _, g := range batch {
		request.GroupIDs = append(request.GroupIDs, g.name)
	}
	response, err := c.ask(ctx, node, request)
	if err != nil {
		return fmt.Errorf("describe it: %w", err)
	}
	byName := indexGroups(batch)
	for i := range response.(*kmsg.ShareGroupDescribeResponse).Groups {
		from := &response.(*kmsg.ShareGroupDescribeResponse).Groups[i]
		g := byName[from.GroupID]
		if g == nil {
			continue
		}
		var members []member
		for j := range from.Members {
			m := &from.Members[j]
			out := member{id: m.MemberID, client: m.ClientID, host: m.ClientHost, topics: map[string][]int32{}}
			for _, t := range m.Assignment.TopicPartitions {
				out.add(c.nameOf(t.Topic, t.TopicID), t.Partitions)
			}
			members = append(members, out)
		}
		g.described(c.tick, from.ErrorCode, from.ErrorMessage, from.GroupState, members)
	}
	return nil
}

// nameOf returns a topic's name, by its id where the broker gave that alone; "" where it is not known.
func (c *Collector) nameOf(name string, id [16]byte) string {
	if name != "" {
		return name
	}
	for _, t := range c.topics {
		if t.id == id && id != [16]byte{} {
			return t.name
		}
	}
	return ""
}

// add takes partitions of a topic; those of a topic whose name is not known count, but are not told apart.
func (m *member) add(topic string, partitions []int32) {
	if topic == "" {
		m.partitions += len(partitions)
		return
	}
	m.topics[topic] = append(m.topics[topic], partitions...)
	slices.Sort(m.topics[topic])
	m.partitions += len(partitions)
}

func indexGroups(groups []*group) map[string]*group {
	byName := make(map[string]*group, len(groups))
	for _, g := range groups {
		byName[g.name] = g
	}
	return byName
}
