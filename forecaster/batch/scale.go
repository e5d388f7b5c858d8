package batch

import "math"

// scale is a way to look at the values: as they are, or, where none is negative, by root or logarithm.
type scale struct{ to, from func(float64) float64 }

func (c scale) forward(y []float64) []float64  { return apply(y, c.to) }
func (c scale) backward(z []float64) []float64 { return apply(z, c.from) }

func apply(y []float64, f func(float64) float64) []float64 {
	if y == nil {
		return nil
	}
	out := make([]float64, len(y))
	for i, v := range y {
		out[i] = f(v)
	}
	return out
}

func scales(y []float64) []scale {
	same := func(v float64) float64 { return v }
	out := []scale{{same, same}}
	lowest := math.Inf(1)
	for _, v := range y {
		lowest = min(lowest, v)
	}
	if lowest >= 0 {
		out = append(out, scale{math.Sqrt, func(z float64) float64 { return max(0, z) * max(0, z) }})
	}
	if lowest > 0.01 {
		out = append(out, scale{math.Log, func(z float64) float64 { return math.Exp(min(z, 20)) }})
	}
	return out
}
