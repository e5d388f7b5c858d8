package scaler

import "github.com/prescale/prescale/metrics/series"

// pace learns how much of the capacity that the mean replica promises the slowest one delivers: it is the slowest consumer's
// partitions that wait. While the oldest record's age grows by x seconds a second, the consumer that holds it serves 1 − x of
// what arrives for it; the group's pace is then that share of the arrivals.
type pace struct {
	Factor  float64 // 0 until the first sample
	Samples int
	Age     float64 // of the oldest record at the last tick, in seconds; 0 when not known
	Stuck   bool    // the oldest record's age grew almost as fast as time: it stands still and does not wait its turn
}

const (
	// pacePrior is how many samples the assumption at first is worth, paceSpan how many the estimate looks back.
	pacePrior, paceSpan = 10, 60
	// paceAge is from what age on, in seconds, a record is taken to wait for its consumer and not for its commit.
	paceAge             = 4.0
	paceLeast, paceMost = 0.7, 1.05
	paceAbsurd          = 0.5
)

func (p *pace) observe(age series.Value, interval, arrivalRate, expected, assumed float64, disturbed bool) {
	now := age.Or(0)
	before := p.Age
	p.Age = now
	p.Stuck = interval > 0 && before >= paceAge && now-before > (1-paceAbsurd)*interval
	if disturbed || interval <= 0 || expected <= 0 || arrivalRate <= 0 || before < paceAge || now < paceAge {
		return
	}
	seen := arrivalRate * (1 - (now-before)/interval) / expected
	if seen < paceAbsurd {
		return // a partition that stands still is another matter than a slow replica
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
