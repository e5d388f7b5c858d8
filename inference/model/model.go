package model

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Runner predicts with fixed weights.
type Runner interface {
	Architecture() Architecture
	// Predict reads rows rows of Inputs features from x and writes rows rows of Classes probabilities to out. Both slices
	// have exactly that length, neither is kept. It is safe for concurrent use.
	Predict(x []float32, rows int, out []float32) error
}

// Model is one loaded, checked, immutable model.
type Model struct {
	Runner
	Weights  *Weights          // not to be changed
	Metadata map[string]string // the free text of the file; not to be changed
	// PlanError is nil when Runner is the lowered plan. Otherwise the plan disagreed with the graph, Runner is the graph,
	// and this says by how much.
	PlanError error
}

// planTolerance is the greatest difference of a probability between the plan and the Gorgonia graph on a golden row.
// Sums of some hundred float32 products in another order differ by about 1e-6.
const planTolerance = 1e-5

// goldenRows are compared at load: enough to touch each bucket but the largest with a remainder.
const goldenRows = 41

// Load decodes a model file, lowers it to a plan for this machine (packed, else Plan) and compares that with the Gorgonia graph
// on rows drawn with a fixed seed around the features' mean. A plan that differs by more than planTolerance is refused and the
// graph serves instead. The name appears in errors.
func Load(name string, file []byte) (*Model, error) {
	w, metadata, err := Decode(name, file)
	if err != nil {
		return nil, err
	}
	return load(name, w, metadata, lower(w))
}

// lower returns the fastest runner that the machine has for w.
func lower(w *Weights) Runner {
	if p := newPacked(w); p != nil {
		return p
	}
	return NewPlan(w)
}

func load(name string, w *Weights, metadata map[string]string, plan Runner) (*Model, error) {
	m := &Model{Runner: plan, Weights: w, Metadata: metadata}
	graph := newGraphRunner(w)
	difference, err := compare(graph, plan, golden(w))
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	if !(difference <= planTolerance) { // true for NaN too
		m.Runner = graph
		m.PlanError = fmt.Errorf("model %s: the plan differs from the graph by %g on golden rows, more than %g", name, difference,
			planTolerance)
	}
	return m, nil
}

// golden draws rows of features around their mean, some of them far out.
func golden(w *Weights) []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	n := w.Architecture.Inputs
	x := make([]float32, goldenRows*n)
	for i := range x {
		spread := 2.0
		if i/n%8 == 7 {
			spread = 20
		}
		x[i] = w.Mean[i%n]
		if s := w.Scale[i%n]; s != 0 {
			x[i] += float32(rng.NormFloat64()*spread) / s
		}
	}
	return x
}

// compare returns the greatest difference between two runners on the rows of x.
func compare(a, b Runner, x []float32) (float64, error) {
	arch := a.Architecture()
	rows := len(x) / arch.Inputs
	p, q := make([]float32, rows*arch.Classes), make([]float32, rows*arch.Classes)
	if err := a.Predict(x, rows, p); err != nil {
		return 0, err
	}
	if err := b.Predict(x, rows, q); err != nil {
		return 0, err
	}
	var worst float64
	for i := range p {
		d := math.Abs(float64(p[i]) - float64(q[i]))
		if math.IsNaN(d) {
			return d, nil
		}
		worst = max(worst, d)
	}
	return worst, nil
}

// Finite reports whether all of v are numbers. Finite features that are large enough overflow inside a model, whose scores of that row
// then are none.
func Finite(v []float32) bool {
	for _, f := range v {
		if f-f != 0 { // true for NaN and for both infinities
			return false
		}
	}
	return true
}

// checkSizes refuses slices that do not fit, before anything panics inside a machine.
func checkSizes(a Architecture, x []float32, rows int, out []float32) error {
	switch {
	case rows < 0:
		return fmt.Errorf("predict: %d rows", rows)
	case len(x) != rows*a.Inputs:
		return fmt.Errorf("predict: %d features for %d rows; architecture %s takes %d", len(x), rows, a, rows*a.Inputs)
	case len(out) != rows*a.Classes:
		return fmt.Errorf("predict: room for %d scores of %d rows; architecture %s gives %d", len(out), rows, a, rows*a.Classes)
	}
	return nil
}
