package vertical

import (
	"math"
	"time"
)

// histogram is a histogram whose weights halve every half-life: the VPA's decaying histogram with exponential buckets.
// Source: kubernetes/autoscaler, vertical-pod-autoscaler/pkg/recommender/util.
type histogram struct {
	First, Growth float64 // the first bucket's size and by how much each is larger than the one before
	HalfLife      time.Duration
	Reference     time.Time // weights are relative to it; the zero Time is longer ago than any weight lasts
	Weights       []float64
	Total         float64
}

// newHistogram covers values up to `highest`.
func newHistogram(first, growth, highest float64, halfLife time.Duration) *histogram {
	n := int(math.Ceil(math.Log(highest*(growth-1)/first+1)/math.Log(growth))) + 1
	return &histogram{First: first, Growth: growth, HalfLife: halfLife, Weights: make([]float64, n)}
}

// start returns the lower edge of bucket i: first × (growth^i − 1) ÷ (growth − 1).
func (h *histogram) start(i int) float64 {
	return h.First * (math.Pow(h.Growth, float64(i)) - 1) / (h.Growth - 1)
}

func (h *histogram) bucket(x float64) int {
	return min(int(math.Log(x*(h.Growth-1)/h.First+1)/math.Log(h.Growth)), len(h.Weights)-1)
}

// maxDecay is how many half-lives the reference may lag before weights are brought down to it, or they would overflow.
const maxDecay = 100

// add counts x with a weight at a time.
func (h *histogram) add(x, weight float64, at time.Time) {
	if !(x >= 0) || math.IsInf(x, 0) || !(weight > 0) {
		return
	}
	if halves := float64(at.Sub(h.Reference)) / float64(h.HalfLife); halves > maxDecay {
		h.shift(at, halves)
	}
	w := weight * math.Exp2(float64(at.Sub(h.Reference))/float64(h.HalfLife))
	h.Weights[h.bucket(x)] += w
	h.Total += w
}

func (h *histogram) shift(to time.Time, halves float64) {
	factor := math.Exp2(-halves)
	h.Total = 0
	for i := range h.Weights {
		h.Weights[i] *= factor
		h.Total += h.Weights[i]
	}
	h.Reference = to
}

// percentile returns the upper edge of the bucket that the level falls into, as the VPA does, so that it errs upwards; the
// lowest for an empty histogram.
func (h *histogram) percentile(level float64) float64 {
	sum, last := 0.0, len(h.Weights)-1
	for i, w := range h.Weights[:last] {
		if sum += w; sum >= level*h.Total {
			return h.start(i + 1)
		}
	}
	return h.start(last) // the last bucket has no upper edge
}
