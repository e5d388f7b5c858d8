package kafka

import (
	"math/rand/v2"
	"testing"
	"time"
)

// slowSamples is the obvious way to keep what samples keeps: every offset with its time.
type slowSamples struct{ ends map[int]int64 } // by slot

// TestSamplesAgainstSlow compares with the obvious version over random histories: ends that stand, creep, leap and are not
// read, and offsets anywhere.
func TestSamplesAgainstSlow(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		line := newTimeline(24, time.Hour)
		s := newSamples(24, 2)
		slow := slowSamples{map[int]int64{}}
		now, end := time.Unix(1_000_000, 0), random.Int64N(1000)
		for range 120 {
			now = now.Add(time.Duration(1+random.IntN(60)) * time.Second)
			slot := line.open(now)
			line.close(now.Add(time.Duration(random.IntN(1000)) * time.Millisecond))
			delete(slow.ends, slot)
			switch random.IntN(10) {
			case 0:
				s.record(line, 1, unknown)
				continue
			case 1:
				end += random.Int64N(1 << 33)
			case 2:
			default:
				end += random.Int64N(50)
			}
			slow.ends[slot] = end
			s.record(line, 1, end)
			for range 5 {
				offset := end - random.Int64N(200)
				compareEnclosing(t, seed, line, s, slow, offset)
			}
		}
	}
}

// compareEnclosing checks one offset. A sample that the compact store no longer knows (2³¹ records or more behind) may
// make its lower end missing, never wrong.
func compareEnclosing(t *testing.T, seed uint64, line *timeline, s *samples, slow slowSamples, offset int64) {
	t.Helper()
	wantLower, wantUpper := -1, len(line.order)
	for place, slot := range line.order {
		end, ok := slow.ends[slot]
		switch {
		case !ok:
		case end <= offset:
			wantLower = place
		case wantUpper == len(line.order):
			wantUpper = place
		}
	}
	lower, upper := s.enclose(line, 1, offset)
	if upper != wantUpper {
		t.Fatalf("seed %d: offset %d: upper: got %d, want %d", seed, offset, upper, wantUpper)
	}
	if lower != wantLower {
		newest := slow.ends[line.order[len(line.order)-1]]
		if lower < 0 && wantLower >= 0 && newest-slow.ends[line.order[wantLower]] >= maxDistance/2 {
			return
		}
		t.Fatalf("seed %d: offset %d: lower: got %d, want %d", seed, offset, lower, wantLower)
	}
	if lower >= 0 && s.end(line, 1, lower) != slow.ends[line.order[lower]] {
		t.Fatalf("seed %d: end at %d: got %d, want %d", seed, lower, s.end(line, 1, lower), slow.ends[line.order[lower]])
	}
	if upper < len(line.order) && s.end(line, 1, upper) != slow.ends[line.order[upper]] {
		t.Fatalf("seed %d: end at %d: got %d, want %d", seed, upper, s.end(line, 1, upper), slow.ends[line.order[upper]])
	}
}

func TestSeedsFillThePast(t *testing.T) {
	line := newTimeline(40, 24*time.Hour)
	now := time.Unix(1_000_000, 0)
	line.open(now)
	s := newSamples(40, 1)
	s.record(line, 0, 1000)
	line.past(seedAges)
	if n := len(line.order); n != 1+len(seedAges) {
		t.Fatalf("places: got %d, want %d", n, 1+len(seedAges))
	}
	// 50 records at each age but the oldest two, newest first: 950 at the youngest age and so on down.
	for place := len(line.order) - 2; place >= 2; place-- {
		s.seed(line, 0, place, int64(1000-50*(len(line.order)-1-place)))
	}
	lower, upper := s.enclose(line, 0, 975)
	if lower != len(line.order)-2 || upper != len(line.order)-1 {
		t.Errorf("975: got %d to %d", lower, upper)
	}
	if lower, upper = s.enclose(line, 0, 475); s.end(line, 0, lower) != 450 || s.end(line, 0, upper) != 500 {
		t.Errorf("475: got between %d and %d, want 450 and 500", s.end(line, 0, lower), s.end(line, 0, upper))
	}
	if lower, _ = s.enclose(line, 0, -50+0); lower != -1 {
		t.Errorf("before all: got lower %d, want none", lower)
	}
}

// TestTimelineKeepsRelativeResolution fills a day and looks that the newest samples are consecutive ticks and that the gap
// between older ones stays a bounded fraction of their age.
func TestTimelineKeepsRelativeResolution(t *testing.T) {
	line := newTimeline(40, 24*time.Hour)
	now := time.Unix(1_000_000, 0)
	const step = 5 * time.Second
	for range 20_000 { // 27 hours
		now = now.Add(step)
		line.open(now)
	}
	newest := line.sent[line.order[len(line.order)-1]]
	worst := 0.0
	for i := 1; i < len(line.order); i++ {
		gap := time.Duration(line.sent[line.order[i]] - line.sent[line.order[i-1]])
		if gap <= 0 {
			t.Fatalf("samples %d and %d are out of order", i-1, i)
		}
		age := time.Duration(newest - line.sent[line.order[i-1]])
		if i >= len(line.order)-recentSamples+1 && gap != step {
			t.Errorf("gap %v among the newest samples, want %v", gap, step)
		}
		if age > time.Minute {
			worst = max(worst, gap.Seconds()/age.Seconds())
		}
	}
	if worst > 0.45 {
		t.Errorf("the widest gap is %.2f of its age", worst)
	}
	if age := time.Duration(newest - line.sent[line.order[0]]); age < 12*time.Hour {
		t.Errorf("the oldest sample is %v old", age)
	}
}
