package scaler

import (
	"math"

	"github.com/prescale/prescale/metrics/series"
)

// recent keeps the latest arrival rates, for the rules that need no forecaster.
type recent struct {
	Level, Trend, Noise float64 // exponentially weighted mean, its drift a tick, mean absolute error of one tick ahead
	Last                float64
	Count               int
	// Beyond is by how much the last value left the level, where that was more than chance; 0 where it was not.
	Beyond float64 `json:",omitzero"`
}

const (
	levelGain = 0.4
	noiseGain = 0.05
	// beyondNoise is how many times its mean an error must be to be more than chance: five deviations of a normal variable. Two such
	// in a row to the same side are another level, and a single one may be anything.
	beyondNoise = 4
)

func (r *recent) observe(v series.Value) {
	x, ok := v.Get()
	if !ok || x < 0 {
		return
	}
	r.Last = x
	r.Count++
	if r.Count == 1 {
		r.Level, r.Noise = x, 0.2*x
		return
	}
	err := x - r.Level
	before := r.Beyond
	r.Beyond = 0
	if math.Abs(err) > beyondNoise*r.Noise {
		r.Beyond = err
	}
	if r.Beyond*before > 0 {
		r.Level, r.Beyond = x, 0
		return
	}
	r.Level += levelGain * err
	r.Noise += max(noiseGain, 1/float64(r.Count)) * (math.Abs(err) - r.Noise)
}
