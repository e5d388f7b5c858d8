package kafka

import (
	"time"
)

// age says how old the record at an offset is.
type age struct {
	seconds float64
	// bound is how far seconds may be off, on either side.
	bound float64
	known bool
}

// span of an age, where the record arrived between two instants in Unix nanoseconds and most likely at the third.
func between(now time.Time, earliest, latest, likely int64) age {
	n := now.UnixNano()
	likely = min(likely, n)
	return age{
		seconds: float64(n-likely) / 1e9,
		bound:   float64(max(likely-earliest, latest-likely, 0)) / 1e9,
		known:   true,
	}
}

// recordAge returns the age at now of the record at an offset below the partition's end. It interpolates between the
// two samples that enclose the offset: the record came after the older was read and before the newer was, and where in
// between is taken as if records came evenly. near, where it is of this partition, can stand in for the older sample.
func (c *Collector) recordAge(t *topic, p int, offset int64, near *exact, now time.Time) age {
	if near != nil && near.offset == offset && near.known {
		return between(now, near.earliest, near.latest, near.likely)
	}
	lower, upper := t.samples.enclose(c.line, p, offset)
	if upper == len(c.line.order) {
		return age{}
	}
	high := c.line.order[upper]
	highEnd := t.samples.end(c.line, p, upper)
	var earliest, from, lowEnd int64
	switch {
	case lower >= 0:
		low := c.line.order[lower]
		earliest, from, lowEnd = c.line.sent[low], c.line.middle(low), t.samples.end(c.line, p, lower)
	case near != nil && near.known && near.offset <= offset:
		earliest, from, lowEnd = near.earliest, near.likely, near.offset
	default:
		return age{}
	}
	to := c.line.middle(high)
	// The record is the (offset − lowEnd + 1)-th of those that came between the samples.
	share := float64(offset-lowEnd+1) / float64(highEnd-lowEnd+1)
	likely := from + int64(share*float64(to-from))
	return between(now, earliest, c.line.received[high], likely)
}
