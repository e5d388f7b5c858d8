package model

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Architecture is a multilayer perceptron: Inputs features, ReLU layers of the given widths, and a softmax over Classes.
// No Hidden layer makes it a softmax regression.
type Architecture struct {
	Inputs  int
	Hidden  []int
	Classes int
}

// Bounds on an Architecture: wide enough for what a CPU serves, narrow enough that a bad file cannot ask for gigabytes.
const (
	maxWidth  = 1 << 14
	maxHidden = 8
)

// Validate tells everything that is wrong with a.
func (a Architecture) Validate() error {
	var errs []error
	check := func(field string, n, low int) {
		if n < low || n > maxWidth {
			errs = append(errs, fmt.Errorf("architecture: %s: %d is outside %d to %d", field, n, low, maxWidth))
		}
	}
	check("inputs", a.Inputs, 1)
	for i, h := range a.Hidden {
		check("hidden["+strconv.Itoa(i)+"]", h, 1)
	}
	check("classes", a.Classes, 2)
	if len(a.Hidden) > maxHidden {
		errs = append(errs, fmt.Errorf("architecture: hidden: %d layers, more than %d", len(a.Hidden), maxHidden))
	}
	return errors.Join(errs...)
}

// String returns the form that ParseArchitecture reads, such as "3-16-16-2".
func (a Architecture) String() string {
	var b strings.Builder
	for i, w := range a.widths() {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(strconv.Itoa(w))
	}
	return b.String()
}

// ParseArchitecture reads widths from inputs to classes, such as "3-16-16-2".
func ParseArchitecture(s string) (Architecture, error) {
	var widths []int
	for field := range strings.SplitSeq(s, "-") {
		n, err := strconv.Atoi(field)
		if err != nil {
			return Architecture{}, fmt.Errorf("architecture %q: %q is not a number; write widths such as 3-16-16-2", s, field)
		}
		widths = append(widths, n)
	}
	if len(widths) < 2 {
		return Architecture{}, fmt.Errorf("architecture %q: needs at least inputs and classes, such as 3-16-16-2", s)
	}
	last := len(widths) - 1
	a := Architecture{Inputs: widths[0], Hidden: slices.Clip(widths[1:last]), Classes: widths[last]}
	return a, a.Validate()
}

// Equal reports whether a and b have the same widths.
func (a Architecture) Equal(b Architecture) bool { return slices.Equal(a.widths(), b.widths()) }

func (a Architecture) widths() []int {
	w := append([]int{a.Inputs}, a.Hidden...)
	return append(w, a.Classes)
}

// Weights are the parameters of one model. They are plain data: a runner or trainer made from them copies what it needs.
type Weights struct {
	Architecture Architecture
	// Mean and Scale standardise a feature before the first layer: (x - Mean[i]) * Scale[i]. Length Inputs.
	Mean, Scale []float32
	Layers      []Layer // len(Hidden)+1, from the inputs on
}

// Layer is y = xW + b, with W stored row by row: W[i*Out+o] weighs input i in output o.
type Layer struct {
	In, Out int
	W, B    []float32
}

// NewWeights draws hidden layers from He's normal distribution (He et al., "Delving Deep into Rectifiers", 2015, section
// 2.2) and leaves the last layer zero, so that an untrained model gives every class the same score. Features pass
// unchanged. It panics on an architecture that Validate refuses.
func NewWeights(a Architecture, rng *rand.Rand) *Weights {
	if err := a.Validate(); err != nil {
		panic(err)
	}
	w := zeroWeights(a)
	for _, l := range w.Layers[:len(w.Layers)-1] {
		deviation := heDeviation(l.In)
		for i := range l.W {
			l.W[i] = float32(rng.NormFloat64() * deviation)
		}
	}
	return w
}

func zeroWeights(a Architecture) *Weights {
	w := &Weights{Architecture: a, Mean: make([]float32, a.Inputs), Scale: make([]float32, a.Inputs)}
	for i := range w.Scale {
		w.Scale[i] = 1
	}
	widths := a.widths()
	for i := range len(widths) - 1 {
		in, out := widths[i], widths[i+1]
		w.Layers = append(w.Layers, Layer{In: in, Out: out, W: make([]float32, in*out), B: make([]float32, out)})
	}
	return w
}

// Clone returns a deep copy.
func (w *Weights) Clone() *Weights {
	c := *w
	c.Mean, c.Scale = slices.Clone(w.Mean), slices.Clone(w.Scale)
	c.Layers = slices.Clone(w.Layers)
	for i := range c.Layers {
		c.Layers[i].W, c.Layers[i].B = slices.Clone(w.Layers[i].W), slices.Clone(w.Layers[i].B)
	}
	return &c
}

// elements is the number of float32 in Weights of a.
func (a Architecture) elements() int {
	n := 2 * a.Inputs
	widths := a.widths()
	for i := range len(widths) - 1 {
		n += (widths[i] + 1) * widths[i+1]
	}
	return n
}

// parameters lists the slices that training changes, in a fixed order: weight and bias of each layer.
func (w *Weights) parameters() [][]float32 {
	var p [][]float32
	for _, l := range w.Layers {
		p = append(p, l.W, l.B)
	}
	return p
}

// standardise writes the standardised rows of x into out, both rows of Inputs.
func (w *Weights) standardise(x, out []float32) {
	n := w.Architecture.Inputs
	for at := 0; at < len(x); at += n {
		for i := range n {
			out[at+i] = (x[at+i] - w.Mean[i]) * w.Scale[i]
		}
	}
}

// heDeviation is the standard deviation of He's initialisation for a layer with the given fan-in.
func heDeviation(fanIn int) float64 { return math.Sqrt(2 / float64(fanIn)) }
