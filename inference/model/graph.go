package model

import (
	"fmt"
	"math"
	"sync"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// buildMu serialises the building of graphs, which writes to a package variable inside Gorgonia.
var buildMu sync.Mutex

// buckets are the batch sizes that graphs are built for; rows are padded to the next, and more rows than the greatest run
// in pieces.
var buckets = []int{1, 8, 32, 128, 256}

// graphRunner predicts with Gorgonia graphs, one a bucket, built when first needed. It is the reference for every other
// Runner. It is safe for concurrent use; predictions of one bucket wait for each other.
type graphRunner struct {
	weights *Weights
	graphs  []*forwardGraph // by bucket; nil until used

	mu sync.Mutex
}

// newGraphRunner copies the weights.
func newGraphRunner(w *Weights) *graphRunner {
	return &graphRunner{weights: w.Clone(), graphs: make([]*forwardGraph, len(buckets))}
}

// Architecture returns that of the weights.
func (r *graphRunner) Architecture() Architecture { return r.weights.Architecture }

// Predict implements Runner.
func (r *graphRunner) Predict(x []float32, rows int, out []float32) error {
	a := r.weights.Architecture
	if err := checkSizes(a, x, rows, out); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for rows > 0 {
		b := 0
		for b < len(buckets)-1 && buckets[b] < rows {
			b++
		}
		n := min(rows, buckets[b])
		if r.graphs[b] == nil {
			g, err := newForwardGraph(r.weights, buckets[b])
			if err != nil {
				return err
			}
			r.graphs[b] = g
		}
		if err := r.graphs[b].run(r.weights, x[:n*a.Inputs], out[:n*a.Classes]); err != nil {
			return err
		}
		x, out, rows = x[n*a.Inputs:], out[n*a.Classes:], rows-n
	}
	return nil
}

// forwardGraph is the compiled forward pass for one batch size.
type forwardGraph struct {
	x       []float32 // backing slice of the input node, written before each run
	scores  *G.Node   // logarithms of the scores
	machine G.VM
}

func newForwardGraph(w *Weights, batch int) (*forwardGraph, error) {
	buildMu.Lock()
	defer buildMu.Unlock()
	g := G.NewGraph()
	x := make([]float32, batch*w.Architecture.Inputs)
	node := leaf(g, "x", x, batch, w.Architecture.Inputs)
	logits, _, err := perceptron(g, node, w)
	if err != nil {
		return nil, err
	}
	scores, err := logSoftMax(logits)
	if err != nil {
		return nil, fmt.Errorf("build log softmax: %w", err)
	}
	return &forwardGraph{x: x, scores: scores, machine: G.NewTapeMachine(g)}, nil
}

func (f *forwardGraph) run(w *Weights, x, out []float32) error {
	w.standardise(x, f.x)
	clear(f.x[len(x):])
	f.machine.Reset()
	if err := f.machine.RunAll(); err != nil {
		return fmt.Errorf("run forward graph: %w", err)
	}
	scores, ok := f.scores.Value().Data().([]float32)
	if !ok || len(scores) < len(out) {
		return fmt.Errorf("run forward graph: %T instead of scores", f.scores.Value())
	}
	for i := range out {
		out[i] = float32(math.Exp(float64(scores[i])))
	}
	return nil
}

// perceptron builds the layers of w over x, sharing w's slices, and returns the logits and the nodes of the parameters in
// the order of Weights.parameters. The caller holds buildMu.
func perceptron(g *G.ExprGraph, x *G.Node, w *Weights) (logits *G.Node, parameters G.Nodes, err error) {
	h := x
	for i, l := range w.Layers {
		weight := leaf(g, layerName(i, "weight"), l.W, l.In, l.Out)
		bias := leaf(g, layerName(i, "bias"), l.B, 1, l.Out)
		parameters = append(parameters, weight, bias)
		if h, err = G.Mul(h, weight); err != nil {
			return nil, nil, fmt.Errorf("build layer %d: %w", i, err)
		}
		if x.Shape()[0] == 1 {
			h, err = G.Add(h, bias)
		} else {
			h, err = G.BroadcastAdd(h, bias, nil, []byte{0})
		}
		if err != nil {
			return nil, nil, fmt.Errorf("build layer %d: bias: %w", i, err)
		}
		if i < len(w.Layers)-1 {
			if h, err = G.Rectify(h); err != nil {
				return nil, nil, fmt.Errorf("build layer %d: %w", i, err)
			}
		}
	}
	return h, parameters, nil
}

// leaf makes a matrix node over data, with a tensor header of its own: a machine writes into the headers bound to it.
func leaf(g *G.ExprGraph, name string, data []float32, rows, columns int) *G.Node {
	t := tensor.New(tensor.WithShape(rows, columns), tensor.WithBacking(data))
	return G.NewMatrix(g, tensor.Float32, G.WithShape(rows, columns), G.WithName(name), G.WithValue(t))
}
