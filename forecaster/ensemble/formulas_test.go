package ensemble

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/checkpoint"
	"github.com/prescale/prescale/forecaster/signal"
)

// flat is an expert that says the same of each step.
type flat func(s *signal.Signal) float64

func (flat) Observe(*signal.Signal) {}
func (f flat) Points(s *signal.Signal, dst []float64) {
	for i := range dst {
		dst[i] = f(s)
	}
}
func (flat) Visit(*checkpoint.Codec) {}

// book is what a model of one step ahead and two experts, the last value in both units and the mean over 60 steps, learns by the
// formulas of hack/designs/forecaster.md: slowly, obviously and in float64.
type book struct {
	levels                         []float64
	n                              float64     // outcomes
	offset, regret, square, weight [][]float64 // [level][candidate]
	loss, drift, run               []float64
	final                          [][]float64 // [level][term]
	own                            []float64   // mean errors: the last value's, then each expert's

	// What was told of the next step, and from what.
	point, unit, term []float64
	series            []float64 // the units before they are multiplied
	quantile          [][]float64
	mean, told        []float64
}

const bookDay = 96

func rows(from []float32, width int) (to [][]float64) {
	for i, x := range from {
		if i%width == 0 {
			to = append(to, nil)
		}
		to[len(to)-1] = append(to[len(to)-1], float64(x))
	}
	return to
}

func within(x, least, most float64) float64 { return math.Max(least, math.Min(most, x)) }

// open reads what the bank has learned.
func open(b *bank) *book {
	return &book{
		levels: b.levels, n: float64(b.count[0]),
		offset: rows(b.offset, b.k), regret: rows(b.regret, b.k), square: rows(b.square, b.k), weight: rows(b.weight, b.k),
		loss: rows(b.loss, len(b.loss))[0], drift: rows(b.drift, len(b.drift))[0], run: rows(b.run, len(b.run))[0], final: rows(b.final, finalTerms),
		own: append([]float64{float64(b.moved[0])}, rows(b.own, b.experts)[0]...),
	}
}

// tell sets what is told of the next step; dispute is how far apart the experts are.
func (k *book) tell(s *signal.Signal, dispute float64) {
	last, mean60, scale, quick := s.Now(), s.Mean(signal.Mean60), s.Scale(), s.Quick()
	k.point, k.series, k.unit = []float64{last, mean60, last}, []float64{scale, scale, quick}, nil
	for e, own := range []float64{k.own[1], k.own[2], k.own[1]} {
		k.unit = append(k.unit, k.series[e]*within(own/(k.own[0]/2), 1.0/8, 1))
	}
	sin, cos := math.Sincos(2 * math.Pi * float64(s.Steps()%bookDay) / bookDay)
	k.term = []float64{1, within(math.Log(quick/scale), -2, 2), within((mean60-s.Mean(signal.Mean200))/scale, -1, 1), sin, cos, dispute}
	k.quantile, k.mean, k.told = nil, nil, nil
	for l := range k.levels {
		var told []float64
		mean, add := 0.0, 0.0
		for e, p := range k.point {
			told = append(told, signal.Backward(p+k.offset[l][e]*k.unit[e]))
			mean += k.weight[l][e] * told[e]
		}
		for j, x := range k.term {
			add += k.final[l][j] * x
		}
		k.quantile, k.mean = append(k.quantile, told), append(k.mean, mean)
		k.told = append(k.told, signal.Backward(signal.Forward(mean)+add*scale))
	}
}

