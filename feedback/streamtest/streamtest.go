// Package streamtest draws labelled examples whose meaning drifts, for the tests of packages that learn from them.
//
// The concepts are those of SEA: W. N. Street and Y. Kim, "A streaming ensemble algorithm (SEA) for large-scale
// classification", KDD 2001, section 4.1. Three features are uniform in [0, 10]; an example is of class 1 when the sum of
// the first two is at most the concept's threshold; the third feature says nothing; some labels are wrong.
package streamtest

import "math/rand/v2"

// Inputs and Classes are the shape of an example.
const (
	Inputs  = 3
	Classes = 2
)

// Thresholds of the paper's four concepts, in its order.
var Thresholds = [...]float64{8, 9, 7, 9.5}

// Wide is a pair of the paper's thresholds that are furthest apart: changing from the first to the second turns
// (9.5² - 7²)/200 = 20.6 % of the labels.
var Wide = [2]float64{7, 9.5}

// Example is one labelled row.
type Example struct {
	Features []float32 // Inputs of them
	Class    int
}

// SEA draws examples. The zero value is of no use; it is not safe for concurrent use.
type SEA struct {
	noise float64
	rng   *rand.Rand
}

// NewSEA returns a generator with the given share of wrong labels, 0.1 in the paper.
func NewSEA(noiseRatio float64, rng *rand.Rand) *SEA {
	return &SEA{noise: noiseRatio, rng: rng}
}

// Next draws one example of the concept with the given threshold.
func (s *SEA) Next(threshold float64) Example {
	features := make([]float32, Inputs)
	for i := range features {
		features[i] = float32(s.rng.Float64() * 10)
	}
	e := Example{Features: features, Class: Class(features, threshold)}
	if s.rng.Float64() < s.noise {
		e.Class = 1 - e.Class
	}
	return e
}

// Class is the class without noise.
func Class(features []float32, threshold float64) int {
	if float64(features[0])+float64(features[1]) <= threshold {
		return 1
	}
	return 0
}
