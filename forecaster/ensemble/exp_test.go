package ensemble

import (
	"math"
	"testing"
)

func TestExpAgreesWithTheLibrary(t *testing.T) {
	check := func(x float32, want float64) {
		if got := float64(exp(x)); !(math.Abs(got/want-1) < 1e-5) {
			t.Fatalf("exp(%v) = %v, want %v", x, got, want)
		}
	}
	for x := float32(-50); x <= 50; x += 0.00137 {
		check(x, math.Exp(float64(x)))
	}
	for _, x := range []float64{-1e9, math.Inf(-1), math.NaN()} {
		check(float32(x), math.Exp(-50))
	}
	check(1e30, math.Exp(50))
}
