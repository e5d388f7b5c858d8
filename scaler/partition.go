package scaler

import (
	"math"
	"slices"

	"github.com/prescale/prescale/metrics/series"
)

// partitions learns how the arrivals spread over the partitions, and from it what n consumers can really do together: the
// slowest consumer sets the pace of its partitions, so that with 48 partitions 17 to 23 consumers do the work of 16.
type partitions struct {
	Count   int
	Weights []float64 // arrivals per partition, exponentially weighted; nil where not observed
	Latest  []float64 // the same over a few ticks, so that a partition that becomes hot is seen at once
	Seen    int
	// Behind is how many partitions held a backlog at the last tick, RestLag what waited in the others.
	Behind  int
	RestLag float64
	// ByLag stands in for Weights where they are not observed, to tell a partition that is hot.
	ByLag hotByLag

	// The useful counts, ascending, and the work that each can do, in replicas; derived, not stored.
	useful    []int
	effective []float64
	hot       int     // how many partitions are beyond one replica
	coldShare float64 // share of the arrivals that is on the others
	derived   derivedFrom
}

type derivedFrom struct {
	count, seen, most int
	perReplica        float64
}

const (
	// weightSpan is how many ticks the spread is averaged over; skewed below decides when it is taken for real.
	weightSpan = 20
	// latestGain makes two ticks three quarters of Latest; hotMargin is by how much that must be beyond a replica, since it is
	// noisier.
	latestGain = 0.5
	hotMargin  = 1.1
	// settledSpread is from how many ticks on the spread counts as known.
	settledSpread = 2
	// skewTolerance is the excess of the heaviest consumer over its even share that is put down to chance.
	skewTolerance = 0.08
	// maxUseful bounds the list of useful counts for groups without a known partition count.
	maxUseful = 512
)

func (p *partitions) observe(count series.Value, arrivals []series.Value) {
	if n, ok := count.Get(); ok && n >= 1 && n < 1e7 && int(n) != p.Count {
		p.Count, p.Seen = int(n), 0
		clear(p.Weights)
		clear(p.Latest)
	}
	if len(arrivals) == 0 {
		return
	}
	if p.Count == 0 {
		p.Count = len(arrivals)
	}
	if len(p.Weights) != len(arrivals) || len(p.Latest) != len(arrivals) {
		p.Weights = slices.Grow(p.Weights[:0], len(arrivals))[:len(arrivals)]
		p.Latest = slices.Grow(p.Latest[:0], len(arrivals))[:len(arrivals)]
		clear(p.Weights)
		clear(p.Latest)
		p.Seen = 0
	}
	total := 0.0
	for _, v := range arrivals {
		if !v.Known() {
			return // part of the partitions would look like a skew
		}
		total += max(0, v.Or(0))
	}
	if total <= 0 {
		return
	}
	p.Seen++
	alpha := 1 / float64(min(p.Seen, weightSpan))
	for i, v := range arrivals {
		share := max(0, v.Or(0)) / total
		p.Weights[i] += alpha * (share - p.Weights[i])
		p.Latest[i] += max(alpha, latestGain) * (share - p.Latest[i])
	}
}

// unsettled reports whether the spread was told and is not known since the number of partitions changed. Until then it is taken to be
// even, and over more partitions fewer replicas would seem enough; but what is new gets nothing before producers have heard of it.
func (p *partitions) unsettled() bool { return p.Weights != nil && p.Seen < settledSpread }

// derive finds the useful counts up to most. arrivalRate and perReplica tell which partitions are hot.
func (p *partitions) derive(most int, arrivalRate, perReplica float64) {
	if most <= 0 {
		most = 1
	}
	from := derivedFrom{p.Count, p.Seen, most, perReplica}
	p.hot, p.coldShare = 0, 1
	if p.Weights == nil && p.ByLag.isHot(p.ByLag.Worst, arrivalRate, perReplica) {
		p.hot, p.coldShare = 1, 1-p.ByLag.WorstRate
	}
	if from == p.derived && p.useful != nil && p.Weights == nil {
		return
	}
	p.derived = from
	p.useful, p.effective = p.useful[:0], p.effective[:0]
	skewed := p.Seen >= settledSpread && len(p.Weights) == p.Count && len(p.Latest) == p.Count
	if skewed && arrivalRate > 0 && perReplica > 0 {
		for i, w := range p.Weights {
			if p.isHot(i, arrivalRate, perReplica) {
				p.hot++
				p.coldShare -= max(w, p.Latest[i])
			}
		}
		p.coldShare = max(p.coldShare, 0)
	}
	limit := min(most, maxUseful)
	if p.Count > 0 {
		limit = min(limit, p.Count)
	}
	best := 0.0
	for n := 1; n <= limit; n++ {
		e := float64(n)
		if p.Count > 0 {
			e = p.evenWork(n)
			if skewed && p.hot == 0 {
				if s := p.skewedWork(n); s < e/(1+skewTolerance) {
					e = s
				}
			}
		}
		if e > best*(1+1e-9) {
			best = e
			p.useful, p.effective = append(p.useful, n), append(p.effective, e)
		}
	}
}

