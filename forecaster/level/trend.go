package level

import (
	"github.com/prescale/prescale/forecaster/checkpoint"
	"github.com/prescale/prescale/forecaster/signal"
)

// Gains of the damped trend: Gardner & McKenzie 1985, "Forecasting trends in time series", with gains fixed rather than
// fitted, since fitted ones overfit the bursts of arrival rates.
const (
	levelGain = 0.5
	slopeGain = 0.1
	damping   = 0.9
)

// Trend is Holt's method with a damped trend.
type Trend struct {
	level, slope float64
	started      bool
}

// Observe moves level and slope towards the latest value; a gap lets the trend run on, damped.
func (t *Trend) Observe(s *signal.Signal) {
	if s.Known() == 0 {
		return
	}
	if !t.started {
		t.level, t.started = s.Now(), true
		return
	}
	if s.Gap() > 0 {
		t.slope *= damping
		return
	}
	before := t.level
	t.level += damping*t.slope + levelGain*(s.Now()-t.level-damping*t.slope)
	t.slope = slopeGain*(t.level-before) + (1-slopeGain)*damping*t.slope
}

// Points sets step k to level + (0.9 + … + 0.9^k) × slope.
func (t *Trend) Points(_ *signal.Signal, dst []float64) {
	sum, power := 0.0, 1.0
	for k := range dst {
		power *= damping
		sum += power
		dst[k] = t.level + sum*t.slope
	}
}

// Visit visits the state for a checkpoint.
func (t *Trend) Visit(c *checkpoint.Codec) {
	c.Float64(&t.level)
	c.Float64(&t.slope)
	c.Bool(&t.started)
}
