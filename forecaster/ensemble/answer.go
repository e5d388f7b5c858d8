package ensemble

import (
	"slices"

	"github.com/prescale/prescale/forecaster/signal"
)

// quantiles writes target t's quantiles of now.
func (b *bank) quantiles(dst []float64, s *signal.Signal, t int) {
	if s.Known() == 0 {
		clear(dst)
		return
	}
	for i, told := range b.told[b.row(s.Steps(), t)*len(b.levels):][:len(dst)] {
		dst[i] = float64(told)
	}
	slices.Sort(dst)
}

// window writes the quantiles of the maximum over the next `steps` steps: between the window lengths that are tracked it
// interpolates.
func (b *bank) window(dst []float64, s *signal.Signal, steps int) {
	lower, length := 0, 1 // target and window length at or below steps
	for w, n := range b.windows {
		t := b.reach + w
		if n == steps {
			b.quantiles(dst, s, t)
			return
		}
		if n > steps {
			b.quantiles(dst, s, lower)
			share := float64(steps-length) / float64(n-length)
			above := b.longer
			b.quantiles(above, s, t)
			for i := range dst {
				dst[i] += share * (above[i] - dst[i])
			}
			return
		}
		lower, length = t, n
	}
	b.quantiles(dst, s, lower)
}
