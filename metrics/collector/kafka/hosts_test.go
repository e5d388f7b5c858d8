package kafka

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/collector"
)

// hostRig is a group of three members on three hosts with two partitions each, and what is read of it tick by tick.
type hostRig struct {
	c      *Collector
	target target
	group  *group
	topic  *topic
	now    time.Time
}

func newHostRig() *hostRig {
	r := &hostRig{c: &Collector{}, group: newGroup("g"), topic: &topic{name: "t"}, now: time.Unix(1000, 0)}
	r.group.kind = typeConsumer
	for range 6 {
		r.topic.leader = append(r.topic.leader, 1)
		r.topic.start = append(r.topic.start, 0)
		r.topic.end = append(r.topic.end, 1000)
	}
	r.group.members = []member{
		{id: "a", host: "/10.0.0.1", topics: map[string][]int32{"t": {0, 1}}},
		{id: "b", host: "/10.0.0.2", topics: map[string][]int32{"t": {2, 3}}},
		{id: "c", host: "/fd00:0:0:0:0:0:0:3%eth0", topics: map[string][]int32{"t": {4, 5}}},
	}
	r.group.inTopic(r.topic).position = []int64{100, 100, 100, 100, 100, 100}
	return r
}

func (r *hostRig) gt() *groupTopic { return r.group.topics["t"] }

// tick observes after a span, with the members described and the positions read.
func (r *hostRig) tick(span time.Duration) string {
	r.c.tick++
	r.group.readTick, r.group.membersTick = r.c.tick, r.c.tick
	return r.observe(span)
}

