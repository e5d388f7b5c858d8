package score

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestMeasuresFadeAsDefined(t *testing.T) {
	p := New(0.5)
	if _, ok := p.Accuracy(); ok {
		t.Error("an accuracy of nothing")
	}
	for _, right := range []int{1, 0, 1} { // newest last: (1 + 0·0.5 + 1·0.25) / 1.75
		p.Add([]float32{0.5, 0.5}, 0, 1-right)
	}
	if got, _ := p.Accuracy(); math.Abs(got-1.25/1.75) > 1e-12 {
		t.Errorf("accuracy %v, want %v", got, 1.25/1.75)
	}
	if got, _ := p.LossNats(); math.Abs(got-math.Ln2) > 1e-7 {
		t.Errorf("loss %v, want ln 2", got)
	}
}

func TestLogLossIsBounded(t *testing.T) {
	nan := float32(math.NaN())
	for _, tt := range []struct {
		scores []float32
		class  int
		want   float64
	}{
		{[]float32{0.25, 0.75}, 0, math.Log(4)}, {[]float32{1, 0}, 0, 0}, {[]float32{1, 0}, 1, MaxLoss},
		{[]float32{nan, nan}, 1, MaxLoss}, {[]float32{0.5, 0.5}, 2, MaxLoss}, {nil, 0, MaxLoss},
	} {
		if got := LogLoss(tt.scores, tt.class); math.Abs(got-tt.want) > 1e-6 {
			t.Errorf("LogLoss(%v, %d) = %v, want %v", tt.scores, tt.class, got, tt.want)
		}
	}
}

// TestCalibrationErrorFindsOverconfidence: answers right with probability 0.7 that claim 0.9 are off by 0.2.
func TestCalibrationErrorFindsOverconfidence(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, tt := range []struct{ claim, want float64 }{{0.7, 0}, {0.9, 0.2}} {
		p := New(1)
		for range 20000 {
			truth := 0
			if rng.Float64() > 0.7 {
				truth = 1
			}
			p.Add([]float32{float32(tt.claim), float32(1 - tt.claim)}, 0, truth)
		}
		if got, _ := p.CalibrationError(); math.Abs(got-tt.want) > 0.02 {
			t.Errorf("claim %v: error %v, want %v", tt.claim, got, tt.want)
		}
	}
}

// TestCalibrationFades, worked out by hand: of a right answer at 0.9 half is left when a wrong one at 0.6 comes, so that the error is
// (|0.45 - 0.5| + |0.6 - 0|)/(0.5 + 1). An answer that has no score is as sure as nothing.
func TestCalibrationFades(t *testing.T) {
	p := New(0.5)
	if _, ok := p.CalibrationError(); ok {
		t.Error("an error of nothing")
	}
	if _, ok := p.Accuracy(); ok {
		t.Error("an accuracy of nothing")
	}
	if _, ok := p.LossNats(); ok {
		t.Error("a loss of nothing")
	}
	p.Add([]float32{0.1, 0.9}, 1, 1)
	p.Add([]float32{0.6, 0.4}, 0, 1)
	if got, ok := p.CalibrationError(); !ok || math.Abs(got-0.65/1.5) > 1e-7 || p.Count != 2 {
		t.Errorf("got %v of %d, want %v of 2", got, p.Count, 0.65/1.5)
	}
	p = New(0.5)
	for _, answer := range []int{-1, 2} {
		p.Add([]float32{0.6, 0.4}, answer, -1)
	}
	if got, ok := p.CalibrationError(); ok {
		t.Errorf("of answers without a score: %v", got)
	}
}
