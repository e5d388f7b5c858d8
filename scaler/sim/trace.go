package sim

import (
	"errors"
	"fmt"
	"math"
	"sort"
)

// Trace is a history of arrivals: Rates[i] records per second throughout [i×Step, (i+1)×Step) seconds.
type Trace struct {
	Name  string
	Step  float64
	Rates []float64

	sums []float64 // cumulative records at the end of each step
}

// NewTrace makes a trace of rates that are finite and not negative. The slice is kept.
func NewTrace(name string, step float64, rates []float64) (*Trace, error) {
	if !(step > 0) {
		return nil, fmt.Errorf("trace %s: step: %v: want more than 0 seconds", name, step)
	}
	if len(rates) == 0 {
		return nil, errors.New("trace " + name + ": is empty")
	}
	t := &Trace{Name: name, Step: step, Rates: rates, sums: make([]float64, len(rates)+1)}
	for i, r := range rates {
		if !(r >= 0) || math.IsInf(r, 0) {
			return nil, fmt.Errorf("trace %s: rate %d: %v: want a number of 0 or more", name, i, r)
		}
		t.sums[i+1] = t.sums[i] + r*step
	}
	if t.sums[len(rates)] == 0 {
		return nil, errors.New("trace " + name + ": nothing ever arrives")
	}
	return t, nil
}

// Duration returns the length in seconds.
func (t *Trace) Duration() float64 { return float64(len(t.Rates)) * t.Step }

// MeanRate returns the mean arrivals in records per second.
func (t *Trace) MeanRate() float64 { return t.sums[len(t.Rates)] / t.Duration() }

// Rate returns the rate at a time, 0 outside the trace.
func (t *Trace) Rate(at float64) float64 {
	i := int(math.Floor(at / t.Step))
	if i < 0 || i >= len(t.Rates) {
		return 0
	}
	return t.Rates[i]
}

// Arrived returns how many records arrived before a time.
func (t *Trace) Arrived(at float64) float64 {
	if at <= 0 {
		return 0
	}
	x := at / t.Step
	i := int(x)
	if i >= len(t.Rates) {
		return t.sums[len(t.Rates)]
	}
	return t.sums[i] + (x-float64(i))*t.Step*t.Rates[i]
}

// nextChange returns the end of the step that a time is in.
func (t *Trace) nextChange(at float64) float64 {
	next := (math.Floor(at/t.Step) + 1) * t.Step
	if next <= at {
		next += t.Step
	}
	return next
}

// arrivalTime returns when the record number `records` arrived, looking from step hint on backwards or forwards.
func (t *Trace) arrivalTime(records float64, hint int) (at float64, step int) {
	i := min(max(hint, 0), len(t.Rates)-1)
	if t.sums[i] > records || (i+8 < len(t.sums) && t.sums[i+8] < records) {
		i = sort.SearchFloat64s(t.sums, records) - 1
		i = min(max(i, 0), len(t.Rates)-1)
	}
	for i+1 < len(t.Rates) && t.sums[i+1] <= records {
		i++
	}
	if t.Rates[i] <= 0 {
		return float64(i+1) * t.Step, i
	}
	return float64(i)*t.Step + max(0, records-t.sums[i])/t.Rates[i], i
}
