package model

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// batch draws rows around the origin whose class is whether the features' sum is above 0.
func batch(rng *rand.Rand, rows, inputs int) ([]float32, []int) {
	x, classes := make([]float32, rows*inputs), make([]int, rows)
	for r := range rows {
		var sum float32
		for i := range inputs {
			x[r*inputs+i] = float32(rng.NormFloat64())
			sum += x[r*inputs+i]
		}
		if sum > 0 {
			classes[r] = 1
		}
	}
	return x, classes
}

// slowLoss is the mean log-loss of the definition, in float64.
func slowLoss(w *Weights, x []float32, classes []int) float64 {
	n := w.Architecture.Inputs
	var loss float64
	for r, c := range classes {
		loss -= math.Log(slow(w, x[r*n:(r+1)*n])[c])
	}
	return loss / float64(len(classes))
}

func TestStepFollowsTheGradientOfTheDefinition(t *testing.T) {
	for _, rows := range []int{1, 5, 8} {
		w := random(t, "3-4-2", 11)
		trainer, err := NewTrainer(w, 8, 1e-3)
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		rng := rand.New(rand.NewPCG(1, 1))
		x, classes := batch(rng, rows, 3)
		loss, err := trainer.Step(x, classes)
		if err != nil {
			t.Fatal(err)
		}
		if want := slowLoss(w, x, classes); math.Abs(loss-want) > 1e-5 {
			t.Errorf("%d rows: loss %v, want %v", rows, loss, want)
		}
		// After one step m = (1-β1)·g, whatever g is.
		for k, p := range w.parameters() {
			for i := range p {
				const h = 1e-3
				old := p[i]
				p[i] = old + h
				up := slowLoss(w, x, classes)
				p[i] = old - h
				down := slowLoss(w, x, classes)
				p[i] = old
				got, want := float64(trainer.adam.m[k][i])/0.1, (up-down)/(2*h)
				if math.Abs(got-want) > 2e-3 {
					t.Errorf("%d rows: parameter %d[%d]: gradient %v, want %v", rows, k, i, got, want)
				}
			}
		}
	}
}

// TestAdamFollowsThePaper steps one parameter by hand: Kingma and Ba 2015, algorithm 1.
func TestAdamFollowsThePaper(t *testing.T) {
	parameter := [][]float32{{1}}
	a := newAdam(0.1, parameter)
	m, v, theta := 0.0, 0.0, 1.0
	for step, g := range []float64{0.5, -0.25, 2} {
		gradient := [][]float32{{float32(g)}}
		a.step(parameter, gradient)
		m, v = 0.9*m+0.1*g, 0.999*v+0.001*g*g
		n := float64(step + 1)
		theta -= 0.1 * (m / (1 - math.Pow(0.9, n))) / (math.Sqrt(v/(1-math.Pow(0.999, n))) + 1e-8)
		if got := float64(parameter[0][0]); math.Abs(got-theta) > 1e-5 {
			t.Errorf("step %d: got %v, want %v", step, got, theta)
		}
		if gradient[0][0] != 0 {
			t.Errorf("step %d: the gradient is left at %v", step, gradient[0][0])
		}
	}
}

func TestTrainerLearnsAndResumesWithTheSameBits(t *testing.T) {
	a, _ := ParseArchitecture("3-16-2")
	start := NewWeights(a, rand.New(rand.NewPCG(5, 5)))
	trainer := func() *Trainer {
		tr, err := NewTrainer(start, 32, 1e-2)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tr.Close() })
		return tr
	}
	run := func(tr *Trainer, from, to int) {
		for s := from; s < to; s++ {
			x, classes := batch(rand.New(rand.NewPCG(9, uint64(s))), 32-s%3, 3)
			if _, err := tr.Step(x, classes); err != nil {
				t.Fatal(err)
			}
		}
	}
	whole := trainer()
	run(whole, 0, 200)

	first, second := trainer(), trainer()
	run(first, 0, 80)
	if err := second.Restore("state", first.State()); err != nil {
		t.Fatal(err)
	}
	run(second, 80, 200)
	if !bytes.Equal(whole.State(), second.State()) {
		t.Error("a resumed trainer differs from one that was never stopped")
	}
	if !bytes.Equal(Encode(whole.Snapshot(), nil), Encode(second.Snapshot(), nil)) {
		t.Error("the model of a resumed trainer differs from that of one that was never stopped")
	}

	x, classes := batch(rand.New(rand.NewPCG(99, 99)), 1000, 3)
	scores := make([]float32, 2000)
	if err := NewPlan(whole.Snapshot()).Predict(x, 1000, scores); err != nil {
		t.Fatal(err)
	}
	right := 0
	for i, c := range classes {
		if (scores[2*i+1] > scores[2*i]) == (c == 1) {
			right++
		}
	}
	if right < 950 {
		t.Errorf("%d of 1000 unseen rows right after 200 steps", right)
	}
}