func (r *hostRig) observe(span time.Duration) string {
	r.now = r.now.Add(span)
	counts := r.c.observeHosts(&r.target, r.group, []*topic{r.topic}, r.now, span)
	if counts == nil {
		return "none"
	}
	var all []string
	for host, n := range counts {
		all = append(all, fmt.Sprint(host, " ", n.Records, " ", n.Behind))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func (r *hostRig) move(by ...int64) {
	for p, n := range by {
		r.gt().position[p] += n
	}
}

func TestConsumptionByHost(t *testing.T) {
	const step = 10 * time.Second
	for _, tt := range []struct {
		name string
		do   func(r *hostRig)
		want string
		// next is what the tick after says, at which each partition moves by 1.
		next string
	}{
		{"each its own", func(r *hostRig) { r.move(10, 20, 30, 40, 50, 60) },
			"10.0.0.1 30 true, 10.0.0.2 70 true, fd00::3 110 true", "10.0.0.1 2 true, 10.0.0.2 2 true, fd00::3 2 true"},
		{"nothing done is zero", func(r *hostRig) { r.move(0, 0, 1, 1, 1, 1) },
			"10.0.0.1 0 true, 10.0.0.2 2 true, fd00::3 2 true", "10.0.0.1 2 true, 10.0.0.2 2 true, fd00::3 2 true"},
		{"a partition moves", func(r *hostRig) {
			r.move(10, 20, 30, 40, 50, 60)
			r.group.members[0].topics["t"], r.group.members[1].topics["t"] = []int32{0}, []int32{1, 2, 3}
		}, "10.0.0.1 missing false, 10.0.0.2 missing false, fd00::3 110 true", "10.0.0.1 1 true, 10.0.0.2 3 true, fd00::3 2 true"},
		{"a partition is nobody's", func(r *hostRig) {
			r.move(10, 20, 30, 40, 50, 60)
			r.group.members[0].topics["t"] = []int32{0}
		}, "10.0.0.1 missing false, 10.0.0.2 70 true, fd00::3 110 true", "10.0.0.1 1 true, 10.0.0.2 2 true, fd00::3 2 true"},
		{"a member starts anew on its host", func(r *hostRig) {
			r.move(10, 20, 30, 40, 50, 60)
			r.group.members[0].id = "a2"
		}, "10.0.0.1 missing false, 10.0.0.2 70 true, fd00::3 110 true", "10.0.0.1 2 true, 10.0.0.2 2 true, fd00::3 2 true"},
		{"a member without partitions", func(r *hostRig) {
			r.move(10, 20, 30, 40, 50, 60)
			r.group.members = append(r.group.members, member{id: "d", host: "/10.0.0.4"})
		}, "10.0.0.1 30 true, 10.0.0.2 70 true, 10.0.0.4 missing false, fd00::3 110 true",
			"10.0.0.1 2 true, 10.0.0.2 2 true, 10.0.0.4 missing false, fd00::3 2 true"},
		{"two members on a host", func(r *hostRig) {
			r.move(10, 20, 30, 40, 50, 60)
			r.group.members[1].host = "/10.0.0.1"
		}, "10.0.0.1 100 true, fd00::3 110 true", "10.0.0.1 4 true, fd00::3 2 true"},
		{"a position is not read", func(r *hostRig) {
			r.move(0, 20, 30, 40, 50, 60)
			r.gt().failed = map[int32]int16{0: 3}
		}, "10.0.0.1 missing false, 10.0.0.2 70 true, fd00::3 110 true", "10.0.0.1 missing false, 10.0.0.2 2 true, fd00::3 2 true"},
		{"set back", func(r *hostRig) { r.move(-10, 20, 30, 40, 50, 60) },
			"10.0.0.1 missing false, 10.0.0.2 70 true, fd00::3 110 true", "10.0.0.1 2 true, 10.0.0.2 2 true, fd00::3 2 true"},
		{"retention was faster", func(r *hostRig) {
			r.move(200, 20, 30, 40, 50, 60)
			r.topic.start[0] = 250
		}, "10.0.0.1 70 true, 10.0.0.2 70 true, fd00::3 110 true", "10.0.0.1 2 true, 10.0.0.2 2 true, fd00::3 2 true"},
		{"one caught up", func(r *hostRig) { r.move(900, 20, 30, 40, 50, 60); r.topic.end[0]++ },
			"10.0.0.1 920 true, 10.0.0.2 70 true, fd00::3 110 true", "10.0.0.1 2 false, 10.0.0.2 2 true, fd00::3 2 true"},
		{"too little waits", func(r *hostRig) { r.move(899, 899, 30, 40, 50, 60) },
			"10.0.0.1 1798 false, 10.0.0.2 70 true, fd00::3 110 true", "10.0.0.1 2 false, 10.0.0.2 2 true, fd00::3 2 true"},
		{"an end is not known", func(r *hostRig) { r.move(10, 20, 30, 40, 50, 60); r.topic.end[0] = unknown },
			"10.0.0.1 30 false, 10.0.0.2 70 true, fd00::3 110 true", "10.0.0.1 2 false, 10.0.0.2 2 true, fd00::3 2 true"},
		{"members not known", func(r *hostRig) { r.group.membersProblem = errors.New("no") }, "none", "none"},
		{"a share group's partitions are everybody's", func(r *hostRig) { r.group.kind = typeShare }, "none", "none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newHostRig()
			if got := r.tick(step); got != "none" {
				t.Errorf("first tick: got %s, want none", got)
			}
			tt.do(r)
			if got := r.tick(step); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			r.gt().failed = nil
			r.move(1, 1, 1, 1, 1, 1)
			if got := r.tick(step); got != tt.next {
				t.Errorf("then got  %s\nwant %s", got, tt.next)
			}
		})
	}
}

// TestFirstCommitOfAHost: where a first commit began is not known, and a partition without any has done nothing.
func TestFirstCommitOfAHost(t *testing.T) {
	r := newHostRig()
	r.gt().position[0], r.gt().position[2] = unknown, unknown
	r.tick(time.Second)
	r.gt().position[0] = 50
	r.move(0, 1, 0, 1, 1, 1)
	if got, want := r.tick(time.Second), "10.0.0.1 missing false, 10.0.0.2 1 false, fd00::3 2 true"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestHostsBetweenLooks: members are described less often than positions are read. A count is then for the time since the look
// before, scaled to the tick; positions that could not be read in between begin anew.
func TestHostsBetweenLooks(t *testing.T) {
	const step = 10 * time.Second
	r := newHostRig()
	r.tick(step)
	r.move(10, 10, 20, 20, 30, 30)
	r.c.tick++
	r.group.readTick = r.c.tick
	if got := r.observe(step); got != "none" {
		t.Errorf("without a look: got %s", got)
	}
	r.move(10, 10, 20, 20, 30, 30)
	if got, want := r.tick(step), "10.0.0.1 20 true, 10.0.0.2 40 true, fd00::3 60 true"; got != want {
		t.Errorf("after two ticks: got %s, want %s", got, want)
	}
	r.c.tick++
	r.observe(step) // positions not read
	if got := r.tick(step); got != "none" {
		t.Errorf("after a tick without positions: got %s", got)
	}
}

func TestHostOf(t *testing.T) {
	for text, want := range map[string]string{
		"/10.0.0.3": "10.0.0.3", "10.0.0.3": "10.0.0.3", "node-1/10.0.0.3": "10.0.0.3", "/0:0:0:0:0:0:0:1": "::1",
		"/fe80:0:0:0:1:2:3:4%eth0": "fe80::1:2:3:4", "/::ffff:10.0.0.3": "10.0.0.3",
	} {
		if got, ok := hostOf(text); !ok || got != netip.MustParseAddr(want) {
			t.Errorf("%s: got %v, %v, want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "/", "consumer-1"} {
		if got, ok := hostOf(text); ok {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

// TestNobodyAsksForHosts: a target that does not ask costs and is told nothing.
func TestNobodyAsksForHosts(t *testing.T) {
	f := newFixture(t, 1, map[string]int32{"a": 1})
	f.commit("g", "a", 0, 0)
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
	f.tick(0)
	if got := f.tick(10 * time.Second)[0]; got.Hosts != nil || f.collector.targets[0].hosts.held != nil {
		t.Errorf("got %v", got.Hosts)
	}
}
