package model

import (
	"math"
	"sync"
)

// packed is the forward pass with weights laid out for the machine's vector unit: panels of 16 outputs, each a run of 16 weights
// an input, so that a kernel keeps 4 rows by 16 outputs in registers while it walks the inputs once. It allocates nothing, is
// safe for concurrent use and never changes.
//
// Its sums are fused and in the kernel's order, so they differ in the last bits from Plan's, which are the same on every
// machine: serving takes packed, learning takes Plan.
type packed struct {
	weights *Weights
	layers  []packedLayer
	stride  int       // of a row of activations: the greatest width, rounded up to panels
	scratch sync.Pool // *[]float32: two buffers of planRows rows
}

type packedLayer struct {
	in, panels int
	w          []float32 // panel after panel: w[(panel*in+input)*16+output]
	b          []float32 // panels*16
}

// panel is the number of outputs in a panel: two AVX2 registers.
const panel = 16

// newPacked copies the weights. It returns nil on a machine whose vector unit has no kernel here.
func newPacked(w *Weights) *packed {
	if !haveKernel {
		return nil
	}
	p := &packed{weights: w.Clone(), stride: roundUp(w.Architecture.Inputs)}
	for _, l := range w.Layers {
		q := packedLayer{in: l.In, panels: roundUp(l.Out) / panel}
		q.w, q.b = make([]float32, l.In*q.panels*panel), make([]float32, q.panels*panel)
		copy(q.b, l.B)
		for i := range l.In {
			for o := range l.Out {
				q.w[(o/panel*l.In+i)*panel+o%panel] = l.W[i*l.Out+o]
			}
		}
		p.layers = append(p.layers, q)
		p.stride = max(p.stride, q.panels*panel)
	}
	p.scratch.New = func() any {
		s := make([]float32, 2*planRows*p.stride)
		return &s
	}
	return p
}

func roundUp(n int) int { return (n + panel - 1) / panel * panel }

// Architecture returns that of the weights.
func (p *packed) Architecture() Architecture { return p.weights.Architecture }

// Predict implements Runner.
func (p *packed) Predict(x []float32, rows int, out []float32) error {
	a := p.weights.Architecture
	if err := checkSizes(a, x, rows, out); err != nil {
		return err
	}
	scratch := p.scratch.Get().(*[]float32)
	half := planRows * p.stride
	for rows > 0 {
		n := min(rows, planRows)
		from, to := (*scratch)[:half], (*scratch)[half:]
		for r := range n {
			p.weights.standardise(x[r*a.Inputs:(r+1)*a.Inputs], from[r*p.stride:])
		}
		for i := range p.layers {
			p.layers[i].apply(from, to, n, p.stride, i < len(p.layers)-1)
			from, to = to, from
		}
		for r := range n {
			softmaxPair(from[r*p.stride:r*p.stride+a.Classes], out[r*a.Classes:(r+1)*a.Classes])
		}
		x, out, rows = x[n*a.Inputs:], out[n*a.Classes:], rows-n
	}
	p.scratch.Put(scratch)
	return nil
}

// apply computes to = from·W + b for n rows, ReLU where asked. Rows are taken by four: up to three rows beyond n are computed
// from whatever is in the scratch and never looked at. A single row takes four panels at a time instead.
func (l *packedLayer) apply(from, to []float32, n, stride int, relu bool) {
	rectify := 0
	if relu {
		rectify = 1
	}
	bytes := 4 * stride
	q := 0
	if n == 1 {
		for ; q+4 <= l.panels; q += 4 {
			affine1x64(l.in, &from[0], &l.w[q*l.in*panel], 4*l.in*panel, &l.b[q*panel], &to[q*panel], rectify)
		}
		bytes = 0 // four times the same row, for the panels that are left
	}
	for ; q < l.panels; q++ {
		for r := 0; r < n; r += 4 {
			affine4x16(l.in, &from[r*stride], bytes, &l.w[q*l.in*panel], &l.b[q*panel], &to[r*stride+q*panel], bytes, rectify)
		}
	}
}

// softmaxPair is softmax with one exponential less: that of the maximum is 1.
func softmaxPair(x, y []float32) {
	if len(x) != 2 {
		softmax(x, y)
		return
	}
	e := float32(math.Exp(-math.Abs(float64(x[0] - x[1]))))
	high, low := 1/(1+e), e/(1+e)
	if x[0] >= x[1] {
		y[0], y[1] = high, low
	} else {
		y[0], y[1] = low, high
	}
}
