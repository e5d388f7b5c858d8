package model

import "math"

// adam is the optimiser of Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), algorithm 1, in the paper's
// symbols. Gorgonia's own hides its moments, and a trainer that cannot be checkpointed would not resume with the same bits.
type adam struct {
	alpha, beta1, beta2, epsilon float64
	t                            int64       // steps taken
	m, v                         [][]float32 // first and second moment of each parameter
}

func newAdam(alpha float64, parameters [][]float32) *adam {
	a := &adam{alpha: alpha, beta1: 0.9, beta2: 0.999, epsilon: 1e-8}
	for _, p := range parameters {
		a.m = append(a.m, make([]float32, len(p)))
		a.v = append(a.v, make([]float32, len(p)))
	}
	return a
}

// step moves every parameter against its gradient and zeroes the gradient, which a Gorgonia machine would otherwise add to.
func (a *adam) step(parameters, gradients [][]float32) {
	a.t++
	// The paper's efficient form, end of section 2: both bias corrections in the step size.
	c1 := 1 - math.Pow(a.beta1, float64(a.t))
	c2 := math.Sqrt(1 - math.Pow(a.beta2, float64(a.t)))
	alpha := float32(a.alpha * c2 / c1)
	b1, b2 := float32(a.beta1), float32(a.beta2)
	epsilon := float32(a.epsilon * c2)
	for k, p := range parameters {
		g, m, v := gradients[k][:len(p)], a.m[k][:len(p)], a.v[k][:len(p)]
		for i := range p {
			m[i] = float32(b1*m[i]) + float32((1-b1)*g[i])
			v[i] = float32(b2*v[i]) + float32((1-b2)*g[i])*g[i]
			p[i] -= float32(alpha * m[i] / (sqrt32(v[i]) + epsilon))
			g[i] = 0
		}
	}
}

func sqrt32(x float32) float32 { return float32(math.Sqrt(float64(x))) }
