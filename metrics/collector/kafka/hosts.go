package kafka

import (
	"net/netip"
	"strings"
	"time"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// busySeconds is how many seconds of what a host does must wait for it, at both ends of a span, for it to have had work
// throughout.
const busySeconds = 2.0

// hostBase is who had which partition, and how far they were, when the members were last looked at; at is zero before that.
type hostBase struct {
	at   time.Time
	held map[*groupTopic][]holding // by partition
}

// holding is one partition with the member that has it, "" where none does.
type holding struct {
	member   string
	host     netip.Addr
	position int64 // unknown where nothing is committed
	lag      int64 // unknown where it is
	failed   bool  // the position could not be read
}

// hostOf returns the address of a client host, which brokers write as "/10.0.0.3" or "name/10.0.0.3", IPv6 in full and maybe with
// a zone.
func hostOf(text string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(text[strings.LastIndexByte(text, '/')+1:])
	return address.WithZone("").Unmap(), err == nil
}

// observeHosts returns what each member host consumed since the members were last looked at, scaled to the observation's interval;
// nil where that is known of none. A partition that has changed its member since then leaves both hosts' counts missing.
func (c *Collector) observeHosts(t *target, g *group, topics []*topic, now time.Time,
	interval time.Duration) map[netip.Addr]collector.HostCount {
	if g.readTick != c.tick || g.membersProblem != nil || g.kind == typeShare {
		t.hosts = hostBase{}
		return nil
	}
	if g.membersTick != c.tick {
		return nil // The next look counts from the one before.
	}
	before := t.hosts
	t.hosts = hostBase{at: now, held: c.holdings(g, topics, t.ReadCommitted)}
	span := between(before.at, now)
	if before.at.IsZero() || span <= 0 || interval <= 0 {
		return nil
	}
	tallies := map[netip.Addr]*hostTally{}
	for i := range g.members {
		if host, ok := hostOf(g.members[i].host); ok {
			tallies[host] = &hostTally{}
		}
	}
	for gt, held := range t.hosts.held {
		for p := range held {
			var was holding
			if p < len(before.held[gt]) {
				was = before.held[gt][p]
			}
			tally(tallies, &was, &held[p], gt.startOf(p))
		}
	}
	counts := make(map[netip.Addr]collector.HostCount, len(tallies))
	for host, one := range tallies {
		counts[host] = one.count(span, interval)
	}
	return counts
}

// tally counts a partition whose log starts at start for the host that had it at both ends. Of two that it moved between nothing is known.
func tally(hosts map[netip.Addr]*hostTally, was, is *holding, start int64) {
	if was.member == is.member {
		if one := hosts[is.host]; one != nil {
			one.add(was, is, start)
		}
		return
	}
	for _, host := range []netip.Addr{was.host, is.host} {
		if one := hosts[host]; one != nil {
			one.unknown = true
		}
	}
}

// holdings says who has the partitions of the topics now.
func (c *Collector) holdings(g *group, topics []*topic, committed bool) map[*groupTopic][]holding {
	all := make(map[*groupTopic][]holding, len(topics))
	for _, topic := range topics {
		gt := g.inTopic(topic)
		held := make([]holding, topic.partitions())
		for p := range held {
			h := holding{position: unknown, lag: unknown}
			if p < len(gt.position) {
				h.position = gt.position[p]
			}
			_, h.failed = gt.failed[int32(p)]
			if end := topic.readable(p, committed); h.position >= 0 && end >= 0 {
				h.lag = max(0, end-h.position)
			}
			held[p] = h
		}
		all[gt] = held
		for i := range g.members {
			m := &g.members[i]
			host, _ := hostOf(m.host)
			for _, p := range m.topics[topic.name] {
				if int(p) < len(held) {
					held[p].member, held[p].host = m.id, host
				}
			}
		}
	}
	return all
}

// startOf returns where a partition's log starts, unknown where that is not known.
func (gt *groupTopic) startOf(p int) int64 {
	if p < len(gt.topic.start) {
		return gt.topic.start[p]
	}
	return unknown
}

// hostTally gathers what one host did.
type hostTally struct {
	partitions        int
	records           int64
	lagBefore, lagNow int64
	unknown           bool
	caughtUp          bool // at one end nothing waited in a partition, or it is not known
}

// add counts a partition that the host had at both ends.
func (h *hostTally) add(was, is *holding, start int64) {
	h.partitions++
	switch {
	case was.failed || is.failed, is.position < was.position, was.position < 0 && is.position >= 0:
		h.unknown = true // not read, set back, or a first commit: where that began is not known
		return
	case was.position >= 0:
		from := was.position
		if start > from {
			from = min(start, is.position) // retention was faster
		}
		h.records += is.position - from
	}
	h.caughtUp = h.caughtUp || was.lag <= 0 || is.lag <= 0
	h.lagBefore += max(0, was.lag)
	h.lagNow += max(0, is.lag)
}

func (h *hostTally) count(span, interval time.Duration) collector.HostCount {
	if h.unknown || h.partitions == 0 {
		return collector.HostCount{}
	}
	rate := float64(h.records) / span.Seconds()
	return collector.HostCount{
		Records: series.Of(rate * interval.Seconds()),
		Behind:  !h.caughtUp && float64(min(h.lagBefore, h.lagNow)) > busySeconds*rate,
	}
}
