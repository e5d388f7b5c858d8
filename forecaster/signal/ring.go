package signal

import "math"

// remember adds a step to the bucket that is open.
func (s *Signal) remember(z float64, missing bool) {
	if len(s.ring) == 0 {
		return
	}
	if !missing {
		s.sum += z
		s.count++
		if at := s.slotMean(s.steps); at != 0 {
			s.lastSlotS = at
		}
	}
}

// bucketEnds reports whether the step that was just taken is the last of its bucket.
func (s *Signal) bucketEnds() bool { return len(s.ring) > 0 && s.steps%s.bucket == 0 }

// close ends a bucket: its mean goes into the ring and moves the typical day.
func (s *Signal) close() {
	b := s.steps/s.bucket - 1
	slot := &s.ring[b%len(s.ring)]
	*slot = 0
	if s.count > 0 {
		mean := s.sum / float64(s.count)
		*slot = pack(mean)
		if len(s.profile) > 0 {
			p := &s.profile[b%len(s.profile)]
			if *p == 0 {
				*p = pack(mean)
			} else {
				typical := unpack(*p)
				*p = pack(typical + 0.25*(mean-typical))
			}
		}
	}
	s.sum, s.count = 0, 0
}

// Past returns the value `ago` steps before the latest, or NaN where it is not known; ago may be negative no further than
// the bucket allows: the caller asks for past steps only.
func (s *Signal) Past(ago int) float64 {
	if len(s.ring) == 0 {
		return math.NaN()
	}
	index := s.steps - 1 - ago
	if index < 0 {
		return math.NaN()
	}
	b, done := index/s.bucket, s.steps/s.bucket
	if b >= done || b < done-len(s.ring) {
		return math.NaN()
	}
	return unpack(s.ring[b%len(s.ring)])
}
