// Package calendar tells a model of known events, in which arrivals are a stated multiple of the usual ones. The model learns and
// forecasts the usual level alone: what comes within an event is divided by its factor, and what is forecast of it multiplied. So
// an event is foreseen as far ahead as the horizon reaches, the first time too, and afterwards neither the level nor the season
// remembers it. A factor is taken as stated, or learned from the event's past occurrences (learned.go).
package calendar

import (
	"fmt"
	"time"

	"github.com/prescale/prescale/forecaster"
)

// Model is a forecaster.Model of a series with known events over one of the usual level. Its Accuracy is that of the model below:
// what was told and what came are both divided by the factor. Its checkpoints are those of the model below, with what was learned
// of events before them, so events may be added and removed. It is not safe for concurrent use.
type Model struct {
	usual   forecaster.Model
	step    time.Duration
	events  []event
	factors []float64 // of the steps ahead
	ahead   forecaster.Forecast
}

type event struct {
	span *forecaster.Recurrence
	// factor is in force now; first is the stated one, where learning begins. learned is nil where nothing is to be learned.
	factor, first float64
	learned       *learned
}

// New returns a Model over usual, which was made with config, that knows config.Events.
func New(usual forecaster.Model, config forecaster.Config) (*Model, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("forecaster: %w", err)
	}
	m := &Model{usual: usual, step: config.Step, factors: make([]float64, config.MaxSteps)}
	for _, e := range config.Events {
		span, err := e.Span.Compile()
		if err != nil {
			return nil, fmt.Errorf("event %s: %w", e.Name, err)
		}
		one := event{span: span, factor: e.Factor, first: e.Factor}
		if e.Learn {
			one.learned = &learned{Name: e.Name}
		}
		m.events = append(m.events, one)
	}
	return m, nil
}

// Observe implements forecaster.Model.
func (m *Model) Observe(at time.Time, value float64) {
	if len(m.events) == 0 {
		m.usual.Observe(at, value)
		return
	}
	m.learn(at, value)
	m.usual.Observe(at, value/m.factor(at))
}

// Forecast implements forecaster.Model.
func (m *Model) Forecast(dst *forecaster.Forecast, steps int) {
	m.usual.Forecast(dst, steps)
	if len(m.events) == 0 {
		return
	}
	factors, most, plain := m.factors[:dst.Steps], 0.0, true
	for k := range factors {
		factors[k] = m.factor(dst.At.Add(time.Duration(k+1) * m.step))
		most = max(most, factors[k])
		plain = plain && factors[k] == 1
	}
	if plain {
		return
	}
	n := len(dst.Levels)
	for i := range n {
		usual, told := 0.0, 0.0
		for k, f := range factors {
			q := &dst.PerStep[k*n+i]
			usual = max(usual, *q)
			*q *= f
			told = max(told, *q)
		}
		// The maximum stays as far above the largest step, in proportion, as it was: exact where the factor is the same
		// throughout, and else no lower than any step and no higher than the largest factor makes it.
		if usual > 0 {
			dst.Max[i] *= told / usual
		} else {
			dst.Max[i] *= most
		}
		dst.Max[i] = max(dst.Max[i], told)
		if i > 0 {
			dst.Max[i] = max(dst.Max[i], dst.Max[i-1])
		}
	}
}

// factor returns the mean factor of the step that ends at `end`.
func (m *Model) factor(end time.Time) float64 {
	mean, t := 0.0, end.Add(-m.step)
	for begun := false; ; begun = true {
		f, until := m.at(t)
		if !until.Before(end) {
			if !begun {
				return f
			}
			return mean + f*float64(end.Sub(t))/float64(m.step)
		}
		mean += f * float64(until.Sub(t)) / float64(m.step)
		t = until
	}
}

// at returns the factor at t, the largest where events overlap and 1 where there is none, and until when it holds at least.
func (m *Model) at(t time.Time) (factor float64, until time.Time) {
	for i := range m.events {
		e := &m.events[i]
		on, end := e.span.On(t)
		if i == 0 || end.Before(until) {
			until = end
		}
		if on {
			factor = max(factor, e.factor)
		}
	}
	if factor == 0 {
		factor = 1
	}
	return factor, until
}