func TestRestoreRefusesWhatIsNotItsOwn(t *testing.T) {
	w := random(t, "3-4-2", 1)
	tr, err := NewTrainer(w, 4, 1e-3)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	other, err := NewTrainer(random(t, "3-5-2", 1), 4, 1e-3)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	before := tr.State()
	changed := func(change func(*tensors)) []byte {
		s, err := decodeTensors("s", before)
		if err != nil {
			t.Fatal(err)
		}
		change(s)
		return s.encode()
	}
	for _, tt := range []struct {
		name  string
		state []byte
		want  string
	}{
		{"cut short", before[:len(before)-1], "cut short"},
		{"a model", Encode(w, nil), "version"},
		{"another architecture", other.State(), "architecture 3-5-2, the trainer's is 3-4-2"},
		{"a later version", changed(func(s *tensors) { s.metadata[metaState] = "2" }), "reads version 1"},
		{"steps", changed(func(s *tensors) { s.metadata[metaSteps] = "-1" }), metaSteps},
		{"a tensor less", changed(func(s *tensors) { delete(s.data, "adam.v.0") }), "13 tensors, a trainer has 14"},
		{"a short tensor", changed(func(s *tensors) { s.put("parameter.0", []float32{9}, 1) }), `tensor "parameter.0": 1 numbers, not 12`},
	} {
		if err := tr.Restore("s", tt.state); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want it to say %q", tt.name, err, tt.want)
		}
	}
	if !bytes.Equal(before, tr.State()) {
		t.Error("a refused restore changed the trainer")
	}
}

func TestTrainerRefusesBadInput(t *testing.T) {
	w := random(t, "3-4-2", 1)
	if _, err := NewTrainer(w, 0, 1e-3); err == nil {
		t.Error("batch 0: no error")
	}
	for _, rate := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := NewTrainer(w, 4, rate); err == nil {
			t.Errorf("learning rate %v: no error", rate)
		}
	}
	tr, err := NewTrainer(w, 4, 1e-3)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	for _, tt := range []struct {
		features int
		classes  []int
	}{{0, nil}, {15, []int{0, 0, 0, 0, 0}}, {2, []int{0}}, {3, []int{2}}, {3, []int{-1}}} {
		if _, err := tr.Step(make([]float32, tt.features), tt.classes); err == nil {
			t.Errorf("%+v: no error", tt)
		}
	}
	nan := []float32{float32(math.NaN()), 0, 0}
	if _, err := tr.Step(nan, []int{0}); err == nil {
		t.Error("NaN feature: no error")
	}
	if _, err := tr.Step([]float32{1, 0, 0}, []int{0}); err != nil {
		t.Errorf("the step after a refused one: %v", err)
	}
	for _, p := range tr.Snapshot().parameters() {
		for _, f := range p {
			if f != f {
				t.Fatal("a refused step reached the weights")
			}
		}
	}
}

func BenchmarkTrain(b *testing.B) {
	for _, rows := range []int{128, 1024} {
		b.Run(map[int]string{128: "rows=128", 1024: "rows=1024"}[rows], func(b *testing.B) {
			w := random(b, "14-64-64-2", 1)
			tr, err := NewTrainer(w, rows, 1e-3)
			if err != nil {
				b.Fatal(err)
			}
			defer tr.Close()
			x, classes := batch(rand.New(rand.NewPCG(1, 1)), rows, 14)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tr.Step(x, classes); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "examples/s")
		})
	}
}
