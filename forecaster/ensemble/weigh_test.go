package ensemble

import (
	"math"
	"testing"
)

// TestARareMissCounts: of two experts at the 0.99 quantile the wide one has the lesser loss, because of what one outcome in fifty is.
// Where that outcome counted for no more than three mean losses it had a weight of 0.02.
func TestARareMissCounts(t *testing.T) {
	const tau = 0.99
	var b bank
	b.init([]float64{tau}, 1, 2, nil, nil)
	narrow, wide := float32(1), float32(3)
	mass, n := 0.0, 0.0
	for i := range 5000 {
		y := 0.0
		if i%50 == 0 {
			y = 2.9
		}
		b.quants[0], b.quants[1] = narrow, wide
		mean := b.weight[0]*narrow + b.weight[1]*wide
		g := -tau
		if y <= float64(mean) {
			g = 1 - tau
		}
		const loss = 0.04
		b.weigh(0, 0, float32(g/(lossUnit*loss)), mean, 0)
		if i >= 2500 {
			mass += float64(b.weight[1])
			n++
		}
	}
	if got := mass / n; got < 0.6 {
		t.Errorf("the wide expert's weight is %.2f, want at least 0.6", got)
	}
}

// TestIdleLeavesNoDenormalNumbers: after a day of traffic nothing arrives for a fortnight, and every expert is right. Arithmetic with what
// its squares and regrets would fade to is a hundred times slower.
func TestIdleLeavesNoDenormalNumbers(t *testing.T) {
	const leastNormal = 0x1p-126
	var b bank
	b.init([]float64{0.5, 0.99}, 1, 3, nil, nil)
	for i := range 15 * 5760 {
		norm := float32(0)
		if i < 5760 {
			norm = 1
		}
		for cell := range b.loss {
			b.quants[0], b.quants[1], b.quants[2] = 1, 2, 4
			b.weigh(cell, cell%2, norm, 2.5, 0)
		}
	}
	for e := range b.square {
		if square, regret := float64(b.square[e]), math.Abs(float64(b.regret[e])); square < leastNormal || regret < leastNormal {
			t.Errorf("quantile %d: a square of %g and a regret of %g, want %g at least", e, square, regret, leastNormal)
		}
	}
}
