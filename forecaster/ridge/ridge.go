// Package ridge forecasts each step ahead by a regularised linear regression on recent values, running means and the same
// hours of past days, refitted all the time with exponential forgetting.
//
// It keeps the normal equations and solves them anew. The textbook recursion for forgetting least squares
// is not used: without excitation its inverse grows without bound and the forecasts leave all reason.
package ridge

import (
	"math"

	"github.com/prescale/prescale/forecaster/checkpoint"
	"github.com/prescale/prescale/forecaster/signal"
)

// Settings distinguish the two regressions in use.
type Settings struct {
	Inputs  int     // how many of the features are used, an even number
	Memory  float64 // samples after which a weight has fallen to 1/e
	Penalty float64 // pull towards the prior, as a share of the mean diagonal
}

// Ridge is one regression per anchor step; steps between anchors interpolate.
type Ridge struct {
	set     Settings
	feats   *Features
	anchors []int
	forget  float32
	seen    int // steps learned from

	a     [][]float32 // per anchor: lower triangle of the normal matrix, row by row
	b     [][]float32 // per anchor: right-hand side
	theta []float32   // [anchor][input]: solution
	past  []float32   // [row of feats]: the prediction, for the Huber weight
	turn  int
	owner bool // whether this one's checkpoint holds the shared features
}

// New makes a Ridge over feats, which several may share.
func New(feats *Features, set Settings) *Ridge {
	r := &Ridge{set: set, feats: feats, anchors: feats.anchors, forget: float32(1 - 1/set.Memory)}
	r.owner, feats.owned = !feats.owned, true
	d := set.Inputs
	for range r.anchors {
		r.a = append(r.a, make([]float32, d*(d+1)/2))
		r.b = append(r.b, make([]float32, d))
	}
	r.theta = make([]float32, len(r.anchors)*d)
	for i := range r.anchors {
		theta := r.solution(i)
		theta[inputNow], theta[inputMean5] = 0.5, 0.5
	}
	r.past = make([]float32, len(feats.kept)/own)
	return r
}

// solution returns anchor i's.
func (r *Ridge) solution(i int) []float32 { return r.theta[i*r.set.Inputs:][:r.set.Inputs] }

// Observe learns from the latest value: each anchor's forecast of it, made as many steps ago, is compared.
func (r *Ridge) Observe(s *signal.Signal) {
	f := r.feats
	if s.Gap() == 0 {
		r.seen++
		limit := float32(4 * s.Scale())
		for i, h := range r.anchors {
			x, origin, ok := f.at(h, i, r.set.Inputs)
			if !ok {
				continue
			}
			target := float32(s.Now() - origin)
			e := target - r.past[f.row(s.Steps()-h, i)]
			w := float32(1)
			if e = max(e, -e); e > limit {
				w = limit / e
			}
			r.add(i, x, target, w)
		}
		for i := r.turn; i < len(r.anchors); i += 5 {
			r.fit(i)
		}
		r.turn = (r.turn + 1) % 5
	}
}

// known returns how many inputs, an even number, the normal matrix of anchor i has ever seen other than zero, up to the last of them, or
// those of the prior. What comes after, such as the inputs of a season that there is not, takes no work: it adds nothing, and its
// weights in the solution are zero.
func (r *Ridge) known(i int) int {
	a, n := r.a[i], r.set.Inputs
	for n > inputMean5+1 && a[n*(n+1)/2-1] == 0 && a[n*(n-1)/2-1] == 0 {
		n -= 2
	}
	return n
}

