package kafka

// age says how old the record at an offset is.
type age struct {
	seconds float64
	// bound is how far seconds may be off, on either side.
	bound float64
	known bool
}

// moment is what is known of when a record arrived, in Unix nanoseconds: between earliest and latest, most likely at
// likely.
type moment struct {
	earliest, latest, likely int64
	known                    bool
}

// age returns how old a record of that moment is at now.
func (m moment) age(now int64) age {
	if !m.known {
		return age{}
	}
	likely := min(m.likely, now)
	return age{
		seconds: float64(now-likely) / 1e9,
		bound:   float64(max(likely-m.earliest, m.latest-likely, 0)) / 1e9,
		known:   true,
	}
}

// older returns the moment of the older of two records. Which of them it is need not be known: that one came no later than
// either may have come, and no earlier than one of them may.
func (m moment) older(than moment) moment {
	if !m.known || !than.known {
		return moment{}
	}
	return moment{min(m.earliest, than.earliest), min(m.latest, than.latest), min(m.likely, than.likely), true}
}

// bound is how far likely may be off, in nanoseconds.
func (m moment) bound() int64 { return max(m.likely-m.earliest, m.latest-m.likely) }

// recordMoment returns when the record at an offset below the partition's end arrived. It interpolates between the two samples
// that enclose the offset: the record came after the older was read and before the newer was, and where in between is taken as
// if records came evenly. near, where it is of this partition, can stand in for the older sample; where it is of this record
// its time is taken, unless both samples say otherwise: by whose clock a record was stamped, and whether with the time at which
// it was sent, nobody knows.
func (c *Collector) recordMoment(t *topic, p int, offset int64, near *exact) moment {
	var stamped moment
	if near != nil && near.offset == offset && near.known {
		stamped = moment{near.earliest, near.latest, near.likely, true}
	}
	line := c.line
	lower, upper := t.samples.enclose(line, p, offset)
	if upper == len(line.order) {
		return stamped
	}
	high := &line.spans[upper]
	highEnd := t.samples.end(line, p, upper)
	var earliest, from, lowEnd int64
	switch {
	case lower >= 0:
		low := &line.spans[lower]
		if stamped.known && stamped.latest >= low.sent && stamped.earliest <= high.received {
			return stamped
		}
		earliest, from, lowEnd = low.sent, low.middle, t.samples.end(line, p, lower)
	case stamped.known:
		return stamped
	case near != nil && near.known && near.offset <= offset:
		earliest, from, lowEnd = near.earliest, near.likely, near.offset
	default:
		return moment{}
	}
	// The record is the (offset − lowEnd + 1)-th of those that came between the samples.
	share := float64(offset-lowEnd+1) / float64(highEnd-lowEnd+1)
	likely := from + int64(share*float64(high.middle-from))
	return moment{earliest, high.received, likely, true}
}
