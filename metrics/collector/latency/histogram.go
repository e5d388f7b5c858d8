package latency

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// bucket is one bucket of a histogram: how many observations were at or below upper.
type bucket struct {
	upper      float64
	cumulative float64
}

// quantile returns the q-quantile (0 < q < 1) of cumulative buckets in rising order whose last is +Inf, by linear
// interpolation in the bucket that holds it, as PromQL's histogram_quantile does: the lowest bucket begins at 0 where its
// bound is positive, and a quantile in the last bucket is the bound below it. It is NaN where nothing was observed.
func quantile(q float64, buckets []bucket) float64 {
	if len(buckets) < 2 || !math.IsInf(buckets[len(buckets)-1].upper, 1) {
		return math.NaN()
	}
	total := buckets[len(buckets)-1].cumulative
	if !(total > 0) {
		return math.NaN()
	}
	rank := q * total
	i, _ := slices.BinarySearchFunc(buckets[:len(buckets)-1], rank, func(b bucket, rank float64) int {
		return cmp.Compare(b.cumulative, rank)
	})
	if i == len(buckets)-1 {
		return buckets[i-1].upper
	}
	if i == 0 && buckets[0].upper <= 0 {
		return buckets[0].upper
	}
	lower, below := 0.0, 0.0
	if i > 0 {
		lower, below = buckets[i-1].upper, buckets[i-1].cumulative
	}
	inside := buckets[i].cumulative - below
	return lower + (buckets[i].upper-lower)*(rank-below)/inside
}

// distribution is what observations were seen since the last look: classic buckets, or the buckets of a native histogram
// turned into the same form.
type distribution map[float64]float64 // upper bound to count in the bucket, not cumulative

func (d distribution) add(other distribution) {
	for upper, n := range other {
		d[upper] += n
	}
}

// since returns what was observed since before: all of it, where it started anew.
func (d distribution) since(before distribution) distribution {
	grown := distribution{}
	for upper, n := range d {
		if grown[upper] = n - before[upper]; grown[upper] < 0 {
			return d
		}
	}
	return grown
}

func (d distribution) count() float64 {
	sum := 0.0
	for _, n := range d {
		sum += n
	}
	return sum
}

func (d distribution) quantile(q float64) float64 {
	buckets := make([]bucket, 0, len(d)+1)
	for upper, n := range d {
		buckets = append(buckets, bucket{upper, n})
	}
	slices.SortFunc(buckets, func(a, b bucket) int { return cmp.Compare(a.upper, b.upper) })
	if len(buckets) == 0 || !math.IsInf(buckets[len(buckets)-1].upper, 1) {
		buckets = append(buckets, bucket{upper: math.Inf(1)})
	}
	sum := 0.0
	for i := range buckets {
		sum += buckets[i].cumulative
		buckets[i].cumulative = sum
	}
	return quantile(q, buckets)
}

// fromHistogram turns one scraped histogram into counts by bucket. A native histogram without classic buckets is taken by
// its own: bucket i of schema s reaches up to 2^(i × 2^-s) (Prometheus native histogram specification).
func fromHistogram(h *dto.Histogram) (distribution, error) {
	d := distribution{}
	if len(h.GetBucket()) == 0 && h.Schema != nil {
		return fromNative(h)
	}
	last := 0.0
	for _, b := range h.GetBucket() {
		cumulative := max(b.GetCumulativeCountFloat(), float64(b.GetCumulativeCount()))
		if cumulative < last {
			return nil, fmt.Errorf("bucket le=%g counts fewer than the one below", b.GetUpperBound())
		}
		d[b.GetUpperBound()] = cumulative - last
		last = cumulative
	}
	total := max(h.GetSampleCountFloat(), float64(h.GetSampleCount()))
	if total < last {
		return nil, fmt.Errorf("a bucket counts %g of %g observations", last, total)
	}
	d[math.Inf(1)] += total - last
	return d, nil
}

// fromNative reads the positive and zero buckets of a native histogram; latencies have no others.
func fromNative(h *dto.Histogram) (distribution, error) {
	if h.GetSchema() < -4 || h.GetSchema() > 8 {
		return nil, fmt.Errorf("native histogram schema %d is not known", h.GetSchema())
	}
	if len(h.GetNegativeSpan()) > 0 {
		return nil, fmt.Errorf("native histogram has negative observations")
	}
	d := distribution{h.GetZeroThreshold(): max(h.GetZeroCountFloat(), float64(h.GetZeroCount())), math.Inf(1): 0}
	factor := math.Exp2(-float64(h.GetSchema()))
	index, at, count := int32(0), 0, 0.0
	for i, span := range h.GetPositiveSpan() {
		if i == 0 {
			index = span.GetOffset()
		} else {
			index += span.GetOffset()
		}
		for range span.GetLength() {
			switch {
			case at < len(h.GetPositiveCount()):
				count = h.GetPositiveCount()[at]
			case at < len(h.GetPositiveDelta()):
				count += float64(h.GetPositiveDelta()[at])
			default:
				return nil, fmt.Errorf("native histogram has fewer buckets than its spans say")
			}
			d[math.Exp2(float64(index)*factor)] += count
			// The bucket begins where the one below ends, though that one may be empty and left out.
			if _, ok := d[math.Exp2(float64(index-1)*factor)]; !ok {
				d[math.Exp2(float64(index-1)*factor)] = 0
			}
			index, at = index+1, at+1
		}
	}
	return d, nil
}