// add learns from one outcome, two rows at a time for the reason that solve takes two columns.
func (r *Ridge) add(i int, x []float32, target, w float32) {
	for n := r.known(i); len(x) > n && x[len(x)-1] == 0 && x[len(x)-2] == 0; {
		x = x[:len(x)-2]
	}
	a, b, forget := r.a[i], r.b[i][:len(x)], r.forget
	for j := 0; j+1 < len(x); j += 2 {
		wx0, wx1 := w*x[j], w*x[j+1]
		row0, row1, diagonal := a[:j+1], a[j+1:][:j+1], &a[2*j+2]
		for k, y := range x[:j+1] {
			row0[k] = forget*row0[k] + wx0*y
			row1[k] = forget*row1[k] + wx1*y
		}
		*diagonal = forget*(*diagonal) + wx1*x[j+1]
		b[j] = forget*b[j] + wx0*target
		b[j+1] = forget*b[j+1] + wx1*target
		a = a[2*j+3:]
	}
}

// keptWeight is what a change of the series leaves of the weight of what was learned before.
const keptWeight = 0.4

// Restart takes weight from what was learned, because the series is another from now on.
func (r *Ridge) Restart() {
	for i := range r.anchors {
		for j := range r.a[i] {
			r.a[i][j] *= keptWeight
		}
		for j := range r.b[i] {
			r.b[i][j] *= keptWeight
		}
	}
	r.seen = min(r.seen, restartSteps)
}

// restartSteps is what the prior is weighed against after a change, in steps.
const restartSteps = 60

// priorSteps is how many steps the prior is worth at first: a regression on sixteen inputs must not follow the first thirty
// values.
const priorSteps = 20

// fit sets theta_i to the solution of (A + dI) theta = b + d theta0.
func (r *Ridge) fit(i int) {
	d := r.known(i)
	trace := 0.0
	for j := range d {
		trace += float64(r.a[i][j*(j+1)/2+j])
	}
	delta := (r.set.Penalty+priorSteps/float64(priorSteps+r.seen))*trace/float64(r.set.Inputs) + 1e-9
	a, v := r.feats.matrix[:d*(d+1)/2], r.feats.solution[:d]
	for j, x := range r.a[i][:len(a)] {
		a[j] = float64(x)
	}
	for j := range d {
		a[j*(j+1)/2+j] += delta
	}
	for j, x := range r.b[i][:d] {
		v[j] = float64(x)
	}
	v[inputNow] += 0.5 * delta
	v[inputMean5] += 0.5 * delta
	if !solve(a, v, r.feats.left[:], r.feats.right[:]) {
		return
	}
	for _, t := range v {
		if math.IsNaN(t) || math.Abs(t) > 1e3 {
			return
		}
	}
	theta := r.solution(i)
	for j, t := range v {
		theta[j] = float32(t)
	}
	clear(theta[d:])
}

// Points sets the steps at and between anchors. It is called once per step, after every Observe, for the longest horizon.
func (r *Ridge) Points(s *signal.Signal, dst []float64) {
	f := r.feats
	if f.steps != s.Steps() {
		f.Update(s)
	}
	i := 0
	for k := 1; k <= len(dst); k++ {
		for i+1 < len(r.anchors) && r.anchors[i+1] <= k {
			i++
		}
		x := f.ahead(k)[:r.set.Inputs]
		v := dot(r.solution(i), x)
		if r.anchors[i] != k && i+1 < len(r.anchors) {
			share := float64(k-r.anchors[i]) / float64(r.anchors[i+1]-r.anchors[i])
			v += share * (dot(r.solution(i+1), x) - v)
		} else {
			r.past[f.row(f.steps, i)] = float32(v)
		}
		dst[k-1] = max(0, f.origin+v)
	}
}

// Visit visits the state for a checkpoint.
func (r *Ridge) Visit(c *checkpoint.Codec) {
	for i := range r.anchors {
		c.Float32s("ridge matrix", r.a[i])
		c.Float32s("ridge vector", r.b[i])
		c.Float32s("ridge solution", r.solution(i))
	}
	c.Float32s("ridge predictions", r.past)
	c.Int(&r.turn)
	c.Int(&r.seen)
	if r.owner {
		r.feats.visit(c)
	}
}

func dot(theta []float32, x []float64) float64 {
	sum := 0.0
	x = x[:len(theta)]
	for i, t := range theta {
		sum += float64(t) * x[i]
	}
	return sum
}
