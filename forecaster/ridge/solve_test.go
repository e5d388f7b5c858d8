package ridge

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestSolveLeavesNoResidual(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, d := range []int{2, 4, FastInputs, Inputs} {
		full, packed := make([][]float64, d), make([]float64, d*(d+1)/2)
		for i := range full {
			full[i] = make([]float64, d)
		}
		for range 2 * d {
			x := make([]float64, d)
			for i := range x {
				x[i] = random.NormFloat64()
			}
			for i := range x {
				for j := range x {
					full[i][j] += x[i] * x[j]
				}
			}
		}
		for i := range full {
			copy(packed[i*(i+1)/2:], full[i][:i+1])
		}
		b, x := make([]float64, d), make([]float64, d)
		for i := range b {
			b[i] = random.NormFloat64()
		}
		copy(x, b)
		if !solve(packed, x, make([]float64, d), make([]float64, d)) {
			t.Fatalf("%d unknowns: the matrix is said not to be positive definite", d)
		}
		for i, row := range full {
			sum := 0.0
			for j, a := range row {
				sum += a * x[j]
			}
			if math.Abs(sum-b[i]) > 1e-9 {
				t.Errorf("%d unknowns: row %d times the solution is %v, want %v", d, i, sum, b[i])
			}
		}
	}
}

func TestSolveRefusesWhatIsNotPositiveDefinite(t *testing.T) {
	for _, a := range [][]float64{
		{0, 0, 1},                               // the first pivot
		{1, 2, 4},                               // singular
		{1, 2, 3},                               // the second pivot
		{1, 0, 1, 0, 0, -1, 0, 0, 0, 1},         // the third
		{math.NaN(), 0, 1},                      //
		{1, 0, 1, 0, 0, 1, 0, 0, math.NaN(), 1}, //
	} {
		d := 2
		if len(a) > 3 {
			d = 4
		}
		if solve(a, make([]float64, d), make([]float64, d), make([]float64, d)) {
			t.Errorf("%v is taken for positive definite", a)
		}
	}
}
