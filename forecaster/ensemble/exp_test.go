package ensemble

import (
	"math"
	"testing"
)

func TestExpAgreesWithTheLibrary(t *testing.T) {
	for x := -50.0; x <= 50; x += 0.00137 {
		if got, want := exp(x), math.Exp(x); math.Abs(got/want-1) > 1e-8 {
			t.Fatalf("exp(%v) = %v, want %v", x, got, want)
		}
	}
	for _, x := range []float64{-1e9, math.Inf(-1), math.NaN()} {
		if got := exp(x); math.Abs(got/math.Exp(-50)-1) > 1e-8 {
			t.Errorf("exp(%v) = %v, want that of -50", x, got)
		}
	}
	if got := exp(1e300); math.Abs(got/math.Exp(50)-1) > 1e-8 {
		t.Errorf("exp(1e300) = %v, want that of 50", got)
	}
}
