package ensemble

import (
	"math"
	"testing"

	"github.com/prescale/prescale/forecaster/signal"
)

// TestTermsTellOfTheMoment: noise four times the usual, a level far over the usual, and a quarter of the day.
func TestTermsTellOfTheMoment(t *testing.T) {
	const day = 100
	noise := func(i int) float64 { return float64(i%2*2 - 1) }
	for _, tt := range []struct {
		name        string
		value       func(i, left int) float64 // at step i, `left` steps before the last
		steps, term int
		want        float64
	}{
		{"usual noise", func(i, _ int) float64 { return 20 + noise(i) }, 4000, 1, 0},
		{"more noise", func(i, left int) float64 {
			if left < 30 {
				return 20 + 4*noise(i)
			}
			return 20 + noise(i)
		}, 4000, 1, 1.3}, // the logarithm of 4, less what thirty steps of a thousand add to the usual
		{"usual level", func(i, _ int) float64 { return 20 + noise(i) }, 4000, 2, 0},
		{"another level", func(i, left int) float64 {
			if left < 30 {
				return 60 + noise(i)
			}
			return 20 + noise(i)
		}, 4000, 2, 1},
		{"a quarter of the day", func(i, _ int) float64 { return 20 + noise(i) }, 4000 + day/4, 3, 1},
		{"half of the day", func(i, _ int) float64 { return 20 + noise(i) }, 4000 + day/2, 4, -1},
	} {
		var b bank
		b.init([]float64{0.9}, 1, 1, nil, nil)
		s := signal.New(day, 0, 1)
		for i := range tt.steps {
			s.Push(tt.value(i, tt.steps-1-i))
		}
		b.know(s, 0)
		if got := float64(b.terms[tt.term]); math.Abs(got-tt.want) > 0.05 {
			t.Errorf("%s: term %d is %.3f, want %.2f", tt.name, tt.term, got, tt.want)
		}
	}
}

// TestACoefficientLearnsItsTerm: outcomes are missed where a term is 1 and covered where it is -1, half of each.
func TestACoefficientLearnsItsTerm(t *testing.T) {
	for term := 1; term < finalTerms; term++ {
		var b bank
		b.init([]float64{0.5}, 1, 1, nil, nil)
		for i := range 1000 {
			at, sign := i%2, float32(1-i%2*2)
			b.terms[at*momentTerms] = 1
			if term < momentTerms {
				b.terms[at*momentTerms+term] = sign
			} else {
				b.dispute[at*b.reach] = sign
			}
			b.count[0]++
			b.correct(at, 0, 0, 0.5, sign < 0, 0)
		}
		if up, down := b.lacking(0, 0, 0), b.lacking(1, 0, 0); up < 0.5 || down > -0.5 {
			t.Errorf("term %d: %.3f is added where outcomes are missed and %.3f where they are covered, want 0.5 and -0.5 at least", term, up, down)
		}
	}
}

// TestExpertsThatDisagreeAreATerm: four experts, the last one of no weight, are as far apart as ever, thrice as far, of one mind, or
// beyond all reason.
func TestExpertsThatDisagreeAreATerm(t *testing.T) {
	for _, tt := range []struct {
		name  string
		apart float32
		want  float64
	}{
		{"as ever", 1, 0},
		{"thrice as far", 3, 2},
		{"of one mind", 0, -1},
		{"beyond all reason", 1e6, mostDispute},
	} {
		var b bank
		b.init([]float64{0.5, 0.9}, 1, 4, nil, nil)
		copy(b.weight, []float32{0.25, 0.5, 0.25, 0})
		s := signal.New(0, 0, 1)
		for i := range 2000 {
			s.Push(20 + float64(i%2))
			apart := float32(1)
			if i == 1999 {
				apart = tt.apart
			}
			copy(b.point, []float32{20 - apart, 20, 20 + apart, 1e6 * float32(i%2)})
			b.disagree(s, 0, 0)
		}
		if got := float64(b.dispute[0]); math.Abs(got-tt.want) > 0.01 {
			t.Errorf("%s: the term is %.3f, want %.2f", tt.name, got, tt.want)
		}
	}
}
