package kafka

import "time"

// timeline says when the samples were taken. All partitions of a cluster are sampled together, so there is one timeline
// for all of them and each partition keeps offsets only.
//
// A sample lives in a physical slot for its whole life; order lists the slots from the oldest to the newest. When every
// slot is taken, the sample that is missed least gives up its slot: nothing is ever copied.
type timeline struct {
	slots int
	age   time.Duration
	order []int
	// sent and received enclose the instants at which the brokers read the offsets, in Unix nanoseconds, by slot.
	sent, received []int64
	// spans is the same by place in the order, for those who look up many records; arrange keeps it so.
	spans []span
}

// span is the instants that enclose the reading of one sample, and the one that it is taken to be of.
type span struct{ sent, received, middle int64 }

// arrange fills in spans after a change.
func (t *timeline) arrange() {
	t.spans = t.spans[:0]
	for _, slot := range t.order {
		t.spans = append(t.spans, span{t.sent[slot], t.received[slot], t.middle(slot)})
	}
}

func newTimeline(slots int, age time.Duration) *timeline {
	return &timeline{slots: slots, age: age, sent: make([]int64, slots), received: make([]int64, slots)}
}

// open returns the slot for a new sample begun at sent, which it appends to the order. Times must not go back: a sample
// older than the newest is taken as old as that one.
func (t *timeline) open(sent time.Time) int {
	at := sent.UnixNano()
	if n := len(t.order); n > 0 {
		at = max(at, t.received[t.order[n-1]])
	}
	for len(t.order) > 0 && at-t.received[t.order[0]] > int64(t.age) {
		t.order = append(t.order[:0], t.order[1:]...)
	}
	var slot int
	if len(t.order) < t.slots {
		slot = t.free()
	} else {
		victim := t.leastMissed(at)
		slot = t.order[victim]
		t.order = append(t.order[:victim], t.order[victim+1:]...)
	}
	t.order = append(t.order, slot)
	t.sent[slot], t.received[slot] = at, at
	t.arrange()
	return slot
}

// close notes when the last answer of the newest sample came.
func (t *timeline) close(received time.Time) {
	slot := t.order[len(t.order)-1]
	t.received[slot] = max(t.sent[slot], received.UnixNano())
	t.arrange()
}

// free returns a slot that is not in the order.
func (t *timeline) free() int {
	taken := make([]bool, t.slots)
	for _, slot := range t.order {
		taken[slot] = true
	}
	for slot, is := range taken {
		if !is {
			return slot
		}
	}
	panic("no free slot")
}

// leastMissed returns the place in the order of the sample, among those before the newest recentSamples and after the
// oldest, whose removal leaves the gap that is smallest relative to its age. That keeps the relative error of an
// interpolated age the same at every age.
func (t *timeline) leastMissed(now int64) int {
	best, least := 1, -1.0
	for i := 1; i < len(t.order)-recentSamples; i++ {
		gap := float64(t.sent[t.order[i+1]] - t.received[t.order[i-1]])
		age := float64(now - t.sent[t.order[i]] + 1)
		if missed := gap / age; least < 0 || missed < least {
			best, least = i, missed
		}
	}
	return best
}

// middle returns the instant, in Unix nanoseconds, that a slot's sample is taken to be of.
func (t *timeline) middle(slot int) int64 { return t.sent[slot] + (t.received[slot]-t.sent[slot])/2 }

// past puts samples of the given ages (rising) before the only one there is, as far as age and slots allow.
func (t *timeline) past(ages []time.Duration) {
	newest := t.order[0]
	order := []int{newest}
	for _, age := range ages {
		if age >= t.age || len(order) >= t.slots-recentSamples {
			break
		}
		t.order = order
		slot := t.free()
		t.sent[slot] = t.sent[newest] - int64(age)
		t.received[slot] = t.sent[slot]
		order = append([]int{slot}, order...)
	}
	t.order = order
	t.arrange()
}
