package kafka

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// reported returns the groups that are reported on, without repetition.
func (f *fixture) reported() string {
	var names []string
	for _, g := range f.collector.Groups(f.now) {
		names = append(names, g.Group)
	}
	return strings.Join(slices.Compact(names), " ")
}

// TestSelectedGroupsComeAndGo picks groups by name, prefix and pattern and follows them while some appear and one is deleted.
func TestSelectedGroupsComeAndGo(t *testing.T) {
	f := newFixture(t, 2, map[string]int32{"a": 1, "b": 1}, func(c *Config) { c.GroupInterval = time.Second })
	f.produce("a", 0, 10)
	for _, group := range []string{"alpha", "alphabet", "team-a", "x12", "x1y"} {
		f.commit(group, "a", 0, 4)
	}
	f.collector.SetSelection(Selection{
		Names: []string{"alpha"}, Prefixes: []string{"team-"}, Patterns: []*regexp.Regexp{regexp.MustCompile("^x[0-9]+$")},
	})
	f.tick(0)
	if got, want := f.reported(), "alpha team-a x12"; got != want {
		t.Errorf("groups: got %s, want %s", got, want)
	}
	for _, g := range f.collector.Groups(f.now) {
		wantValue(t, "lag of "+g.Group, g.LagRecords, series.Of(6))
	}

	// A group that appears is there at the next look, with a topic that nobody had named before.
	f.produce("b", 0, 5)
	f.commit("team-b", "b", 0, 2)
	f.tick(5 * time.Second)
	if got, want := f.reported(), "alpha team-a team-b x12"; got != want {
		t.Errorf("after one appeared: got %s, want %s", got, want)
	}
	for _, g := range f.collector.Groups(f.now) {
		if g.Group == "team-b" {
			wantValue(t, "its lag", g.LagRecords, series.Of(3))
		}
	}

	deleted, err := f.admin.DeleteGroups(t.Context(), "team-a")
	if err != nil || deleted["team-a"].Err != nil {
		t.Fatal(err, deleted)
	}
	f.tick(5 * time.Second)
	if got, want := f.reported(), "alpha team-b x12"; got != want {
		t.Errorf("after one was deleted: got %s, want %s", got, want)
	}

	f.collector.SetSelection(Selection{Names: []string{"x1y"}})
	f.tick(5 * time.Second)
	if got, want := f.reported(), "x1y"; got != want {
		t.Errorf("another selection: got %s, want %s", got, want)
	}
}

// TestTargetsGroupVanishes deletes a target's group: its lag is missing, never zero, until the deletion is believed, and then
// counts from where the reset policy starts.
func TestTargetsGroupVanishes(t *testing.T) {
	f := newFixture(t, 1, map[string]int32{"a": 1}, func(c *Config) { c.GroupInterval = time.Second })
	f.produce("a", 0, 10)
	f.commit("g", "a", 0, 10)
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
	wantValue(t, "lag", f.tick(0)[0].Observation.LagRecords, series.Of(0))
	if _, err := f.admin.DeleteGroups(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	gone := f.tick(5 * time.Second)[0]
	wantValue(t, "lag just after", gone.Observation.LagRecords, series.Missing)
	if gone.Group.State != stateAbsent {
		t.Errorf("state: got %q, want %q", gone.Group.State, stateAbsent)
	}
	later := f.tick(vanishedFor)[0]
	wantValue(t, "lag later", later.Observation.LagRecords, series.Of(10))
	if text := strings.Join(later.Observation.Problems, ";"); !strings.Contains(text, "group g is not on cluster main") {
		t.Errorf("problems: got %q", text)
	}
	f.commit("g", "a", 0, 7)
	wantValue(t, "lag once it is back", f.tick(5 * time.Second)[0].Observation.LagRecords, series.Of(3))
}

// TestOffsetsSetForwards: what moves while nobody is there to consume was set, not consumed.
func TestOffsetsSetForwards(t *testing.T) {
	f := newFixture(t, 1, map[string]int32{"a": 1}, func(c *Config) { c.GroupInterval = time.Second })
	f.produce("a", 0, 10)
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
	client := f.member("g", "a")
	f.pollAndCommit(client)
	f.tick(0)
	client.Close()
	f.produce("a", 0, 90)
	f.tick(5 * time.Second)
	f.commit("g", "a", 0, 80)
	set := f.tick(5 * time.Second)[0].Observation
	wantValue(t, "lag", set.LagRecords, series.Of(20))
	wantValue(t, "consumed", set.ConsumedRecords, series.Missing)
	if text := strings.Join(set.Problems, ";"); !strings.Contains(text, "were set forwards") {
		t.Errorf("problems: got %q", text)
	}
	wantValue(t, "consumed at the next tick", f.tick(5 * time.Second)[0].Observation.ConsumedRecords, series.Of(0))
}

// TestTheLastCommitOfAMemberThatLeft: nobody set the offsets of a group that was scaled to zero.
func TestTheLastCommitOfAMemberThatLeft(t *testing.T) {
	f := newFixture(t, 1, map[string]int32{"a": 1}, func(c *Config) { c.GroupInterval = time.Second })
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
	client := f.member("g", "a")
	f.produce("a", 0, 10)
	f.pollAndCommit(client)
	f.tick(0)
	f.produce("a", 0, 90)
	f.pollAndCommit(client)
	client.Close()
	left := f.tick(5 * time.Second)[0].Observation
	wantValue(t, "lag", left.LagRecords, series.Of(0))
	wantValue(t, "consumed", left.ConsumedRecords, series.Missing)
	if text := strings.Join(left.Problems, ";"); !strings.Contains(text, "offsets of group g in a moved while members left or came") {
		t.Errorf("problems: got %q", text)
	}
	wantValue(t, "consumed at the next tick", f.tick(5 * time.Second)[0].Observation.ConsumedRecords, series.Of(0))
}
