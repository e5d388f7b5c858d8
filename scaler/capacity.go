package scaler

import (
	"math"

	"github.com/prescale/prescale/metrics/series"
)

// capacity learns how many records per second one replica can do, from three kinds of evidence: throughput divided by the
// busy ratio, throughput while there was a backlog on every consumer, and, from below only, any throughput at all.
//
// The DS2 paper (Kalavri et al., OSDI 2018, section 3) calls the first the true processing rate.
type capacity struct {
	Mean, Deviation float64 // of direct samples, exponentially weighted
	Samples         int
	Rough           float64 // from intervals too idle for a sample; used while there is none
	LowerBound      float64 // the highest throughput of a replica seen without a backlog, slowly forgotten
	Shown           float64 `json:",omitzero"` // the highest throughput of a replica seen at all, likewise
	Refuted         float64 // 1 when a group fell behind though it was guessed to do more than LowerBound, slowly forgotten
	Above, Below    int     // direct samples in a row that were far off: a new version of the workload
}

// MaxBusyRatio is what a replica that was busy throughout may be measured as, by clocks that disagree a little. More is no ratio,
// and is left out.
const MaxBusyRatio = 1.1

const (
	// minBusyRatio is the busy ratio below which dividing by it blows up its error (design: 20 %).
	minBusyRatio = 0.2
	// leastBusyRatio is the busy ratio from which on a rough figure is better than none: with 8 replicas of which a fifth of
	// one is needed, it is what tells that seven can go.
	leastBusyRatio = 0.01
	// capacitySpan is how many ticks the estimate looks back: 10 minutes at 15 s.
	capacitySpan = 40
	// samplesNeeded is how many direct samples outweigh what was shown before; fewer move the estimate only upwards from it.
	samplesNeeded = 5
	// saturatedSeconds is how many seconds of work must wait at both ends of an interval for all of it to count as saturated.
	saturatedSeconds = 2.0
	// lowerBoundForgotten is the share of the lower bound that is forgotten in a second: half of it in a week. A workload that got
	// slower shows sooner, by resetRun.
	lowerBoundForgotten = 0.693 / 604800
	// refutedForgotten is that of Refuted: half in a day, so that less is tried again, but not every ten minutes.
	refutedForgotten = 0.693 / secondsDay
	// resetRatio and resetRun: so far off, so many times in a row, the workload has changed and the past is forgotten. quickRun is
	// enough where replicas tell how busy they are, and what they do lies further off than chance puts it: a partition that stands
	// still does not lower that as it does throughput under a backlog.
	resetRatio = 0.3
	resetRun   = 6
	quickRun   = 3
	// fullWork is the share of their work that replicas can do together, by their partitions, from which on what they do is all of it.
	fullWork = 0.98
	// exploreRatio is how far above the lower bound the capacity is assumed to be while nothing was ever saturated.
	exploreRatio = 1.25
)

// add learns from one direct sample; told says that the replicas' busy ratio is behind it.
func (c *capacity) add(x float64, told bool) {
	if !(x > 0) || math.IsInf(x, 0) {
		return
	}
	run := resetRun
	if told && math.Abs(x-c.Mean) > beyondNoise*c.Deviation {
		run = quickRun
	}
	few := c.Samples < samplesNeeded
	least := c.Mean
	if few {
		least = max(c.Mean, c.shown())
	}
	switch {
	case !few && x > (1+resetRatio)*c.Mean:
		c.Above, c.Below = c.Above+1, 0
	case x < (1-resetRatio)*least:
		c.Above, c.Below = 0, c.Below+1
	default:
		c.Above, c.Below = 0, 0
	}
	if max(c.Above, c.Below) >= run {
		*c = capacity{}
	} else if c.Above+c.Below > 0 {
		return // an outlier until it has lasted
	}
	c.Samples = min(c.Samples+1, capacitySpan)
	alpha := 1 / float64(c.Samples)
	d := x - c.Mean
	c.Mean += alpha * d
	if c.Samples == 1 {
		c.Deviation = 0.05 * x
	} else {
		c.Deviation += alpha * (math.Abs(d) - c.Deviation)
	}
}

