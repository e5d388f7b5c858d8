package model

import (
	"fmt"
	"hash"
	"hash/fnv"
	"math"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// logSoftMaxOp is log softmax over the columns of a float32 matrix, as a Gorgonia op.
//
// Gorgonia's own (tensor v0.9.24, softMaxLastDimF32) takes the maximum of a row and of the matrix's very first element as the
// shift of every row. When that element is greater than a row's by some hundred, all of the row's exponentials are 0 and the
// result is NaN: one extreme row would spoil a whole batch. It starts a goroutine a row as well.
type logSoftMaxOp struct{}

// logSoftMaxDiffOp is its gradient: from the op's output y and the gradient dy of that, dx = dy - exp(y)·Σ(dy) by row.
type logSoftMaxDiffOp struct{}

var (
	_ G.SDOp = logSoftMaxOp{}
	_ G.Op   = logSoftMaxDiffOp{}
)

func logSoftMax(x *G.Node) (*G.Node, error) { return G.ApplyOp(logSoftMaxOp{}, x) }

// Do computes into a new matrix.
func (logSoftMaxOp) Do(inputs ...G.Value) (G.Value, error) {
	x, rows, columns, err := matrix(inputs[0])
	if err != nil {
		return nil, err
	}
	y := make([]float32, len(x))
	for at := 0; at < rows*columns; at += columns {
		row := x[at : at+columns]
		top := row[0]
		for _, v := range row[1:] {
			top = max(top, v)
		}
		var sum float64
		for _, v := range row {
			sum += math.Exp(float64(v - top))
		}
		shift := float32(float64(top) + math.Log(sum))
		for i, v := range row {
			y[at+i] = v - shift
		}
	}
	return tensor.New(tensor.WithShape(rows, columns), tensor.WithBacking(y)), nil
}

// Do computes into a new matrix.
func (logSoftMaxDiffOp) Do(inputs ...G.Value) (G.Value, error) {
	y, rows, columns, err := matrix(inputs[0])
	if err != nil {
		return nil, err
	}
	dy, _, _, err := matrix(inputs[1])
	if err != nil {
		return nil, err
	}
	if len(dy) != len(y) {
		return nil, fmt.Errorf("log softmax gradient: %d values and %d gradients", len(y), len(dy))
	}
	dx := make([]float32, len(y))
	for at := 0; at < rows*columns; at += columns {
		var sum float64
		for _, g := range dy[at : at+columns] {
			sum += float64(g)
		}
		for i := at; i < at+columns; i++ {
			dx[i] = float32(float64(dy[i]) - math.Exp(float64(y[i]))*sum)
		}
	}
	return tensor.New(tensor.WithShape(rows, columns), tensor.WithBacking(dx)), nil
}

// SymDiff implements gorgonia.SDOp.
func (logSoftMaxOp) SymDiff(_ G.Nodes, output, grad *G.Node) (G.Nodes, error) {
	dx, err := G.ApplyOp(logSoftMaxDiffOp{}, output, grad)
	return G.Nodes{dx}, err
}

// DiffWRT implements gorgonia.SDOp.
func (logSoftMaxOp) DiffWRT(int) []bool { return []bool{true} }

// matrix returns the numbers of a float32 matrix, row by row.
func matrix(v G.Value) (data []float32, rows, columns int, err error) {
	d, ok := v.(*tensor.Dense)
	if !ok || d.Dtype() != tensor.Float32 || d.Dims() != 2 {
		return nil, 0, 0, fmt.Errorf("log softmax: %T %v is not a float32 matrix", v, v.Shape())
	}
	return d.Float32s(), d.Shape()[0], d.Shape()[1], nil
}

// The rest is what gorgonia.Op asks for: both ops map matrices of one shape to a matrix of that shape.

func (logSoftMaxOp) Arity() int     { return 1 }
func (logSoftMaxDiffOp) Arity() int { return 2 }

func (logSoftMaxOp) Type() hm.Type {
	a := hm.TypeVariable('a')
	return hm.NewFnType(a, a)
}

func (logSoftMaxDiffOp) Type() hm.Type {
	a := hm.TypeVariable('a')
	return hm.NewFnType(a, a, a)
}

func inferFirst(inputs []G.DimSizer) (tensor.Shape, error) {
	s, ok := inputs[0].(tensor.Shape)
	if !ok {
		return nil, fmt.Errorf("log softmax: shape is a %T", inputs[0])
	}
	return s.Clone(), nil
}

func (logSoftMaxOp) InferShape(inputs ...G.DimSizer) (tensor.Shape, error) { return inferFirst(inputs) }
func (logSoftMaxDiffOp) InferShape(inputs ...G.DimSizer) (tensor.Shape, error) {
	return inferFirst(inputs)
}

func (logSoftMaxOp) ReturnsPtr() bool         { return false }
func (logSoftMaxDiffOp) ReturnsPtr() bool     { return false }
func (logSoftMaxOp) CallsExtern() bool        { return false }
func (logSoftMaxDiffOp) CallsExtern() bool    { return false }
func (logSoftMaxOp) OverwritesInput() int     { return -1 }
func (logSoftMaxDiffOp) OverwritesInput() int { return -1 }
func (logSoftMaxOp) String() string           { return "LogSoftMax" }
func (logSoftMaxDiffOp) String() string       { return "LogSoftMaxDiff" }

func (o logSoftMaxOp) WriteHash(h hash.Hash)     { _, _ = fmt.Fprint(h, o.String()) }
func (o logSoftMaxDiffOp) WriteHash(h hash.Hash) { _, _ = fmt.Fprint(h, o.String()) }
func (o logSoftMaxOp) Hashcode() uint32          { return hashOf(o.String()) }
func (o logSoftMaxDiffOp) Hashcode() uint32      { return hashOf(o.String()) }

func hashOf(s string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s))
	return h.Sum32()
}
