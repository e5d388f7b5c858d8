package kafka

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// offsetsTopic is where the brokers keep groups: the leader of a group's partition of it is the group's coordinator.
const offsetsTopic = "__consumer_offsets"

// offsetsMetadata is what the cluster last said of offsetsTopic. The zero value says that it is not there, or not for us to see.
type offsetsMetadata struct {
	partitions int
	// leaderless are the partitions whose groups no broker coordinates or lists; replicas are the brokers that have their replicas,
	// sorted.
	leaderless map[int32]bool
	replicas   []int32
}

func readOffsetsMetadata(from *kmsg.MetadataResponseTopic) offsetsMetadata {
	m := offsetsMetadata{partitions: len(from.Partitions), leaderless: map[int32]bool{}}
	for i := range from.Partitions {
		if p := &from.Partitions[i]; p.Leader < 0 || p.ErrorCode == kerr.LeaderNotAvailable.Code {
			m.leaderless[p.Partition] = true
			m.replicas = append(m.replicas, p.Replicas...)
		}
	}
	slices.Sort(m.replicas)
	m.replicas = slices.Compact(m.replicas)
	return m
}

// away reports whether a group is kept where no broker can say anything of it.
func (m *offsetsMetadata) away(group string) bool {
	return len(m.leaderless) > 0 && m.leaderless[offsetsPartition(group, m.partitions)]
}

// offsetsPartition returns in which partition of offsetsTopic Kafka keeps a group: Utils.abs(groupId.hashCode()) % partitions
// (GroupCoordinatorService.partitionFor), where abs of the least integer is 0.
func offsetsPartition(group string, partitions int) int32 {
	hash := int32(0)
	for _, unit := range utf16.Encode([]rune(group)) {
		hash = 31*hash + int32(unit)
	}
	return max(hash, -hash, 0) % int32(partitions)
}

// plainNames returns the Names that are names for sure: where patterns come from a person, each stands among the names too.
func (s *Selection) plainNames() []string {
	return slices.DeleteFunc(slices.Clone(s.Names), func(name string) bool { return strings.ContainsAny(name, `*+?()|[]{}^$\`) })
}

// Unlisted says why groups that are selected may be missing from what Groups returns, nil where none can be: brokers that did not
// list their groups, and partitions of __consumer_offsets that no broker leads.
func (c *Collector) Unlisted() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	named := c.selection.plainNames()
	exact := !c.selection.All && len(c.selection.Prefixes) == 0 && len(c.selection.Patterns) == 0
	var problems []error
	if !exact || slices.ContainsFunc(named, func(name string) bool { _, ok := c.listed[name]; return !ok }) {
		for _, node := range slices.Sorted(maps.Keys(c.unlisted)) {
			problems = append(problems, fmt.Errorf("cluster %s: broker %d did not list its groups, "+
				"and those not seen before are missing: %w", c.config.Cluster, node, c.unlisted[node]))
		}
	}
	away := slices.DeleteFunc(named, func(name string) bool { return !c.offsets.away(name) })
	if len(c.offsets.leaderless) > 0 && (!exact || len(away) > 0) {
		problems = append(problems, c.offsetsProblem(away))
	}
	return errors.Join(problems...)
}

// offsetsProblem says what partitions without a leader keep from us, the groups `away` for sure.
func (c *Collector) offsetsProblem(away []string) error {
	text := fmt.Sprintf("cluster %s: %d of %d partitions of %s have no leader, and nothing is known of the groups kept there",
		c.config.Cluster,
		len(c.offsets.leaderless), c.offsets.partitions, offsetsTopic)
	if len(away) > 0 {
		text += ", " + strings.Join(away, ", ") + " among them"
	}
	remedy := ": start the brokers that have their replicas"
	if len(c.offsets.replicas) > 0 {
		remedy += fmt.Sprintf(" %v", c.offsets.replicas)
	}
	return errors.New(text + remedy)
}
