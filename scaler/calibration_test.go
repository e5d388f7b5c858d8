package scaler

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestRequirementIsTheLargestOverAllSpans(t *testing.T) {
	const seed = 7
	random := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		arrivals := make([]float64, random.IntN(maxPathSteps))
		for i := range arrivals {
			arrivals[i] = math.Exp(4*random.NormFloat64()) * float64(random.IntN(3))
		}
		room := 3 * random.Float64()
		want := 0.0
		for s := range arrivals {
			sum := 0.0
			for k, a := range arrivals[s:] {
				sum += a
				want = max(want, sum/(float64(k+1)+room))
			}
		}
		if got := requirement(arrivals, room); math.Abs(got-want) > 1e-9*want {
			t.Fatalf("seed %d: requirement(%v, %v): got %v, want %v", seed, arrivals, room, got, want)
		}
	}
}
