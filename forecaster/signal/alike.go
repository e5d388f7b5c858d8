package signal

import "math"

// Days that are like today say more of what is left of it than yesterday or the typical day do: a Sunday follows last Sunday, a
// calm day a calm one. Each of the latest seven days weighs by how near its values are to those of now at the same time: as the
// inverse square of their mean square difference.

// alikeDays is how many days are compared at most: as many as the week has that is remembered.
const alikeDays = 7

const (
	alikeGain  = 0.1  // of the mean square difference: a memory of ten steps
	alikeFloor = 0.01 // of the squared scale is added to it, so that a day is not all because it is the same by chance
)

// compare learns from the latest value how near each day is, and sets what they say together of now and of each step ahead.
func (s *Signal) compare() {
	if s.known == 0 {
		return
	}
	clear(s.alike)
	clear(s.weight)
	floor := alikeFloor * s.scale * s.scale
	for i := range s.apart {
		ago := (i + 1) * s.day
		if ago >= s.steps {
			break
		}
		s.read(ago)
		if d := s.z - s.then[0]; s.gap == 0 && !math.IsNaN(d) {
			if math.IsNaN(s.apart[i]) {
				s.apart[i] = d * d
			}
			s.apart[i] += alikeGain * (d*d - s.apart[i])
		}
		if math.IsNaN(s.apart[i]) {
			continue
		}
		w := 1 / (s.apart[i] + floor)
		w *= w
		for k, v := range s.then {
			if !math.IsNaN(v) {
				s.alike[k] += w * v
				s.weight[k] += w
			}
		}
	}
	for k, w := range s.weight {
		s.alike[k] /= w // 0/0 where no day knows
		if w == 0 && k >= s.day {
			s.alike[k] = s.alike[k-s.day] // beyond the last of them the day is the same again
		}
	}
}

// Alike returns the value k steps ahead of now (k may be 0) by the days that are like today, or NaN where none of them
// knows.
func (s *Signal) Alike(k int) float64 {
	if len(s.alike) == 0 || s.known == 0 {
		return math.NaN()
	}
	return s.alike[k]
}

// read sets then to the values from `ago` steps before the latest on, NaN where one is not known: Past of each.
func (s *Signal) read(ago int) {
	index := s.steps - 1 - ago
	b, done := index/s.bucket, s.steps/s.bucket
	slot, left := b%len(s.ring), s.bucket-index%s.bucket
	for k := 0; k < len(s.then); {
		value := math.NaN()
		if b >= done-len(s.ring) && b < done {
			value = unpack(s.ring[slot])
		}
		for ; left > 0 && k < len(s.then); left-- {
			s.then[k] = value
			k++
		}
		b, left = b+1, s.bucket
		if slot++; slot == len(s.ring) {
			slot = 0
		}
	}
}
