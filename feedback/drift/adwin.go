// Package drift finds changes in a stream of losses: ADWIN, which keeps a window as long as the stream has been the same,
// and the Page-Hinkley test, which sums what is above the mean.
//
// Detectors are plain data with exported fields, so that they can be stored as JSON and go on with the same bits.
package drift

import "math"

// ADWIN is the adaptive window of A. Bifet and R. Gavaldà, "Learning from time-changing data with adaptive windowing", SDM
// 2007 (ADWIN2, section 4, with the variance bound of section 3.2). The window is kept as buckets of 2^i values in an exponential
// histogram with at most M buckets a size. It departs from the paper as is usual in implementations: cuts are tried every
// Clock values, and neither side of a cut may be shorter than MinSide.
type ADWIN struct {
	Delta   float64 `json:"delta"`   // δ: bound on the chance of a false cut
	Clock   int64   `json:"clock"`   // values between two looks
	MinSide int64   `json:"minSide"` // least length of each side of a cut

	Seen  int64    `json:"seen"`  // values ever
	Width int64    `json:"width"` // values in the window
	Sum   float64  `json:"sum"`
	M2    float64  `json:"m2"`   // sum of squared distances from the window's mean
	Rows  []Row    `json:"rows"` // Rows[i] holds buckets of 2^i values, newest first
	_     struct{} // fields are named
}

// Row is the buckets of one size, oldest first within the row.
type Row struct {
	Sums []float64 `json:"sums"`
	M2s  []float64 `json:"m2s"`
}

// maxBuckets is the paper's M.
const maxBuckets = 5

// NewADWIN returns an empty window with the values in common use: δ = 0.002, a look every 32 values, sides of at least 5.
func NewADWIN() ADWIN { return ADWIN{Delta: 0.002, Clock: 32, MinSide: 5} }

// Mean of the window, 0 when it is empty.
func (a *ADWIN) Mean() float64 {
	if a.Width == 0 {
		return 0
	}
	return a.Sum / float64(a.Width)
}

// Add takes one value in [0, 1] in and reports whether the window was cut, that is, whether its older part had another mean.
func (a *ADWIN) Add(x float64) bool {
	a.Seen++
	if len(a.Rows) == 0 {
		a.Rows = append(a.Rows, Row{})
	}
	a.Rows[0].Sums, a.Rows[0].M2s = append(a.Rows[0].Sums, x), append(a.Rows[0].M2s, 0)
	d := x - a.Mean()
	a.M2 += d * d * float64(a.Width) / float64(a.Width+1)
	a.Width++
	a.Sum += x
	a.compress()
	if a.Seen%a.Clock != 0 {
		return false
	}
	cut := false
	for a.cutOnce() {
		cut = true
	}
	return cut
}

// compress joins the two oldest buckets of a row that has too many into one of the next.
func (a *ADWIN) compress() {
	for i := 0; len(a.Rows[i].Sums) > maxBuckets; i++ { // one that has too many has a next
		if i+1 == len(a.Rows) {
			a.Rows = append(a.Rows, Row{})
		}
		r := &a.Rows[i]
		n := float64(int64(1) << i)
		d := (r.Sums[0] - r.Sums[1]) / n
		sum, m2 := r.Sums[0]+r.Sums[1], r.M2s[0]+r.M2s[1]+d*d*n/2
		r.Sums, r.M2s = append(r.Sums[:0], r.Sums[2:]...), append(r.M2s[:0], r.M2s[2:]...)
		a.Rows[i+1].Sums, a.Rows[i+1].M2s = append(a.Rows[i+1].Sums, sum), append(a.Rows[i+1].M2s, m2)
	}
}

// cutOnce tries every border between buckets, from the oldest on, and drops the oldest bucket at the first that shows two
// different means.
func (a *ADWIN) cutOnce() bool {
	n0, sum0 := int64(0), 0.0
	for i := len(a.Rows) - 1; i >= 0; i-- {
		for _, sum := range a.Rows[i].Sums {
			n0 += int64(1) << i
			sum0 += sum
			n1 := a.Width - n0
			if n1 < a.MinSide {
				return false
			}
			if n0 >= a.MinSide && a.differs(n0, n1, sum0) {
				a.dropOldest()
				return true
			}
		}
	}
	return false
}

// differs is the test of section 3.2: ε_cut = √(2/m·σ²·ln(2/δ')) + 2/(3m)·ln(2/δ') with 1/m = 1/n0 + 1/n1 and δ' = δ/ln n.
func (a *ADWIN) differs(n0, n1 int64, sum0 float64) bool {
	deltaPrime := math.Log(2 * math.Log(float64(a.Width)) / a.Delta)
	m := 1/float64(n0-a.MinSide+1) + 1/float64(n1-a.MinSide+1)
	variance := a.M2 / float64(a.Width)
	epsilon := math.Sqrt(2*m*variance*deltaPrime) + 2.0/3*deltaPrime*m
	return math.Abs(sum0/float64(n0)-(a.Sum-sum0)/float64(n1)) > epsilon
}

func (a *ADWIN) dropOldest() {
	i := len(a.Rows) - 1
	r := &a.Rows[i]
	n := float64(int64(1) << i)
	sum, m2 := r.Sums[0], r.M2s[0]
	r.Sums, r.M2s = append(r.Sums[:0], r.Sums[1:]...), append(r.M2s[:0], r.M2s[1:]...)
	for len(a.Rows) > 1 && len(a.Rows[len(a.Rows)-1].Sums) == 0 {
		a.Rows = a.Rows[:len(a.Rows)-1]
	}
	a.Width -= int64(n)
	a.Sum -= sum
	d := sum/n - a.Mean() // of what is left, which MinSide keeps from being nothing
	a.M2 = max(0, a.M2-m2-d*d*n*float64(a.Width)/(n+float64(a.Width)))
}
