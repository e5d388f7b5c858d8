package drift

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

func bernoulli(rng *rand.Rand, p float64) float64 {
	if rng.Float64() < p {
		return 1
	}
	return 0
}

// TestADWINKeepsTheExactMomentsOfItsWindow compares the histogram with the values themselves, over cuts.
func TestADWINKeepsTheExactMomentsOfItsWindow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	a := NewADWIN()
	if a.Mean() != 0 {
		t.Errorf("the mean of nothing is %v", a.Mean())
	}
	var all []float64
	cuts := 0
	for i := range 6000 {
		x := min(1, max(0, 0.2+0.5*float64(i/2000%2)+0.1*rng.NormFloat64()))
		all = append(all, x)
		if a.Add(x) {
			cuts++
			if (i+1)%32 != 0 {
				t.Errorf("value %d: a cut between two looks", i)
			}
		}
		window := all[int64(len(all))-a.Width:]
		var sum, m2 float64
		for _, v := range window {
			sum += v
		}
		mean := sum / float64(len(window))
		for _, v := range window {
			m2 += (v - mean) * (v - mean)
		}
		if math.Abs(a.Sum-sum) > 1e-6 || math.Abs(a.M2-m2) > 1e-6 {
			t.Fatalf("value %d: sum %v and m2 %v, want %v and %v", i, a.Sum, a.M2, sum, m2)
		}
	}
	if cuts == 0 {
		t.Error("no cut over two changes of 0.5")
	}
	if buckets := len(a.Rows) * maxBuckets; buckets > 60 {
		t.Errorf("%d rows for a window of %d", len(a.Rows), a.Width)
	}
}

func TestADWINRarelyCutsAStreamThatStaysTheSame(t *testing.T) {
	false0 := 0
	const runs, length = 40, 10000
	for seed := range uint64(runs) {
		rng := rand.New(rand.NewPCG(seed, 2))
		a := NewADWIN()
		for range length {
			if a.Add(bernoulli(rng, 0.2)) {
				false0++
				break
			}
		}
	}
	// δ bounds the chance at each look; the bound is far from tight. 2 of 40 runs of 312 looks is generous.
	if false0 > 2 {
		t.Errorf("%d of %d runs with a false cut", false0, runs)
	}
}

func TestDetectorsFindARiseSoon(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 3))
		a, p := NewADWIN(), NewPageHinkley()
		for range 3000 {
			a.Add(bernoulli(rng, 0.1))
			p.Add(bernoulli(rng, 0.1))
		}
		foundA, foundP := 0, 0
		for i := 1; i <= 1000 && (foundA == 0 || foundP == 0); i++ {
			x := bernoulli(rng, 0.35)
			if a.Add(x) && foundA == 0 {
				foundA = i
			}
			if p.Add(x) && foundP == 0 {
				foundP = i
			}
		}
		if foundA == 0 || foundA > 300 {
			t.Errorf("seed %d: ADWIN after %d values", seed, foundA)
		}
		if foundP == 0 || foundP > 500 {
			t.Errorf("seed %d: Page-Hinkley after %d values", seed, foundP)
		}
	}
}

func TestADWINForgetsTheOldMean(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	a := NewADWIN()
	for i := range 4000 {
		a.Add(bernoulli(rng, 0.1+0.4*float64(i/2000)))
	}
	if math.Abs(a.Mean()-0.5) > 0.05 {
		t.Errorf("mean %v of a window of %d, want about 0.5", a.Mean(), a.Width)
	}
}

func TestDetectorsGoOnFromTheirJSON(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	a, p := NewADWIN(), NewPageHinkley()
	for i := range 3000 {
		x := bernoulli(rng, 0.1+0.3*float64(i/1000))
		a.Add(x)
		p.Add(x)
		if i == 1500 {
			for _, v := range []any{&a, &p} {
				b, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				copied := reflect.New(reflect.TypeOf(v).Elem()).Interface()
				if err := json.Unmarshal(b, copied); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(v, copied) {
					t.Errorf("%T changed over JSON", v)
				}
			}
		}
	}
}

// TestADWINCutsAtThePapersBound: with n0 = n1 = 50, of which 5 - 1 are left out of each side, σ² = ¼ and δ = 0.002,
// ln(2/δ') = ln(2·ln 100/0.002) = 8.4349, 1/m = 2/46 and ε = √(2·(2/46)·¼·8.4349) + ⅔·8.4349·2/46 = 0.4282 + 0.2445 = 0.6727.
func TestADWINCutsAtThePapersBound(t *testing.T) {
	a := NewADWIN()
	a.Width, a.Sum, a.M2 = 100, 50, 25
	for difference, want := range map[float64]bool{0.672: false, 0.673: true, -0.672: false, -0.673: true} {
		if got := a.differs(50, 50, 25+25*difference); got != want {
			t.Errorf("means that differ by %v: got %v", difference, got)
		}
	}
}

// TestPageHinkleySumsWhatIsAboveTheMean, worked out by hand: after three zeros 2 raises the mean to ½ and the sum from -3δ to 1.5 - 4δ,
// which is 1.5 - δ above its least; a fourth zero would not.
func TestPageHinkleySumsWhatIsAboveTheMean(t *testing.T) {
	for _, tt := range []struct {
		lambda, delta float64
		least         int64
		last          float64
		want          bool
	}{
		{1.39, 0.125, 4, 2, false},
		{1.375, 0.125, 4, 2, false}, // not above it
		{1.37, 0.125, 4, 2, true},
		{1.37, 0.125, 5, 2, false}, // within the first values
		{1.49, 0, 1, 2, true},
		{1.49, 0, 1, 0, false},
	} {
		p := PageHinkley{Lambda: tt.lambda, Delta: tt.delta, Least: tt.least}
		for range 3 {
			if p.Add(0) {
				t.Errorf("%+v: an alarm of zeros", tt)
			}
		}
		if got := p.Add(tt.last); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
		if begun := (PageHinkley{Lambda: tt.lambda, Delta: tt.delta, Least: tt.least}); tt.want && p != begun {
			t.Errorf("%+v: after the alarm it is %+v", tt, p)
		}
	}
}
