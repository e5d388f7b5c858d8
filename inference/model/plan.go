package model

import (
	"math"
	"sync"
)

// Plan is the forward pass lowered to loops over packed weights: no graph, no allocation after the first call. It is safe
// for concurrent use and never changes.
type Plan struct {
	weights *Weights
	widest  int
	scratch sync.Pool // *[]float32 of planRows rows of two buffers
}

// planRows is how many rows go through all layers together: their activations stay in the first-level cache while a layer's
// weights are read once for all of them.
const planRows = 16

// NewPlan copies the weights.
func NewPlan(w *Weights) *Plan {
	p := &Plan{weights: w.Clone()}
	for _, width := range w.Architecture.widths() {
		p.widest = max(p.widest, width)
	}
	p.scratch.New = func() any {
		s := make([]float32, 2*planRows*p.widest)
		return &s
	}
	return p
}

// Architecture returns that of the weights.
func (p *Plan) Architecture() Architecture { return p.weights.Architecture }

// Predict implements Runner.
func (p *Plan) Predict(x []float32, rows int, out []float32) error {
	a := p.weights.Architecture
	if err := checkSizes(a, x, rows, out); err != nil {
		return err
	}
	scratch := p.scratch.Get().(*[]float32)
	half := planRows * p.widest
	for rows > 0 {
		n := min(rows, planRows)
		from, to := (*scratch)[:half], (*scratch)[half:]
		p.weights.standardise(x[:n*a.Inputs], from)
		for i := range p.weights.Layers {
			l := &p.weights.Layers[i]
			for r := range n {
				affine(l, from[r*l.In:(r+1)*l.In], to[r*l.Out:(r+1)*l.Out], i < len(p.weights.Layers)-1)
			}
			from, to = to, from
		}
		for r := range n {
			softmax(from[r*a.Classes:(r+1)*a.Classes], out[r*a.Classes:(r+1)*a.Classes])
		}
		x, out, rows = x[n*a.Inputs:], out[n*a.Classes:], rows-n
	}
	p.scratch.Put(scratch)
	return nil
}

// affine computes y = xW + b for one row, with ReLU where asked. The explicit conversion keeps a compiler from fusing the
// multiplication with the addition, so that every machine computes the same bits.
func affine(l *Layer, x, y []float32, relu bool) {
	copy(y, l.B)
	for i, xi := range x {
		if xi == 0 {
			continue
		}
		row := l.W[i*l.Out : (i+1)*l.Out]
		row = row[:len(y)]
		for o, w := range row {
			y[o] += float32(xi * w)
		}
	}
	if relu {
		for o, v := range y {
			y[o] = max(v, 0)
		}
	}
}

// softmax writes exp(x)/Σexp(x), shifted by the maximum so that nothing overflows.
func softmax(x, y []float32) {
	top := x[0]
	for _, v := range x[1:] {
		top = max(top, v)
	}
	var sum float32
	for i, v := range x {
		y[i] = float32(math.Exp(float64(v - top)))
		sum += y[i]
	}
	for i := range y {
		y[i] /= sum
	}
}
