package promote

import (
	"math"
	"math/rand/v2"
	"testing"
)

// runs counts the runs of the given length whose evidence ever is enough, for differences drawn by draw.
func runs(t *testing.T, n, length int, draw func(*rand.Rand) float64) (promoted int, examples int64) {
	t.Helper()
	for seed := range uint64(n) {
		rng := rand.New(rand.NewPCG(seed, 42))
		e, err := New(1, 0.01)
		if err != nil {
			t.Fatal(err)
		}
		for range length {
			if e.Add(draw(rng), 0) {
				promoted++
				examples += e.Count
				break
			}
		}
	}
	return promoted, examples
}

// TestEqualModelsAreRarelyPromoted looks after every one of 300 examples in 10,000 runs. The bound is 1 %; three standard
// deviations of the count above it are 130.
func TestEqualModelsAreRarelyPromoted(t *testing.T) {
	for name, draw := range map[string]func(*rand.Rand) float64{
		"normal": func(r *rand.Rand) float64 { return 0.3 * r.NormFloat64() },
		"coin":   func(r *rand.Rand) float64 { return 2*float64(r.IntN(2)) - 1 },
		"skewed": func(r *rand.Rand) float64 { // mean 0 after clipping: 0.1·0.9 = 0.9·0.1
			if r.Float64() < 0.1 {
				return 0.9
			}
			return -0.1
		},
		"worse": func(r *rand.Rand) float64 { return 0.3*r.NormFloat64() - 0.02 },
	} {
		if got, _ := runs(t, 10000, 300, draw); got > 130 {
			t.Errorf("%s: %d of 10000 runs promoted, the bound is 100", name, got)
		}
	}
}

func TestABetterModelIsPromotedSoon(t *testing.T) {
	got, examples := runs(t, 1000, 2000, func(r *rand.Rand) float64 { return 0.3*r.NormFloat64() + 0.1 })
	if got < 990 {
		t.Errorf("%d of 1000 runs promoted", got)
	}
	if mean := examples / int64(got); mean > 400 {
		t.Errorf("after %d examples on average", mean)
	}
}

func TestNewRefusesWhatCannotBe(t *testing.T) {
	for _, tt := range [][2]float64{{0, 0.01}, {-1, 0.01}, {math.Inf(1), 0.01}, {math.NaN(), 0.01}, {1, 0}, {1, 1}, {1, -1}, {1, math.NaN()}} {
		if _, err := New(tt[0], tt[1]); err == nil {
			t.Errorf("New(%v, %v): no error", tt[0], tt[1])
		}
	}
}

// TestOneExampleIsNeverEnough: a difference counts as 1 at most, a bet is a half at most, and what is no number tells nothing.
func TestOneExampleIsNeverEnough(t *testing.T) {
	e, err := New(1, 0.01)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 5; n++ {
		if e.Add(1e9, 0) || e.K() > math.Pow(1.5, float64(n)) || e.Sum != float64(n) {
			t.Errorf("after %d examples: K %v and a sum of differences of %v", n, e.K(), e.Sum)
		}
	}
	before := e
	if e.Add(math.NaN(), 0); e != before {
		t.Errorf("not a number made %+v of %+v", e, before)
	}
}

// TestTheBetIsThePapers, worked out by hand: of two differences of 0.1 nothing is bet on the first. It leaves a mean of 0.1/2 and a sum of
// squares of (0.1 - 0.05)², so that the variance is (0.25 + 0.0025)/2 = 0.12625 and the bet 0.05/(0.12625 + 0.05²) = 0.388350.
func TestTheBetIsThePapers(t *testing.T) {
	e, err := New(2, 0.01)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []float64{1, 1 + 0.1*0.05/0.12875} {
		e.Add(0.5, 0.3) // 0.1 of the scale
		if math.Abs(e.K()-want) > 1e-12 || e.Count != int64(n+1) {
			t.Errorf("after %d: K %v of %d, want %v", n+1, e.K(), e.Count, want)
		}
	}
	e.Reset()
	if want := (Evidence{Scale: 2, Alpha: 0.01}); e != want {
		t.Errorf("reset: %+v, want %+v", e, want)
	}
}
