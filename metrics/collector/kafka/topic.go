package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// unknown stands for an offset that is not known; it never leaves this package as a number.
const unknown int64 = -1

// topic is what the collector keeps of one topic. The slices are by partition.
type topic struct {
	name string
	id   [16]byte
	// problem is why the cluster gives no partitions for it; nil when it does.
	problem error
	// gone is set when the topic was deleted or replaced by another of the same name.
	gone bool

	leader []int32
	start  []int64
	end    []int64
	// stable is the last stable offset, nil unless a target reads committed records only.
	stable []int64
	// fault is why end (or stable) is unknown at this tick.
	fault   []fault
	samples *samples

	// complete says that at this tick every end is known and none went back.
	complete bool
	// counted is the ends at countedTick, the latest complete tick, and countedSum their sum; arrived the records appended between the
	// first complete tick and that one, and lastArrived those of the latest step alone, from countedTick's predecessor.
	counted       []int64
	countedSum    int64
	lastArrived   []int64
	countedTick   int
	cutTick       int // the latest tick at which an end was behind counted
	previousTick  int
	countedAt     time.Time
	stepSeconds   float64 // between the two ticks that lastArrived lies between, 0 when not known
	arrived       int64
	fresh         bool // created while we watched: what it holds arrived since
	wantStable    bool
	seeded        bool
	problemLogged string
}

func (t *topic) partitions() int { return len(t.leader) }

// grow makes room for n partitions.
func (t *topic) grow(n, slots int) {
	for p := len(t.leader); p < n; p++ {
		t.leader = append(t.leader, -1)
		t.start = append(t.start, unknown)
		t.end = append(t.end, unknown)
		t.fault = append(t.fault, faultNotAsked)
	}
	if t.samples == nil {
		t.samples = newSamples(slots, n)
	} else if n > len(t.samples.base) {
		t.samples.grow(n)
	}
}

// readable returns the end that a consumer of the given isolation can reach, unknown where it is.
func (t *topic) readable(p int, committed bool) int64 {
	if !committed {
		return t.end[p]
	}
	if t.stable == nil {
		return unknown
	}
	return t.stable[p]
}

// beginTick forgets the ends, which each tick reads anew.
func (t *topic) beginTick() {
	for p := range t.end {
		t.end[p] = unknown
		t.fault[p] = faultNotAsked
	}
	t.beginStable()
}

// beginStable forgets the last stable offsets, where they are wanted.
func (t *topic) beginStable() {
	if !t.wantStable {
		t.stable = nil
		return
	}
	if len(t.stable) != len(t.end) {
		t.stable = make([]int64, len(t.end))
	}
	for p := range t.stable {
		t.stable[p] = unknown
	}
}

// endTick takes the ends into the samples and the counts. Call it once a tick, whether or not the ends were read.
func (t *topic) endTick(line *timeline, tick int, now time.Time) {
	t.stepSeconds = 0
	t.complete = len(t.end) > 0 && t.problem == nil
	back := false
	sum := int64(0)
	for p, end := range t.end {
		t.samples.record(line, p, end)
		sum += end
		switch {
		case end < 0:
			t.complete = false
		case p < len(t.counted) && end < t.counted[p]:
			back = true
		}
	}
	if !t.complete {
		return
	}
	known := t.counted != nil
	t.countedSum = sum
	if back {
		t.cutTick = tick
	}
	if back || !known && !t.fresh {
		// The log was cut, or this is where counting begins: take the ends as the new base.
		t.complete = known && !back
		t.counted = append(t.counted[:0], t.end...)
		t.lastArrived = nil
		t.previousTick, t.countedTick, t.countedAt = 0, tick, now
		return
	}
	if len(t.lastArrived) != len(t.end) {
		t.lastArrived = make([]int64, len(t.end))
	}
	for p, end := range t.end {
		before := int64(0) // a partition that came up while we watched began empty
		if p < len(t.counted) {
			before = t.counted[p]
		} else if t.start[p] > 0 {
			before = t.start[p]
		}
		t.lastArrived[p] = end - before
		t.arrived += end - before
	}
	t.counted = append(t.counted[:0], t.end...)
	if !t.countedAt.IsZero() {
		t.stepSeconds = between(t.countedAt, now).Seconds()
	}
	t.previousTick, t.countedTick, t.countedAt = t.countedTick, tick, now
	t.fresh = false
}

// fault says why a partition's end is not known at a tick: a Kafka error code, or one of the negative codes below.
type fault int16

const (
	faultNone fault = 0
	// faultNotAsked: no broker leads the partition, or the round of requests did not get to it.
	faultNotAsked fault = -100
	// faultUnreachable: the leader did not answer.
	faultUnreachable fault = -101
)

func (f fault) String() string {
	switch f {
	case faultNone:
		return ""
	case faultNotAsked:
		return "it has no leader"
	case faultUnreachable:
		return "its leader does not answer"
	}
	return errorText(int16(f))
}

// errorText returns Kafka's name for an error code and what it means.
func errorText(code int16) string {
	if e := kerr.TypedErrorForCode(code); e != nil {
		return e.Message + " (" + e.Description + ")"
	}
	return ""
}
