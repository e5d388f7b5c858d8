package vertical

import (
	"math"
	"time"
)

// The VPA recommender's defaults: flags of vertical-pod-autoscaler/pkg/recommender and logic/recommender.go.
const (
	halfLife     = 24 * time.Hour
	targetLevel  = 0.9
	lowerLevel   = 0.5
	upperLevel   = 0.95
	safetyMargin = 0.15
	// Memory peaks are kept per interval; eight make the VPA's memory window of 8 days.
	memoryInterval = 24 * time.Hour
	// After running out of memory a pod is taken to have needed a fifth, and no less than 100 MiB, more.
	oomBump      = 1.2
	oomBumpLeast = 100 << 20
	minCPUCores  = 0.025
	minMemory    = 250 << 20
)

// Usage learns what the replicas of one workload use. The zero value is not usable; make one with NewUsage. It is not safe
// for concurrent use.
type Usage struct {
	cpu, memory *histogram
	first, last time.Time
	samples     int
	// The open interval's memory peak of each replica, so that only peaks are counted.
	peaks map[string]peak
}

type peak struct {
	begin time.Time
	bytes float64
}

// NewUsage returns one that knows nothing.
func NewUsage() *Usage {
	return &Usage{
		cpu:    newHistogram(0.01, 1.05, 1000, halfLife),
		memory: newHistogram(1e7, 1.05, 1e12, halfLife),
		peaks:  map[string]peak{},
	}
}

// Observe takes one sample of a replica: CPU in cores averaged since the last one, and its memory in bytes. requestCores weighs
// CPU samples, as the VPA does, so that a busy replica is not outvoted by idle ones; 0 counts as the least.
func (u *Usage) Observe(at time.Time, replica string, cores, bytes, requestCores float64) {
	if u.first.IsZero() {
		u.first = at
	}
	u.last = at
	u.samples++
	u.cpu.add(cores, math.Max(requestCores, 0.1), at)
	u.observeMemory(at, replica, bytes)
}

// observeMemory counts a replica's peak once an interval: a higher one replaces the lower.
func (u *Usage) observeMemory(at time.Time, replica string, bytes float64) {
	if !(bytes >= 0) {
		return
	}
	p, open := u.peaks[replica]
	switch {
	case !open || at.Sub(p.begin) >= memoryInterval:
		u.peaks[replica] = peak{at, bytes}
		u.memory.add(bytes, 1, at)
	case bytes > p.bytes:
		// Take the lower peak out at the weight it went in with.
		u.memory.remove(p.bytes, p.begin)
		u.memory.add(bytes, 1, p.begin)
		u.peaks[replica] = peak{p.begin, bytes}
	}
}

// Last returns when the newest sample was taken; the zero Time where there is none.
func (u *Usage) Last() time.Time { return u.last }

// OutOfMemory tells that a replica was killed for using more than `bytes`.
func (u *Usage) OutOfMemory(at time.Time, replica string, bytes float64) {
	u.observeMemory(at, replica, math.Max(bytes*oomBump, bytes+oomBumpLeast))
}

// Forget drops what is kept of replicas whose interval ended: call it when replicas go.
func (u *Usage) Forget(at time.Time) {
	for name, p := range u.peaks {
		if at.Sub(p.begin) >= memoryInterval {
			delete(u.peaks, name)
		}
	}
}

// Size is what one replica is given.
type Size struct {
	CPUCores    float64
	MemoryBytes float64
}

// Recommendation is a size with the bounds within which a replica is well enough as it is.
type Recommendation struct{ Target, Lower, Upper Size }

// Recommend returns the target: the 0.9 quantile plus 15 %. The bounds are the 0.5 and 0.95 quantiles plus 15 %, widened while
// the history is short, as the VPA does: upper × (1 + 1/days), lower × (1 + 0.001/days)^-2. It returns false while nothing
// has been seen.
func (u *Usage) Recommend() (Recommendation, bool) {
	if u.samples == 0 {
		return Recommendation{}, false
	}
	// The VPA's confidence is the lesser of the days between samples and the days that the samples, one a minute, make up.
	days := math.Max(math.Min(u.last.Sub(u.first).Hours()/24, float64(u.samples)/1440), 1e-9)
	at := func(level, factor float64) Size {
		return Size{
			CPUCores:    math.Max(u.cpu.percentile(level)*(1+safetyMargin)*factor, minCPUCores),
			MemoryBytes: math.Max(u.memory.percentile(level)*(1+safetyMargin)*factor, minMemory),
		}
	}
	return Recommendation{
		Target: at(targetLevel, 1),
		Lower:  at(lowerLevel, math.Pow(1+0.001/days, -2)),
		Upper:  at(upperLevel, math.Min(1+1/days, 1e6)),
	}, true
}

// remove takes out what add put in.
func (h *histogram) remove(x float64, at time.Time) {
	w := math.Exp2(float64(at.Sub(h.Reference)) / float64(h.HalfLife))
	i := h.bucket(x)
	w = math.Min(w, h.Weights[i])
	h.Weights[i] -= w
	h.Total -= w
}
