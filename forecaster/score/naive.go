package score

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/prescale/prescale/forecaster"
)

// memory is how many of its own latest errors, per step, a naive method takes its quantiles from.
const memory = 200

// Naive returns the methods to beat: the last value, the mean of ten, smoothing, and the same time a season ago.
func Naive(config forecaster.Config) []Method {
	season := 24 * time.Hour
	if len(config.Seasons) > 0 {
		season = config.Seasons[0]
	}
	m := config.SeasonSteps(season)
	last := func(p []float64, _ int) float64 { return p[len(p)-1] }
	return []Method{
		{"last value", newNaive(config, 1, last)},
		{"mean of 10", newNaive(config, 10, func(p []float64, _ int) float64 { return mean(p) })},
		{"smoothing 0.3", newNaive(config, 20, func(p []float64, _ int) float64 {
			level := p[0]
			for _, v := range p {
				level += 0.3 * (v - level)
			}
			return level
		})},
		{"season ago", newNaive(config, max(1, m), func(p []float64, k int) float64 {
			if m == 0 || len(p) < m {
				return last(p, k)
			}
			return p[len(p)-m+(k-1)%m]
		})},
	}
}

func mean(p []float64) float64 {
	sum := 0.0
	for _, v := range p {
		sum += v
	}
	return sum / float64(len(p))
}

// naive is a point rule with the empirical quantiles of its own latest errors: rolling split-conformal prediction.
type naive struct {
	config forecaster.Config
	rule   func(past []float64, k int) float64
	length int
	past   []float64
	at     time.Time
	n      int
	said   [][]float64 // ring over time, per step
	errs   [][]float64 // per step, then of the maximum
	sorted []float64
}

func newNaive(config forecaster.Config, length int, rule func([]float64, int) float64) *naive {
	return &naive{config: config, rule: rule, length: length, said: make([][]float64, config.MaxSteps+1),
		errs: make([][]float64, config.MaxSteps+1)}
}

// Observe takes the next value; a gap repeats the last.
func (m *naive) Observe(at time.Time, value float64) {
	steps := 1
	if m.n > 0 {
		if steps = int(math.Round(float64(at.Sub(m.at)) / float64(m.config.Step))); steps < 1 {
			return
		}
	}
	m.at = at
	for range min(steps-1, 4*m.length) {
		m.push(math.NaN())
	}
	m.push(value)
}

func (m *naive) push(value float64) {
	gap := math.IsNaN(value)
	if gap {
		if m.n == 0 {
			return
		}
		value = m.past[len(m.past)-1]
	}
	m.past = append(m.past, value)
	if keep := max(m.length, m.config.MaxSteps) + 1; len(m.past) > 4*keep {
		m.past = append(m.past[:0], m.past[len(m.past)-keep:]...)
	}
	m.n++
	ring, h := len(m.said), m.config.MaxSteps
	for k := 1; k <= h && !gap; k++ {
		if then := m.said[((m.n-k)%ring+ring)%ring]; m.n > k && then != nil {
			m.note(k-1, value-then[k-1])
			if k == h {
				m.note(h, slices.Max(m.past[len(m.past)-h:])-slices.Max(then))
			}
		}
	}
	path := m.said[m.n%ring]
	if path == nil {
		path = make([]float64, h)
	}
	window := m.past[max(0, len(m.past)-m.length):]
	for k := range path {
		path[k] = m.rule(window, k+1)
	}
	m.said[m.n%ring] = path
}

func (m *naive) note(i int, e float64) {
	m.errs[i] = append(m.errs[i], e)
	if len(m.errs[i]) > 2*memory {
		m.errs[i] = append(m.errs[i][:0], m.errs[i][len(m.errs[i])-memory:]...)
	}
}

// Forecast writes the rule's path, moved by the quantiles of its errors.
func (m *naive) Forecast(dst *forecaster.Forecast, steps int) {
	q := len(m.config.Quantiles)
	*dst = forecaster.Forecast{At: m.at, Step: m.config.Step, Steps: steps, Levels: m.config.Quantiles,
		PerStep: make([]float64, steps*q), Max: make([]float64, q), Samples: m.n, Warm: m.n > memory, Trusted: true}
	if m.n == 0 {
		return
	}
	path := m.said[m.n%len(m.said)]
	for k := range steps {
		m.quantiles(dst.PerStep[k*q:(k+1)*q], path[k], m.errs[k])
	}
	m.quantiles(dst.Max, slices.Max(path[:steps]), m.errs[m.config.MaxSteps])
}

func (m *naive) quantiles(dst []float64, point float64, errs []float64) {
	m.sorted = append(m.sorted[:0], errs[max(0, len(errs)-memory):]...)
	slices.Sort(m.sorted)
	n := len(m.sorted)
	for i, tau := range m.config.Quantiles {
		dst[i] = point
		if n > 0 {
			// The error of conformal rank, ⌈τ(n+1)⌉ from 1; the hair is for products that rounding leaves above a whole number, such as
			// 0.55 × 100.
			rank := int(math.Ceil(tau*float64(n+1) - 1e-9))
			dst[i] = max(0, point+m.sorted[max(1, min(n, rank))-1])
		}
	}
}

var errNoCheckpoint = errors.New("naive methods keep no checkpoint")

// AppendCheckpoint returns b: a yardstick is not kept.
func (m *naive) AppendCheckpoint(b []byte) []byte { return b }

// Restore always fails.
func (m *naive) Restore([]byte) error { return errNoCheckpoint }
