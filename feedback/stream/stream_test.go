package stream

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestSEAHasTheSharesOfItsDefinition: the area under f1+f2 = θ in the unit square of side 10 is θ²/200 for θ ≤ 10.
func TestSEAHasTheSharesOfItsDefinition(t *testing.T) {
	const n, noise = 40000, 0.1
	for _, threshold := range Thresholds {
		g := NewSEA(noise, rand.New(rand.NewPCG(1, 2)))
		ones, wrong := 0, 0
		for range n {
			e := g.Next(threshold)
			for _, f := range e.Features {
				if f < 0 || f > 10 {
					t.Fatalf("feature %v", f)
				}
			}
			ones += Class(e.Features, threshold)
			if e.Class != Class(e.Features, threshold) {
				wrong++
			}
		}
		// Four standard deviations of a share over n draws are below 0.01.
		if got, want := float64(ones)/n, threshold*threshold/200; math.Abs(got-want) > 0.01 {
			t.Errorf("threshold %v: share of class 1 is %v, want %v", threshold, got, want)
		}
		if got := float64(wrong) / n; math.Abs(got-noise) > 0.01 {
			t.Errorf("threshold %v: share of wrong labels is %v, want %v", threshold, got, noise)
		}
	}
}

func TestLateGivesBackInOrder(t *testing.T) {
	var l Late[int]
	at := time.Unix(0, 0)
	for i, ms := range []int{30, 10, 20, 10} {
		l.Add(at.Add(time.Duration(ms)*time.Millisecond), i)
	}
	if got := l.Due(at.Add(9 * time.Millisecond)); got != nil {
		t.Errorf("due too early: %v", got)
	}
	if got := l.Due(at.Add(20 * time.Millisecond)); !slices.Equal(got, []int{1, 3, 2}) {
		t.Errorf("got %v, want [1 3 2]", got)
	}
	if l.Len() != 1 {
		t.Errorf("%d left, want 1", l.Len())
	}
}
