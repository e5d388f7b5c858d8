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
		b.weigh(0, 0, float32(g/(lossUnit*loss)), mean, 0, 0, 0)
		if i >= 2500 {
			mass += float64(b.weight[1])
			n++
		}
	}
	if got := mass / n; got < 0.6 {
		t.Errorf("the wide expert's weight is %.2f, want at least 0.6", got)
	}
}

// TestWhatWasOutdoneForLongComesBack: an expert that was wrong for two thousand outcomes has no weight, and half of it when it alone was
// right for eighty. Without a bound those are 154.
func TestWhatWasOutdoneForLongComesBack(t *testing.T) {
	var b bank
	b.init([]float64{0.5}, 1, 2, nil, nil)
	b.quants[0], b.quants[1] = 1, 3
	outcome := func(y float32) {
		mean := b.weight[0]*1 + b.weight[1]*3
		norm := float32(1)
		if y > mean {
			norm = -1
		}
		b.weigh(0, 0, norm, mean, 0, y, 0)
	}
	for range 2000 {
		outcome(0.5)
	}
	if got := b.weight[1]; got > fixedShare {
		t.Errorf("the weight of what was wrong is %.3f, want %g at most", got, fixedShare)
	}
	back := 0
	for b.weight[1] < 0.5 && back < 1000 {
		outcome(3.5)
		back++
	}
	if back > 80 {
		t.Errorf("it has half of the weight after %d outcomes, want 80 at most", back)
	}
}

// TestWhereAllAreAtTheirDeepestTheyShare: the mean of two experts was right for long, so that each alone lost.
func TestWhereAllAreAtTheirDeepestTheyShare(t *testing.T) {
	var b bank
	b.init([]float64{0.5}, 1, 2, nil, nil)
	b.regret[0], b.regret[1] = -1e4, -1e4
	b.quants[0], b.quants[1] = 1, 3
	b.weigh(0, 0, 0, 2, 0, 2, 0)
	for e, got := range b.weight {
		if !(math.Abs(float64(got)-0.5) <= 1e-3) {
			t.Errorf("the weight of expert %d is %g, want 0.5", e, got)
		}
	}
}

// TestAGainEndsAtTheOutcome: the median of the mean is 2 and the outcome 2.5. An expert at 4 loses half a unit more than the mean, and the gradient
// promises a gain of one; it is given the mean of both. One at 2.4 gains what the gradient says.
func TestAGainEndsAtTheOutcome(t *testing.T) {
	var b bank
	b.init([]float64{0.5}, 1, 2, nil, nil)
	b.quants[0], b.quants[1] = 4, 2.4
	norm, past := gradient(-0.5, 1/lossUnit, 0.5)
	b.regrets(b.regret, b.square, 0, norm, 2, 2.5, past)
	for e, want := range []float64{0.25, 0.2} {
		r := float64(b.regret[e])
		if got := r + float64(b.rate(b.square[e]))*want*want; math.Abs(got-want) > 1e-3 {
			t.Errorf("the expert at %g gained %.3f, want %.2f", b.quants[e], got, want)
		}
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
			b.weigh(cell, cell%2, norm, 2.5, 0, 0, 0)
		}
	}
	for e := range b.square {
		if square, regret := float64(b.square[e]), math.Abs(float64(b.regret[e])); square < leastNormal || regret < leastNormal {
			t.Errorf("quantile %d: a square of %g and a regret of %g, want %g at least", e, square, regret, leastNormal)
		}
	}
}
