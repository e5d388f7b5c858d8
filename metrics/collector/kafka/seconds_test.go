package kafka

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// arrivals returns the instants of a day's records, in Unix nanoseconds: bursts and silences, as the seed has it.
func arrivals(random *rand.Rand, from time.Time, span time.Duration) []int64 {
	var all []int64
	on := true
	for at := time.Duration(0); at < span; {
		stretch := time.Duration(random.ExpFloat64() * float64(40*time.Second))
		if on {
			rate := 0.2 + random.ExpFloat64()*20
			for t := at; t < min(at+stretch, span); t += time.Duration(random.ExpFloat64() / rate * 1e9) {
				all = append(all, from.Add(t).UnixNano())
			}
		}
		at += stretch
		on = !on
	}
	slices.Sort(all)
	return all
}

// TestAgesAreWithinTheirBound samples a partition every five seconds under bursts and checks the interpolated ages of
// records at every lag against the true ones: the error may never exceed the bound that is given with it.
func TestAgesAreWithinTheirBound(t *testing.T) {
	var recent []float64
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 5))
		begin := time.Unix(1_700_000_000, 0)
		const span = 3 * time.Hour
		stamps := arrivals(random, begin, span)
		config := DefaultConfig()
		c := &Collector{config: config, line: newTimeline(config.Samples, config.SampleAge)}
		topic := &topic{samples: newSamples(config.Samples, 1)}
		sampled := func(now time.Time) int64 {
			n, _ := slices.BinarySearch(stamps, now.UnixNano())
			return int64(n)
		}
		for now := begin; now.Before(begin.Add(span)); now = now.Add(5 * time.Second) {
			// The offset is read some time between the request and its answer.
			c.line.open(now)
			c.line.close(now.Add(40 * time.Millisecond))
			end := sampled(now.Add(time.Duration(random.IntN(40)) * time.Millisecond))
			if random.IntN(20) == 0 {
				topic.samples.record(c.line, 0, unknown)
				continue
			}
			topic.samples.record(c.line, 0, end)
			if end == 0 {
				continue
			}
			for range 3 {
				offset := end - 1 - int64(math.Min(float64(end-1), random.ExpFloat64()*300))
				got := c.recordMoment(topic, 0, offset, nil).age(now.UnixNano())
				if !got.known {
					continue // older than the first sample
				}
				right := float64(now.UnixNano()-stamps[offset]) / 1e9
				if diff := math.Abs(got.seconds - max(right, 0)); diff > got.bound+1e-6 {
					t.Fatalf("seed %d: offset %d: got %.3f s ± %.3f, want %.3f", seed, offset, got.seconds, got.bound, right)
				} else if right < 60 {
					recent = append(recent, diff)
				}
			}
		}
	}
	slices.Sort(recent)
	if n := len(recent); n < 1000 {
		t.Fatalf("only %d ages were checked", n)
	} else if p50, p95 := recent[n/2], recent[n*95/100]; p50 > 1 || p95 > 4 {
		t.Errorf("error of ages under a minute: median %.2f s, p95 %.2f s", p50, p95)
	} else {
		t.Logf("error of ages under a minute: median %.2f s, p95 %.2f s", p50, p95)
	}
}
