package main

import (
	"math"
	"math/rand/v2"
)

// tolerance is how far the share of n windows may be from tau: two points or twice the standard error, whichever is larger.
func tolerance(tau float64, n int) float64 { return max(0.02, 2*math.Sqrt(tau*(1-tau)/float64(n))) }

// exact returns the share of series of independent noise on which their exact quantiles are inside the tolerance at these origins, in
// every level above the median, per step and of the maximum over horizon steps. It is less than one, since the standard error is that
// of independent windows, and windows of neighbouring origins share most of their outcomes. The noise is uniform: the distribution
// does not matter to a share.
func exact(origins []int, horizon int) float64 {
	const series = 1000
	random := rand.New(rand.NewPCG(1, 1))
	first, last := origins[0], origins[len(origins)-1]
	noise := make([]float64, last-first+horizon+1)
	inside := 0
	for range series {
		for i := range noise {
			noise[i] = random.Float64()
		}
		var cover, peakCover [4]int
		for _, o := range origins {
			peak := 0.0
			for _, y := range noise[o-first+1:][:horizon] {
				peak = max(peak, y)
				for l, tau := range levels {
					if y <= tau {
						cover[l]++
					}
				}
			}
			for l, tau := range levels {
				if math.Pow(peak, float64(horizon)) <= tau {
					peakCover[l]++
				}
			}
		}
		good := true
		n := len(origins)
		for l := 1; l < len(levels); l++ {
			off := max(math.Abs(float64(cover[l])/float64(n*horizon)-levels[l]), math.Abs(float64(peakCover[l])/float64(n)-levels[l]))
			good = good && off <= tolerance(levels[l], n)
		}
		if good {
			inside++
		}
	}
	return float64(inside) / series
}