// observe learns from one interval, of so many seconds: consumed records per second by `ready` replicas, whose slowest can do `effective`
// replicas' work. saturated says that every consumer had a backlog all the time; easy is the share of what was consumed that they did
// without effort.
func (c *capacity) observe(interval float64, consumedRate, busy series.Value, ready, effective float64, saturated, disturbed bool,
	easy float64) {
	rate, ok := consumedRate.Get()
	if !ok || ready <= 0 || rate <= 0 {
		return
	}
	if b, ok := busy.Get(); ok && b >= leastBusyRatio {
		switch {
		case b >= minBusyRatio && b <= MaxBusyRatio:
			c.add(rate/(ready*min(b, 1)), true)
		case b < minBusyRatio && !disturbed:
			x := rate / (ready * b)
			if c.Rough == 0 {
				c.Rough = x
			}
			c.Rough += 0.1 * (x - c.Rough)
			c.outgrow(x)
		}
		return
	}
	if disturbed {
		return
	}
	if saturated && effective >= fullWork*ready {
		c.add(rate/ready, false)
		return
	}
	// Those that have most partitions do as much as if there were only `effective`.
	most, kept := rate/max(min(effective, ready), 1), max(0, 1-lowerBoundForgotten*interval)
	c.LowerBound = max(c.LowerBound*kept, easy*most)
	c.Shown = max(c.Shown*kept, most)
	c.Refuted *= max(0, 1-refutedForgotten*interval)
}

// refute says that the group, or a part of it, fell behind at no more than what LowerBound tells. It counts while that is all
// that is known.
func (c *capacity) refute() {
	if c.guessed() {
		c.Refuted = 1
	}
}

// outgrow forgets samples that an idle group's rough figure passes for long. What else replicas are busy with makes that figure too
// low and not too high; and a group that was enlarged for heavy records may idle for ever when they are light again.
func (c *capacity) outgrow(x float64) {
	if c.Samples == 0 || x <= (1+resetRatio)*c.Mean {
		c.Above = 0
		return
	}
	if c.Above++; c.Above >= resetRun {
		*c = capacity{Rough: x}
	}
}

// show learns that a replica has done x records per second, maybe with effort; missing where nothing was seen.
func (c *capacity) show(x series.Value) { c.Shown = max(c.Shown, x.Or(0)) }

// carry learns that a replica does x records per second without effort.
func (c *capacity) carry(x float64) { c.LowerBound = max(c.LowerBound, x) }

// shown returns the most that a replica has done.
func (c *capacity) shown() float64 { return max(c.LowerBound, c.Shown) }

// scale makes each replica do x times as much, whatever that is known by.
func (c *capacity) scale(x float64) {
	c.Mean, c.Rough, c.LowerBound, c.Shown = c.Mean*x, c.Rough*x, c.LowerBound*x, c.Shown*x
}

// perReplica returns the estimate, missing while nothing is known.
func (c *capacity) perReplica() series.Value {
	switch {
	case c.Samples >= samplesNeeded:
		return series.Of(c.Mean)
	case c.Samples > 0:
		// What was shown cannot be beyond reach, unless direct samples are many.
		return series.Of(max(c.Mean, c.shown()))
	case c.Rough > 0:
		return series.Of(c.Rough)
	case c.shown() > 0:
		return series.Of(max(c.LowerBound*(1+(exploreRatio-1)*(1-c.Refuted)), c.Shown))
	default:
		return series.Missing
	}
}

// sure reports whether the estimate rests on direct evidence.
func (c *capacity) sure() bool { return c.Samples >= 2 }

// doubted reports whether the latest samples were far off: until the estimate is given up or they stop, what is reckoned with it is no
// more to be believed.
func (c *capacity) doubted() bool { return c.Above+c.Below > 0 }

// measured reports whether the estimate rests on enough direct evidence to be set against another.
func (c *capacity) measured() bool { return c.Samples >= samplesNeeded }

// explorable reports whether fewer replicas may be tried, to learn what they can do.
func (c *capacity) explorable() bool { return c.guessed() && c.Refuted < 0.5 }

// guessed reports whether the estimate is no more than what has been sustained without effort.
func (c *capacity) guessed() bool { return c.Samples == 0 && c.Rough == 0 }
