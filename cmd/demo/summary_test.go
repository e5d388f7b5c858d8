package main

import (
	"math/rand/v2"
	"testing"
)

func TestPercentileIsNearestRank(t *testing.T) {
	// Of ten values 1 to 10: half of them do not exceed the 5th, 99 % need all ten.
	sorted := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for _, c := range []struct{ p, want float64 }{{0.01, 1}, {0.1, 1}, {0.11, 2}, {0.5, 5}, {0.51, 6}, {0.99, 10}, {1, 10}} {
		if got := percentile(sorted, c.p); got != c.want {
			t.Errorf("p%v: got %v, want %v", c.p, got, c.want)
		}
	}
	if got := percentile([]float64{7}, 0.5); got != 7 {
		t.Errorf("of one value: got %v, want it", got)
	}
}

func TestSideCountsLateRecords(t *testing.T) {
	s := sideSum{name: "x", delays: []float64{31, 1, 30, 2}, replicaSeconds: 7200, unanswered: 1}
	got := s.side(30)
	// 30 s is kept, 31 s is late; two replicas for an hour.
	if got.Records != 4 || got.Late != 1 || *got.InTimeRatio != 0.75 || *got.P50Seconds != 2 || *got.P99Seconds != 31 || got.ReplicaHours != 2 {
		t.Errorf("got %+v (in time %v, p50 %v, p99 %v)", got, *got.InTimeRatio, *got.P50Seconds, *got.P99Seconds)
	}
	empty := (&sideSum{}).side(30)
	if empty.Records != 0 || empty.InTimeRatio != nil || empty.P50Seconds != nil {
		t.Errorf("without records: got %+v, want unknown figures and not zeros", empty)
	}
}

func TestSideAgainstCounting(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		s := sideSum{}
		for range random.IntN(50) + 1 {
			s.delays = append(s.delays, float64(random.IntN(40)))
		}
		late := 0
		for _, d := range s.delays {
			if d > 20 {
				late++
			}
		}
		if got := s.side(20).Late; got != late {
			t.Fatalf("%v: got %d late, want %d", s.delays, got, late)
		}
	}
}
