// Package level forecasts that things stay as they are: the last value, running means of several spans, and a damped
// trend. Its experts need a handful of samples and are what a young series is forecast by.
package level

import (
	"github.com/prescale/prescale/forecaster/checkpoint"
	"github.com/prescale/prescale/forecaster/signal"
)

// Last says that the next values equal the last one.
type Last struct{}

// Observe does nothing: Last has no state.
func (Last) Observe(*signal.Signal) {}

// Points sets every step to the latest value.
func (Last) Points(s *signal.Signal, dst []float64) { fill(dst, s.Now()) }

// Visit does nothing: Last has no state.
func (Last) Visit(*checkpoint.Codec) {}

// Mean says that the next values equal a running mean: simple exponential smoothing with a fixed gain.
type Mean struct{ Span signal.Mean }

// Observe does nothing: the Signal keeps the means.
func (Mean) Observe(*signal.Signal) {}

// Points sets every step to the mean.
func (m Mean) Points(s *signal.Signal, dst []float64) { fill(dst, s.Mean(m.Span)) }

// Visit does nothing: the Signal keeps the means.
func (Mean) Visit(*checkpoint.Codec) {}

func fill(dst []float64, v float64) {
	for i := range dst {
		dst[i] = v
	}
}

// Max says that the next values equal the largest of the last Span: nothing to believe in the middle, but hard to beat in
// the upper tail when bursts or outages come and go. Span is at most 64.
type Max struct{ Span int }

// Observe does nothing: the Signal keeps the values.
func (Max) Observe(*signal.Signal) {}

// Points sets every step to the maximum.
func (m Max) Points(s *signal.Signal, dst []float64) {
	peak := s.Now()
	for i := 1; i < m.Span; i++ {
		peak = max(peak, s.Lag(i))
	}
	fill(dst, peak)
}

// Visit does nothing: the Signal keeps the values.
func (Max) Visit(*checkpoint.Codec) {}
