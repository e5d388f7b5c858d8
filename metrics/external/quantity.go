package external

import (
	"math"

	"k8s.io/apimachinery/pkg/api/resource"
)

// quantity converts at the edge: x rounded to a millionth, or to one above 1e12 where an int64 no longer holds millionths.
// It reports false for what is not a number that can be written.
func quantity(x float64) (resource.Quantity, bool) {
	switch {
	case math.IsNaN(x) || math.Abs(x) >= 1<<63:
		return resource.Quantity{}, false
	case math.Abs(x) < 1e12:
		return *resource.NewScaledQuantity(int64(math.Round(x*1e6)), resource.Micro), true
	default:
		return *resource.NewQuantity(int64(math.Round(x)), resource.DecimalSI), true
	}
}
