package scaler

import "math"

// rivals set the forecast of the next tick against the last value with the spread that it lately had, by the mean pinball loss over
// the levels up to 0.99. Where the last value does better by far, and two ticks in a row brought more than the forecast's highest
// quantile, the load has become another and the forecast does not follow yet.
type rivals struct {
	// Next holds the forecast of the next tick by path level and Other the last value's, in records per second; 0 Next: none.
	Next, Other [pathCount]float64
	// Forecast and Last are the losses of both, exponentially weighted, in records per second.
	Forecast, Last float64
	Count          int
	// Above counts ticks in a row that brought more than was forecast at the highest level.
	Above int
	// Lost says that the forecast lost and has not caught up.
	Lost bool
}

const (
	// rivalGain makes ten ticks the memory. lostRatio is by how much the forecast must do worse, which it does when a step is two
	// ticks old, and one tick of it, a spike, may be anything.
	rivalGain = 0.1
	lostRatio = 1.5
	lostAbove = 2
	// rivalLevels is how many of the path levels count: those up to 0.99.
	rivalLevels = 5
)

// observe settles what was told of the tick that brought x records per second; NaN where that is not known.
func (r *rivals) observe(x float64) {
	if r.Next[0] > 0 && !math.IsNaN(x) {
		r.Count++
		gain := max(rivalGain, 1/float64(r.Count))
		r.Forecast += gain * (pinball(&r.Next, x) - r.Forecast)
		r.Last += gain * (pinball(&r.Other, x) - r.Last)
		r.Above++
		if x <= r.Next[rivalLevels-1] {
			r.Above = 0
		}
		switch {
		case r.Forecast <= r.Last:
			r.Lost = false
		case r.Forecast > lostRatio*r.Last && r.Above >= lostAbove && r.Count > int(1/rivalGain):
			r.Lost = true
		}
	}
	r.Next[0] = 0
}

// pinball returns the mean pinball loss of what was told of x.
func pinball(told *[pathCount]float64, x float64) float64 {
	sum := 0.0
	for j, level := range pathLevels[:rivalLevels] {
		sum += max(level*(x-told[j]), (level-1)*(x-told[j]))
	}
	return sum / rivalLevels
}

// note keeps what the forecast says of the next tick, and the last value with a deviation of sigma.
func (r *rivals) note(next [pathCount]float64, last, sigma float64) {
	r.Next = next
	for j := range r.Other {
		r.Other[j] = last + gaussian[j]*sigma
	}
}
