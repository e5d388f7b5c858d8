package ridge

import (
	"math"

	"github.com/prescale/prescale/forecaster/checkpoint"
	"github.com/prescale/prescale/forecaster/signal"
)

// Inputs are all features; FastInputs the leading ones, which know nothing of seasons.
const (
	FastInputs = 8
	Inputs     = 16
)

// Of the inputs, the first shared ones are the same for every step ahead, the rest own to each.
const (
	shared = 8
	own    = Inputs - shared
)

const (
	inputNow   = 1
	inputMean5 = 5
)

// Features computes and keeps the inputs of the regressions: those of now for every step ahead, and those of past steps
// until their outcomes are known.
type Features struct {
	anchors []int
	reach   int
	owned   bool
	origin  float64
	rows    [][]float64 // now: step ahead k at k-1

	first   []int     // [anchor]: the first of its rows, of which it has one more than steps until its outcome
	common  []float32 // ring over time: the shared ones
	kept    []float32 // [row]: an anchor's own
	scratch [Inputs]float32
	origins []float64
	filled  []bool
	steps   int

	// Scratch for the solution of one regression.
	matrix                [Inputs * (Inputs + 1) / 2]float64
	solution, left, right [Inputs]float64
}

// anchorsFor picks at most ten steps, dense where the near future changes fast.
func anchorsFor(reach int) []int {
	if reach <= 10 {
		out := make([]int, reach)
		for i := range out {
			out[i] = i + 1
		}
		return out
	}
	out := []int{1, 2, 3}
	for len(out) < 10 {
		last, left := out[len(out)-1], 10-len(out)
		ratio := math.Pow(float64(reach)/float64(last), 1/float64(left))
		next := max(last+1, int(math.Round(float64(last)*ratio)))
		if len(out) == 9 {
			next = reach
		}
		out = append(out, next)
	}
	return out
}

// NewFeatures makes room for horizons up to reach steps.
func NewFeatures(reach int) *Features {
	f := &Features{anchors: anchorsFor(reach), reach: reach}
	for range reach {
		f.rows = append(f.rows, make([]float64, Inputs))
	}
	rows := 0
	for _, h := range f.anchors {
		f.first = append(f.first, rows)
		rows += h + 1
	}
	f.common, f.kept = make([]float32, (reach+1)*shared), make([]float32, rows*own)
	f.origins = make([]float64, reach+1)
	f.filled = make([]bool, reach+1)
	return f
}

// Update computes the features of now, once per step, after the regressions learned from the step.
func (f *Features) Update(s *signal.Signal) {
	f.steps = s.Steps()
	at := f.steps % (f.reach + 1)
	f.filled[at] = s.Known() > 0 && s.Gap() == 0
	e60 := s.Mean(signal.Mean60)
	f.origin = e60
	f.origins[at] = e60
	var base [Inputs]float64
	base[0] = 0.1
	for i := range 4 {
		base[1+i] = s.Lag(i) - e60
	}
	base[5] = s.Mean(signal.Mean5) - e60
	base[6] = s.Mean(signal.Mean15) - e60
	mean := 0.0
	for i := 4; i < 12; i++ {
		mean += s.Lag(i)
	}
	base[7] = mean/8 - e60
	day, week := s.Day(), s.Week()
	now, shaped := s.Shape(0)
	dayNow, weekNow := s.Alike(0), math.NaN()
	seasonal2 := day > 0 && s.Steps() >= 2*day
	if week > 0 && s.Steps() > week {
		weekNow = three(s, week)
	}
	turnNow := s.Turn(0)
	for k := 1; k <= f.reach; k++ {
		x := f.rows[k-1]
		copy(x, base[:8])
		for i := 8; i < Inputs; i++ {
			x[i] = 0
		}
		if v := s.Turn(k); !math.IsNaN(v) && !math.IsNaN(turnNow) {
			x[14], x[15] = v-turnNow, turnNow-e60
		}
		if !seasonal2 {
			continue
		}
		if then, ok := s.Shape(k); ok && shaped {
			x[8], x[9] = then-e60, now-e60
		}
		if v := s.Alike(k); !math.IsNaN(v) && !math.IsNaN(dayNow) {
			x[10], x[11] = v-dayNow, dayNow-e60
		}
		if !math.IsNaN(weekNow) {
			if v := three(s, week-k); !math.IsNaN(v) {
				x[12], x[13] = v-weekNow, weekNow-e60
			}
		}
	}
	for i, v := range base[:shared] {
		f.common[at*shared+i] = float32(v)
	}
	for i, h := range f.anchors {
		kept := f.kept[f.row(f.steps, i)*own:]
		for j, v := range f.rows[h-1][shared : shared+own] {
			kept[j] = float32(v)
		}
	}
}

// row returns where what anchor i's forecast was made of at a step is kept until its outcome is known.
func (f *Features) row(step, i int) int { return f.first[i] + step%(f.anchors[i]+1) }

func three(s *signal.Signal, ago int) float64 {
	a, b, c := s.Past(ago-1), s.Past(ago), s.Past(ago+1)
	if math.IsNaN(a) || math.IsNaN(c) {
		return b
	}
	return (a + b + c) / 3
}

// at returns the first n features that anchor i had h steps before the coming Update, valid until the next
// call, their origin, and whether they are whole.
func (f *Features) at(h, i, n int) ([]float32, float64, bool) {
	t := f.steps + 1 - h
	if t < 1 {
		return nil, 0, false
	}
	at := t % (f.reach + 1)
	common := f.common[at*shared:][:shared]
	x := common[:min(n, shared)]
	if n > shared {
		x = f.scratch[:n]
		copy(x, common)
		copy(x[shared:], f.kept[f.row(t, i)*own:])
	}
	return x, f.origins[at], f.filled[at]
}

func (f *Features) ahead(k int) []float64 { return f.rows[k-1] }

func (f *Features) visit(c *checkpoint.Codec) {
	c.Same("reach", f.reach)
	c.Float64(&f.origin)
	c.Float32s("common features", f.common)
	c.Float32s("kept features", f.kept)
	c.Float64s("origins", f.origins)
	for i := range f.filled {
		c.Bool(&f.filled[i])
	}
	c.Int(&f.steps)
}