// hottest returns the arrivals of the partition that gets most, of arrivalRate in all; 0 where the spread is not known.
func (p *partitions) hottest(arrivalRate float64) float64 {
	most := 0.0
	if p.Weights == nil {
		most = p.ByLag.WorstRate
	}
	for i, w := range p.Weights {
		most = max(most, w, p.Latest[i])
	}
	return most * arrivalRate
}

// heaviest returns the share of the arrivals that the partition that gets most has both lately and on average; 0 where the spread is not
// known.
func (p *partitions) heaviest() float64 {
	if p.Seen < settledSpread || len(p.Latest) != len(p.Weights) {
		return 0
	}
	most := 0.0
	for i, w := range p.Weights {
		most = max(most, min(w, p.Latest[i]))
	}
	return most
}

// isHot reports whether partition i gets more than one replica can do.
func (p *partitions) isHot(i int, arrivalRate, perReplica float64) bool {
	if i >= len(p.Weights) {
		return p.Weights == nil && p.ByLag.isHot(i, arrivalRate, perReplica)
	}
	return p.Weights[i]*arrivalRate > perReplica || p.Latest[i]*arrivalRate > hotMargin*perReplica
}

// evenWork returns the work, in replicas, that n consumers can do of evenly loaded partitions.
func (p *partitions) evenWork(n int) float64 {
	return float64(p.Count) / math.Ceil(float64(p.Count)/float64(n))
}

// skewedWork returns the same under the learned spread, for consumers that hold contiguous runs of partitions, as Kafka's
// range assignor gives them.
func (p *partitions) skewedWork(n int) float64 {
	small, larger := p.Count/n, p.Count%n
	heaviest, at := 0.0, 0
	for c := range n {
		size := small
		if c < larger {
			size++
		}
		sum := 0.0
		for range size {
			sum += p.Weights[at]
			at++
		}
		heaviest = max(heaviest, sum)
	}
	if heaviest <= 0 {
		return p.evenWork(n)
	}
	return 1 / heaviest
}

// work returns what n replicas can do, in replicas.
func (p *partitions) work(n int) float64 {
	i, found := slices.BinarySearch(p.useful, n)
	if !found {
		i--
	}
	if i < 0 {
		return 0
	}
	return p.effective[i]
}

// below returns the largest useful count that is less than n, 0 where there is none.
func (p *partitions) below(n int) int {
	i, _ := slices.BinarySearch(p.useful, n)
	if i == 0 {
		return 0
	}
	return p.useful[i-1]
}

// above returns the smallest useful count that is more than n, n + 1 where there is none.
func (p *partitions) above(n int) int {
	i, _ := slices.BinarySearch(p.useful, n+1)
	if i == len(p.useful) {
		return n + 1
	}
	return p.useful[i]
}

// snap returns the smallest useful count that does at least the given work, and false where none does (then the largest).
func (p *partitions) snap(work float64) (int, bool) {
	i, _ := slices.BinarySearch(p.effective, work*(1-1e-9))
	if i == len(p.useful) {
		if i == 0 {
			return 0, work <= 0
		}
		return p.useful[i-1], false
	}
	return p.useful[i], true
}

// within returns the largest useful count that does no more than the given work, 0 where there is none.
func (p *partitions) within(work float64) int {
	i, _ := slices.BinarySearch(p.effective, math.Nextafter(work, math.Inf(1)))
	if i == 0 {
		return 0
	}
	return p.useful[i-1]
}
