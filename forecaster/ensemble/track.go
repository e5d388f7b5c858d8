package ensemble

import (
	"math"

	"github.com/prescale/prescale/forecaster/signal"
)

// offsetSpan is how many outcomes a tracked quantile remembers at most. It was chosen as the gains of the weights were.
const offsetSpan = 1000

// zeroZ is what 0 is on the square-root scale, and a hair: where both the outcome and a quantile are 0, nothing is to be
// learned, and a tracker that went on would wind up through every quiet night.
var zeroZ = signal.Forward(0) + 1e-6

// track moves the quantiles of the experts' errors. They were told in units of scale; what a miss teaches is in units of unit.
func (b *bank) track(offset, points []float32, scale, unit, z, tau, gain float64) {
	points = points[:len(offset)]
	for e, o32 := range offset {
		o := float64(o32)
		said := float64(points[e]) + o*scale
		if z <= zeroZ && said <= zeroZ {
			continue
		}
		step := gain * max(1, math.Abs(o)/2.5)
		if z <= said {
			o += step * (tau - 1)
		} else {
			// A miss teaches no more than what would have covered it.
			o = max(o, min(o+step*tau, (z-float64(points[e]))/unit))
		}
		offset[e] = float32(o)
	}
}
