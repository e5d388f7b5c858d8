package signal

// reopen carries the levels over a gap that is ending: by as much as the typical day moved meanwhile.
func (s *Signal) reopen() {
	if s.gap < 2 || len(s.profile) == 0 {
		return
	}
	now := s.slotMean(s.steps)
	if now == 0 || s.lastSlotS == 0 {
		return
	}
	move := now - s.lastSlotS
	s.z = max(0, s.z+move)
	for i := range s.mean {
		s.mean[i] = max(0, s.mean[i]+move)
	}
	for i := range s.lag {
		s.lag[i] = max(0, s.lag[i]+move)
	}
}

// slotMean is the typical day at an absolute step, smoothed over its neighbours; 0 where never seen.
func (s *Signal) slotMean(step int) float64 {
	n := len(s.profile)
	if n == 0 {
		return 0
	}
	w := s.width()
	b := step / s.bucket
	sum, count := 0.0, 0
	for i := b - w; i <= b+w; i++ {
		if p := s.profile[((i%n)+n)%n]; p != 0 {
			sum += unpack(p)
			count++
		}
	}
	if count == 0 {
		return 0
	}
	return sum / float64(count)
}

// width is how many neighbours on each side a bucket of the typical day is smoothed over: five minutes of a day, at least one.
func (s *Signal) width() int { return max(1, len(s.profile)/288) }

// smooth sets shape: the typical day at now and at each step ahead.
func (s *Signal) smooth() {
	if s.steps < s.day || s.day == 0 {
		return
	}
	if s.bucket == 1 {
		n, w := len(s.profile), s.width()
		first := s.steps - 1
		sum, count := 0.0, 0
		lo := ((first-w)%n + n) % n
		hi := lo
		for range 2*w + 1 {
			if p := s.profile[hi]; p != 0 {
				sum += unpack(p)
				count++
			}
			if hi++; hi == n {
				hi = 0
			}
		}
		for k := range s.shape {
			if count > 0 {
				s.shape[k] = sum / float64(count)
			} else {
				s.shape[k] = 0
			}
			if p := s.profile[lo]; p != 0 {
				sum -= unpack(p)
				count--
			}
			if p := s.profile[hi]; p != 0 {
				sum += unpack(p)
				count++
			}
			if lo++; lo == n {
				lo = 0
			}
			if hi++; hi == n {
				hi = 0
			}
		}
		return
	}
	last, value := -1, 0.0
	for k := range s.shape {
		if b := (s.steps - 1 + k) / s.bucket; b != last {
			last, value = b, s.slotMean(s.steps-1+k)
		}
		s.shape[k] = value
	}
}

// Shape returns the typical day k steps ahead of now, and whether it is known.
func (s *Signal) Shape(k int) (float64, bool) {
	if s.day == 0 || s.steps < s.day {
		return 0, false
	}
	v := s.shape[k]
	return v, v != 0
}
