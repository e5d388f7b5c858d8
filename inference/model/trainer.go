package model

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Trainer learns by minibatch with a Gorgonia graph and Adam. It is not safe for concurrent use. The same weights, state and
// batches give the same bits.
type Trainer struct {
	batch   int
	weights *Weights // its slices back the graph's parameters
	adam    *adam

	x, target  []float32 // backing slices of the graph's inputs
	loss       *G.Node
	parameters G.Nodes
	machine    G.VM
}

// NewTrainer copies the weights. Batch is the number of rows a Step takes at most (smaller ones are padded, at the same
// cost); learningRate is Adam's α, 1e-3 in the paper.
func NewTrainer(w *Weights, batch int, learningRate float64) (*Trainer, error) {
	if batch < 1 {
		return nil, fmt.Errorf("trainer: batch of %d rows", batch)
	}
	if !(learningRate > 0) || math.IsInf(learningRate, 0) {
		return nil, fmt.Errorf("trainer: learning rate %v is not above 0", learningRate)
	}
	t := &Trainer{batch: batch, weights: w.Clone()}
	t.adam = newAdam(learningRate, t.weights.parameters())
	if err := t.build(); err != nil {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	return t, nil
}

// build compiles loss = -Σ target·log softmax(logits), with target the one-hot class times the row's share of the batch.
func (t *Trainer) build() error {
	buildMu.Lock()
	defer buildMu.Unlock()
	a := t.weights.Architecture
	rows := max(t.batch, 2) // Gorgonia does not broadcast a bias over a single row
	g := G.NewGraph()
	t.x, t.target = make([]float32, rows*a.Inputs), make([]float32, rows*a.Classes)
	x, target := leaf(g, "x", t.x, rows, a.Inputs), leaf(g, "target", t.target, rows, a.Classes)
	logits, parameters, err := perceptron(g, x, t.weights)
	if err != nil {
		return err
	}
	logp, err := logSoftMax(logits)
	if err != nil {
		return err
	}
	likelihood, err := G.HadamardProd(target, logp)
	if err != nil {
		return err
	}
	sum, err := G.Sum(likelihood)
	if err != nil {
		return err
	}
	if t.loss, err = G.Neg(sum); err != nil {
		return err
	}
	if _, err := G.Grad(t.loss, parameters...); err != nil {
		return err
	}
	t.parameters = parameters
	t.machine = G.NewTapeMachine(g, G.BindDualValues(parameters...))
	return nil
}

// Step takes one step of gradient descent on the mean log-loss of len(classes) rows and returns that loss, in nats, as it
// was before the step. There are 1 to batch rows; x holds Inputs features of each.
func (t *Trainer) Step(x []float32, classes []int) (loss float64, err error) {
	a := t.weights.Architecture
	rows := len(classes)
	if rows < 1 || rows > t.batch {
		return 0, fmt.Errorf("train: %d rows, the batch takes 1 to %d", rows, t.batch)
	}
	if len(x) != rows*a.Inputs {
		return 0, fmt.Errorf("train: %d features for %d rows; architecture %s takes %d", len(x), rows, a, rows*a.Inputs)
	}
	clear(t.x)
	clear(t.target) // rows of padding have target 0, so neither loss nor gradient
	t.weights.standardise(x, t.x)
	for r, c := range classes {
		if c < 0 || c >= a.Classes {
			return 0, fmt.Errorf("train: row %d: class %d of architecture %s", r, c, a)
		}
		t.target[r*a.Classes+c] = 1 / float32(rows)
	}
	t.machine.Reset()
	if err := t.machine.RunAll(); err != nil {
		return 0, fmt.Errorf("train: run graph: %w", err)
	}
	gradients, err := t.gradients()
	if err != nil {
		return 0, err
	}
	value, ok := t.loss.Value().Data().(float32)
	if !ok || math.IsNaN(float64(value)) || math.IsInf(float64(value), 0) {
		for _, g := range gradients { // or the next step would add to them
			clear(g)
		}
		return 0, fmt.Errorf("train: loss is %v; lower the learning rate or check the features", t.loss.Value())
	}
	t.adam.step(t.weights.parameters(), gradients)
	return float64(value), nil
}

// gradients returns the slices that the machine adds to, in the order of Weights.parameters.
func (t *Trainer) gradients() ([][]float32, error) {
	gradients := make([][]float32, len(t.parameters))
	for i, p := range t.parameters {
		grad, err := p.Grad()
		if err != nil {
			return nil, fmt.Errorf("train: gradient of %s: %w", p.Name(), err)
		}
		dense, ok := grad.(*tensor.Dense)
		if !ok {
			return nil, fmt.Errorf("train: gradient of %s is a %T", p.Name(), grad)
		}
		gradients[i] = dense.Float32s()
	}
	return gradients, nil
}

// Snapshot returns a copy of the weights as they are.
func (t *Trainer) Snapshot() *Weights { return t.weights.Clone() }

// State returns the weights and the optimiser's moments as a safetensors file, for NewTrainer-and-Restore elsewhere.
func (t *Trainer) State() []byte {
	s := newTensors()
	s.metadata[metaState] = strconv.Itoa(stateVersion)
	s.metadata[metaArchitecture] = t.weights.Architecture.String()
	s.metadata[metaSteps] = strconv.FormatInt(t.adam.t, 10)
	for name, data := range t.stateSlices() {
		s.put(name, data, len(data))
	}
	return s.encode()
}

// StateBytes is how large a State of the architecture is but for its header, which takes some kilobytes at most.
func StateBytes(a Architecture) int { return 4 * (3*a.elements() - 4*a.Inputs) }

// StateArchitecture returns the architecture of the trainer that a State is of.
func StateArchitecture(name string, state []byte) (Architecture, error) {
	s, err := decodeTensors(name, state)
	if err != nil {
		return Architecture{}, err
	}
	a, err := ParseArchitecture(s.metadata[metaArchitecture])
	if err != nil {
		return Architecture{}, &FormatError{Name: name, Offset: 8, Reason: err.Error()}
	}
	return a, nil
}

// stateVersion is written into every trainer state. Raise it when State changes what it writes.
const stateVersion = 1

const (
	metaState = "prescale.trainer"
	metaSteps = "prescale.steps"
)

// Restore replaces weights and moments by those of a State of the same architecture. On an error t is unchanged.
func (t *Trainer) Restore(name string, state []byte) error {
	s, err := decodeTensors(name, state)
	if err != nil {
		return err
	}
	fail := func(format string, args ...any) error {
		return &FormatError{Name: name, Offset: 8, Reason: fmt.Sprintf(format, args...)}
	}
	if v := s.metadata[metaState]; v != strconv.Itoa(stateVersion) {
		return fail("metadata %s is %q; this program reads version %d", metaState, v, stateVersion)
	}
	if v := s.metadata[metaArchitecture]; v != t.weights.Architecture.String() {
		return fail("architecture %s, the trainer's is %s", v, t.weights.Architecture)
	}
	steps, err := strconv.ParseInt(s.metadata[metaSteps], 10, 64)
	if err != nil || steps < 0 {
		return fail("metadata %s is %q", metaSteps, s.metadata[metaSteps])
	}
	into := t.stateSlices()
	if len(s.data) != len(into) {
		return fail("%d tensors, a trainer has %d", len(s.data), len(into))
	}
	var errs []error
	for n, data := range into {
		if len(s.data[n]) != len(data) {
			errs = append(errs, fail("tensor %q: %d numbers, not %d", n, len(s.data[n]), len(data)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for n, data := range into {
		copy(data, s.data[n])
	}
	t.adam.t = steps
	return nil
}

// stateSlices names every slice that a resumed trainer needs.
func (t *Trainer) stateSlices() map[string][]float32 {
	all := map[string][]float32{"input.mean": t.weights.Mean, "input.scale": t.weights.Scale}
	for i, p := range t.weights.parameters() {
		n := strconv.Itoa(i)
		all["parameter."+n], all["adam.m."+n], all["adam.v."+n] = p, t.adam.m[i], t.adam.v[i]
	}
	return all
}

// Close frees the machine. The trainer is of no use afterwards.
func (t *Trainer) Close() error { return t.machine.Close() }
