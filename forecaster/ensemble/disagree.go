package ensemble

import (
	"math"

	"github.com/prescale/prescale/forecaster/signal"
)

// Where the experts disagree, some of them err, and nobody knows which: their mean errs by more than where they are of one mind, as
// before a morning that yesterday knows and the last value does not.

const (
	leastDispute = 1e-4 // of the usual, so that it can be divided by
	mostDispute  = 5
)

// disagree keeps how far apart the experts' points for step t, which is ready, are now: the deviation from their mean, both with the
// median's weights, as a multiple of the usual, less one.
func (b *bank) disagree(s *signal.Signal, at, t int) {
	weight, point := b.weight[(t*len(b.levels)+b.watch.middle)*b.k:][:b.k], b.point[:b.k]
	mean := float32(0)
	for e, w := range weight {
		mean += w * point[e]
	}
	apart := float32(b.deviation(t, mean) / s.Scale())
	if s.Gap() == 0 {
		rate := float32(max(1.0/offsetSpan, 1/float64(s.Known())))
		b.usual[t] = max(leastDispute, b.usual[t]+rate*(apart-b.usual[t]))
	}
	b.dispute[at*b.reach+t] = min(mostDispute, apart/b.usual[t]-1)
}

// deviation returns that of the experts' points for step t, which is ready, from z, with the median's weights.
func (b *bank) deviation(t int, z float32) float64 {
	square := float32(0)
	for e, w := range b.weight[(t*len(b.levels)+b.watch.middle)*b.k:][:b.k] {
		d := b.point[e] - z
		square += w * d * d
	}
	return math.Sqrt(float64(square))
}
