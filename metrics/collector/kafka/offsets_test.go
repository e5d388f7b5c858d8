package kafka

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// TestOffsetsPartition compares with String.hashCode of Java, whose values are in the comments.
func TestOffsetsPartition(t *testing.T) {
	for _, tt := range []struct {
		group string
		want  int32
	}{
		{"", 0},                   // 0
		{"g", 3},                  // 103
		{"Hello World", 26},       // -862545276
		{"polygenelubricants", 0}, // -2147483648, which has no absolute value
		{"\U0001F600", 49},        // 31*0xd83d + 0xde00 = 1772899
	} {
		if got := offsetsPartition(tt.group, 50); got != tt.want {
			t.Errorf("%q: got %d, want %d", tt.group, got, tt.want)
		}
	}
}

// TestGroupsWithoutACoordinator: what is kept in a partition of __consumer_offsets without a leader is neither absent nor without
// members, and the selection that it may be in says so until the partition is led again.
func TestGroupsWithoutACoordinator(t *testing.T) {
	f := newFixture(t, 1, map[string]int32{"a": 1, offsetsTopic: 50})
	f.produce("a", 0, 10)
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
	down := f.cluster.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: offsetsTopic, Partitions: []int32{3, 5}, Err: kerr.LeaderNotAvailable, Count: -1},
		kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Group: "g", Err: kerr.CoordinatorNotAvailable, Count: -1},
	)
	got := f.tick(0)[0]
	wantValue(t, "lag", got.Observation.LagRecords, series.Missing)
	wantValue(t, "members", got.Members, series.Missing)
	if got.Group.State == stateAbsent || got.Group.Absence != "" {
		t.Errorf("it counts as absent: %+v", got.Group)
	}
	const why = "partition 3 of __consumer_offsets, where it is kept, has no leader"
	if text := strings.Join(got.Observation.Problems, ";"); !strings.Contains(text, why) {
		t.Errorf("problems: got %q, want %q among them", text, why)
	}

	f.collector.SetTargets(nil)
	for _, tt := range []struct {
		name      string
		selection Selection
		says      string // "" where nothing can be missing
		reported  string
	}{
		{"all", Selection{All: true}, "2 of 50 partitions of __consumer_offsets have no leader, and nothing is known of the groups kept there: start the brokers", ""},
		{"it", Selection{Names: []string{"g"}}, "groups kept there, g among them: start the brokers", "g"},
		{"another", Selection{Names: []string{"h"}}, "", ""},
		{"a pattern", Selection{Names: []string{"h|j"}, Patterns: []*regexp.Regexp{regexp.MustCompile("^(?:h|j)$")}}, "2 of 50 partitions", ""},
	} {
		f.collector.SetSelection(tt.selection)
		f.tick(5 * time.Second)
		if got := f.reported(); got != tt.reported {
			t.Errorf("%s: reported %q, want %q", tt.name, got, tt.reported)
		}
		for _, g := range f.collector.Groups(f.now) {
			if g.LagRecords.Known() || g.Members.Known() || !strings.Contains(g.Reason, why) {
				t.Errorf("%s: got %+v, want nothing known, for %q", tt.name, g, why)
			}
		}
		if err := f.collector.Unlisted(); (err == nil) != (tt.says == "") || !strings.Contains(fmt.Sprint(err), tt.says) && err != nil {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.says)
		}
	}

	down.Remove()
	f.commit("g", "a", 0, 4)
	f.collector.SetSelection(Selection{All: true})
	f.tick(5 * time.Second)
	if err := f.collector.Unlisted(); err != nil {
		t.Errorf("with a leader again: %v", err)
	}
	back := f.collector.Groups(f.now)
	if len(back) != 1 {
		t.Fatalf("with a leader again: got %+v", back)
	}
	wantValue(t, "lag with a leader again", back[0].LagRecords, series.Of(6))
}

// TestBrokersOfReplicas names those that can lead again.
func TestBrokersOfReplicas(t *testing.T) {
	topic := kmsg.MetadataResponseTopic{Partitions: []kmsg.MetadataResponseTopicPartition{
		{Partition: 0, Leader: 1, Replicas: []int32{1}},
		{Partition: 1, Leader: -1, Replicas: []int32{3}},
		{Partition: 2, Leader: -1, Replicas: []int32{3, 2}},
	}}
	c := Collector{config: Config{Cluster: "main"}, offsets: readOffsetsMetadata(&topic)}
	const want = "cluster main: 2 of 3 partitions of __consumer_offsets have no leader, and nothing is known of the groups kept there: " +
		"start the brokers that have their replicas [2 3]"
	if got := c.offsetsProblem(nil).Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestBrokerThatDoesNotListItsGroups is named, until it does.
func TestBrokerThatDoesNotListItsGroups(t *testing.T) {
	f := newFixture(t, 2, map[string]int32{"a": 1})
	f.collector.SetSelection(Selection{All: true})
	f.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListGroups}, Nodes: []int32{1}, TopLevel: true, Err: kerr.CoordinatorLoadInProgress})
	f.tick(0)
	if err := f.collector.Unlisted(); !strings.Contains(fmt.Sprint(err), "cluster main: broker 1 did not list its groups") {
		t.Errorf("got %v, want the broker", err)
	}
	f.tick(5 * time.Second)
	if err := f.collector.Unlisted(); err != nil {
		t.Errorf("after it did: %v", err)
	}
}
