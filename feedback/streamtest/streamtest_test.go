package streamtest

import (
	"math"
	"math/rand/v2"
	"testing"
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