// learn takes the outcome y; s has it already.
func (k *book) learn(s *signal.Signal, y float64) {
	k.n++
	defer k.measure(s, y)
	z, now := signal.Forward(y), []float64{s.Scale(), s.Scale(), s.Quick()}
	for l, tau := range k.levels {
		u := math.Sqrt2 * math.Erfinv(2*tau-1)
		density := math.Exp(-u*u/2) / math.Sqrt(2*math.Pi)

		// 1. Quantiles of each candidate's errors.
		for e, o := range k.offset[l] {
			g := 1 / density / math.Min(k.n+20, 1000)
			if math.Abs(o) > 2.5 {
				g *= math.Abs(o) / 2.5
			}
			if z <= k.point[e]+o*k.unit[e] {
				k.offset[l][e] = o - g*(1-tau)
			} else if covers := (z - k.point[e]) / (math.Max(k.series[e], now[e]) * k.unit[e] / k.series[e]); covers > o {
				k.offset[l][e] = math.Min(o+g*tau, covers)
			}
		}

		// 2. Weights.
		m, mu := k.mean[l], math.Pow(4*tau*(1-tau), 2)
		gradient := -tau
		if y <= m {
			gradient = 1 - tau
		}
		k.loss[l] += math.Max(0.01, 1/k.n) * (gradient*(m-y) - k.loss[l])
		total := 0.0
		for e, q := range k.quantile[l] {
			r := gradient * (m - q) / (3 * k.loss[l])
			if (y-q)*(y-m) < 0 {
				r -= mu / 2 * math.Abs(y-q) / (3 * k.loss[l])
			}
			r = within(r, -3/(4*tau*(1-tau)), 3/(4*tau*(1-tau)))
			v := 0.995*k.square[l][e] + r*r
			eta := math.Min(1.0/3, math.Sqrt(math.Log(float64(len(k.point)))/v))
			regret := math.Max(0.995*k.regret[l][e]+r-eta*r*r, -3.75/eta)
			k.square[l][e], k.regret[l][e] = v, regret
			k.weight[l][e] = eta * (math.Exp(eta*regret) - 0.999*math.Exp(-3.75))
			total += k.weight[l][e]
		}
		for e, w := range k.weight[l] {
			k.weight[l][e] = 0.99*w/total + 0.01/float64(len(k.point))
		}

		// 4. The last tracker.
		miss := tau
		if y <= k.told[l] {
			miss = tau - 1
		}
		k.drift[l] += (miss - k.drift[l]) / 200
		if k.run[l]*miss < 0 {
			k.run[l] = 0
		}
		k.run[l] += miss
		boost := math.Max(within(2*200*k.drift[l]*k.drift[l]/(tau*(1-tau)), 1, 4), math.Min(8, math.Abs(k.run[l])))
		g := 1 / density / 300 * math.Min(1, k.n/100)
		for j, gain := range []float64{boost, 0.5, 0.5, 0.5, 0.5, 1} {
			k.final[l][j] += g * miss * gain * k.term[j]
		}
	}
}

// measure takes how far the last value, which is the first candidate as well, and each expert were from the outcome y.
func (k *book) measure(s *signal.Signal, y float64) {
	for i, point := range []float64{k.point[0], k.point[0], k.point[1]} {
		err := math.Min(4, math.Abs(signal.Forward(y)-point)/math.Max(k.series[0], s.Scale()))
		k.own[i] += (err - k.own[i]) / math.Min(k.n+20, 200)
	}
}

// TestTheFormulasOfTheDesign: over 400 steps the code learns what hack/designs/forecaster.md says, to the precision of float32.
func TestTheFormulasOfTheDesign(t *testing.T) {
	s, levels := signal.New(bookDay, 0, 1), []float64{0.5, 0.9, 0.99}
	last, mean := flat((*signal.Signal).Now), flat(func(s *signal.Signal) float64 { return s.Mean(signal.Mean60) })
	m, err := New(forecaster.Config{Step: time.Second, MaxSteps: 1, Quantiles: levels}, s, []Expert{last, mean}, []int{0}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.deaf = true // what a change of the series lets go of is not in these formulas
	random := rand.New(rand.NewPCG(1, 2))
	at := time.Unix(0, 0)
	step := func(i int) float64 {
		y := max(0, 100+30*math.Sin(float64(i)/15)+10*random.NormFloat64())
		at = at.Add(time.Second)
		m.Observe(at, y)
		return y
	}
	const old = 500 // from when on a series is not young and not fresh
	for i := range old {
		step(i)
	}
	b := &m.bank
	k := open(b)
	for i := range 400 {
		dispute := float64(b.dispute[s.Steps()%2])
		if dispute >= clearDispute {
			t.Fatalf("step %d: a dispute, in which other weights count", i)
		}
		k.tell(s, dispute)
		k.learn(s, step(old+i))
	}
	for _, tt := range []struct {
		name      string
		got, want [][]float64
	}{
		{"offset", rows(b.offset, b.k), k.offset}, {"error", [][]float64{append(rows(b.moved, 1)[0], rows(b.own, b.experts)[0]...)}, [][]float64{k.own}},
		{"regret", rows(b.regret, b.k), k.regret}, {"square", rows(b.square, b.k), k.square},
		{"weight", rows(b.weight, b.k), k.weight}, {"loss", rows(b.loss, len(levels)), [][]float64{k.loss}},
		{"drift", rows(b.drift, len(levels)), [][]float64{k.drift}}, {"run", rows(b.run, len(levels)), [][]float64{k.run}}, {"coefficient", rows(b.final, finalTerms), k.final},
	} {
		for l := range tt.want {
			for e, want := range tt.want[l] {
				if got := tt.got[l][e]; !(math.Abs(got-want) <= 1e-3*(1+math.Abs(want))) {
					t.Errorf("%s %d of row %d: %.6g, want %.6g by the design", tt.name, e, l, got, want)
				}
			}
		}
	}
}
