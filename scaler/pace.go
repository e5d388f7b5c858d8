package scaler

import "github.com/prescale/prescale/metrics/series"

// pace learns how much of the capacity that the mean replica promises the slowest one delivers: it is the slowest consumer's
// partitions that wait. While its oldest record is of a while ago, it serves all that it can, and what lies between the oldest
// record of one tick and that of the next is what a group of such consumers would have served.
type pace struct {
	Factor  float64 // 0 until the first sample
	Samples int
	Age     float64 // of the oldest record at the last tick, in seconds; 0 when not known
	Stuck   bool    // the oldest record's age grew almost as fast as time: it stands still and does not wait its turn
	// Grows says that, with the same replicas ready, the oldest record is no younger than that of the last tick was, and that where it is
	// as old to the last digit no less waits: ages may be told in whole intervals.
	Grows bool `json:",omitzero"`
	// Falls says that the oldest record is younger than that of the last tick was: what waits longest is being drained.
	Falls bool `json:",omitzero"`
}

const (
	// pacePrior is how many samples the assumption at first is worth, paceSpan how many the estimate looks back.
	pacePrior, paceSpan = 10, 60
	// paceAge is from what age on, in seconds, a record is taken to wait for its consumer and not for its commit.
	paceAge = 4.0
	// paceLeast and paceMost bound a sample. Below paceAbsurd it is left out: a partition that stands still is another matter.
	paceLeast, paceMost = 0.3, 1.05
	paceAbsurd          = 0.2
	// paceStuck is the growth of the age, in seconds a second, from which on the oldest record stands still.
	paceStuck = 0.5
)

// observe learns from one interval, in seconds, in which what waits did or did not shrink: arrivals are those of the latest ticks, kept as
// those of `tick` seconds however long each was, expected is the capacity of the group, in records per second.
func (p *pace) observe(age series.Value, shrinks bool, interval, tick float64, arrivals *calibration, expected, assumed float64,
	disturbed bool) {
	now := age.Or(0)
	before := p.Age
	p.Age = now
	p.Stuck = interval > 0 && before >= paceAge && now-before > paceStuck*interval
	p.Grows = !disturbed && before >= paceAge && (now > before || now == before && !shrinks)
	p.Falls = now < before
	if disturbed || interval <= 0 || expected <= 0 || before < paceAge || now < paceAge {
		return
	}
	served, ok := arrivals.between(before+interval, now, tick)
	if !ok {
		return
	}
	seen := served / interval / expected
	if seen < paceAbsurd {
		return
	}
	if p.Samples == 0 {
		p.Factor = assumed
	}
	p.Samples = min(p.Samples+1, paceSpan)
	seen = min(max(seen, paceLeast), paceMost)
	p.Factor += (seen - p.Factor) / float64(pacePrior+p.Samples)
}

// factor returns the share of the mean capacity to count on.
func (p *pace) factor(assumed float64) float64 {
	if p.Samples == 0 {
		return assumed
	}
	return min(p.Factor, 1)
}
