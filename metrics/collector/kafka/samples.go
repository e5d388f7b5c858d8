package kafka

// samples keeps the end offsets of one topic's partitions at the times of a timeline, four bytes a sample: the distance
// from a base that is the partition's own. The low bit of a cell says that the offset was not read at that time; the
// distance is then that of the sample before, so that a row never decreases from old to new.
type samples struct {
	slots int
	base  []int64
	cells []uint32 // row-major: partition × slot
}

const (
	carried     = 1
	maxDistance = 1<<31 - 1
)

func newSamples(slots, partitions int) *samples {
	s := &samples{slots: slots}
	s.grow(partitions)
	return s
}

// grow makes room for more partitions, whose samples up to now were not read.
func (s *samples) grow(partitions int) {
	for p := len(s.base); p < partitions; p++ {
		s.base = append(s.base, -1)
	}
	cells := make([]uint32, partitions*s.slots)
	for i := copy(cells, s.cells); i < len(cells); i++ {
		cells[i] = carried
	}
	s.cells = cells
}

func (s *samples) row(p int) []uint32 { return s.cells[p*s.slots : (p+1)*s.slots] }

// record stores a partition's end at the newest sample of t; end < 0 means that it was not read. An end below the
// newest known one (the log was cut) forgets all that was known.
func (s *samples) record(t *timeline, p int, end int64) {
	row := s.row(p)
	slot := t.order[len(t.order)-1]
	previous := uint32(carried)
	if n := len(t.order); n > 1 {
		previous = row[t.order[n-2]]
	}
	if end < 0 {
		row[slot] = previous | carried
		return
	}
	if s.base[p] < 0 || end < s.base[p]+int64(previous>>1) {
		s.forget(p, end)
	}
	if end-s.base[p] > maxDistance {
		s.rebase(t, p, end)
	}
	row[slot] = uint32(end-s.base[p]) << 1
}

// forget drops what is known of a partition and starts at end.
func (s *samples) forget(p int, end int64) {
	row := s.row(p)
	for i := range row {
		row[i] = carried
	}
	s.base[p] = end
}

// rebase moves a partition's base up to the oldest known sample, or, if that is not enough, to where end still fits;
// samples below the base count as not read.
func (s *samples) rebase(t *timeline, p int, end int64) {
	row := s.row(p)
	base := end
	for _, slot := range t.order[:len(t.order)-1] {
		if row[slot]&carried == 0 {
			base = s.base[p] + int64(row[slot]>>1)
			break
		}
	}
	if end-base > maxDistance {
		base = end - maxDistance
	}
	shift := base - s.base[p]
	for _, slot := range t.order[:len(t.order)-1] {
		if distance := int64(row[slot] >> 1); distance < shift {
			row[slot] = carried
		} else {
			row[slot] = uint32(distance-shift)<<1 | row[slot]&carried
		}
	}
	s.base[p] = base
}

// seed stores an end for a sample older than the oldest known one, given by its place in the order; for any other place it
// does nothing. An end above the oldest known one is lowered to it, so that the row does not decrease.
func (s *samples) seed(t *timeline, p, place int, end int64) {
	row := s.row(p)
	first := 0
	for first < len(t.order) && row[t.order[first]]&carried != 0 {
		first++
	}
	if first == len(t.order) || place >= first {
		return
	}
	end = min(end, s.base[p]+int64(row[t.order[first]]>>1))
	if shift := s.base[p] - end; shift > 0 {
		newest := row[t.order[len(t.order)-1]] >> 1
		if int64(newest)+shift > maxDistance {
			return
		}
		for _, slot := range t.order[first:] {
			row[slot] += uint32(shift) << 1
		}
		s.base[p] = end
	}
	distance := uint32(end - s.base[p])
	row[t.order[place]] = distance << 1
	for _, slot := range t.order[place+1 : first] {
		row[slot] = distance<<1 | carried
	}
}

// enclose returns the places in the order of the two samples between which the record at offset arrived: lower is the
// newest known sample whose end is at or before offset, -1 where there is none, and upper the next known one, whose end
// is past offset, len(order) where there is none.
func (s *samples) enclose(t *timeline, p int, offset int64) (lower, upper int) {
	n := len(t.order)
	if s.base[p] < 0 {
		return -1, n
	}
	row, order := s.row(p), t.order
	distance := offset - s.base[p]
	// Most groups are close behind: gallop back from the newest sample, then halve.
	lo, hi := 0, n // row[lo-1] <= distance < row[hi]
	for step := 1; ; step *= 2 {
		at := n - step
		if at < 0 {
			break
		}
		if int64(row[order[at]]>>1) <= distance {
			lo = at + 1
			break
		}
		hi = at
	}
	for lo < hi {
		middle := (lo + hi) / 2
		if int64(row[order[middle]]>>1) <= distance {
			lo = middle + 1
		} else {
			hi = middle
		}
	}
	lower, upper = lo-1, lo
	for lower >= 0 && row[order[lower]]&carried != 0 {
		lower--
	}
	// Only cells before the first known one are both carried and past offset.
	for upper < n && row[order[upper]]&carried != 0 {
		upper++
	}
	return lower, upper
}

// end returns the end offset at a place in the order, which must be one that enclose returned.
func (s *samples) end(t *timeline, p, place int) int64 {
	return s.base[p] + int64(s.row(p)[t.order[place]]>>1)
}
