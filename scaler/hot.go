package scaler

import (
	"math"

	"github.com/prescale/prescale/metrics/series"
)

// hotByLag finds the partition that gets more than one replica can do where only what waits on each partition is observed, and
// not what arrives there: the partition that is furthest behind, and how much further it fell behind since the last tick.
type hotByLag struct {
	Worst     int     // the partition with the longest backlog at the last tick
	WorstLag  float64 // what waited there; 0 where that is not known
	WorstRate float64 // its arrivals as a share of all; 0 while there is no such partition
}

const (
	// aloneRatio is how many times the mean partition's arrivals those of a partition must be to be out of the ordinary. They are no
	// less than the growth of its backlog; and where that falls back by a share of the time that goes by, the same share of them waits.
	aloneRatio = 2.0
	// standsStill is the growth of the oldest record's age, in seconds a second, from which on nothing is consumed at all: that
	// partition is poisoned or its consumer gone, whatever arrives there.
	standsStill = 0.95
	// hotForgotten is what remains of a share in a tick that does not show it.
	hotForgotten = 0.5
)

// observe learns from one interval. perReplica and arrivalRate are in records per second, ageGrowth is that of the oldest
// record in seconds per second.
//
// The consumer of the worst partition had work all the time, so it served perReplica: of that partition what its other ones left,
// and those get what all but the worst do. With g the growth of the backlog, k partitions to a consumer, P partitions and Λ
// arriving, the worst gets
//
//	a = g + perReplica − (k−1)(Λ−a)/(P−1).
func (h *hotByLag) observe(lags []series.Value, interval, ready float64, arrivalRate, perReplica, ageGrowth series.Value, disturbed bool) {
	worst, worstLag := -1, 0.0
	for i, v := range lags {
		x, ok := v.Get()
		if !ok {
			worst = -1
			break
		}
		if x > worstLag {
			worst, worstLag = i, x
		}
	}
	before := *h
	h.Worst, h.WorstLag = worst, worstLag
	if worst < 0 {
		*h = hotByLag{}
		return
	}
	if disturbed || interval <= 0 {
		return // a pause is on all partitions; what was known still stands
	}
	h.WorstRate *= hotForgotten
	arrived, ok := arrivalRate.Get()
	can, sure := perReplica.Get()
	count := float64(len(lags))
	if !ok || !sure || arrived <= 0 || count < 2 || before.Worst != worst || before.WorstLag < can || ready < 1 ||
		ageGrowth.Or(0) > standsStill {
		return
	}
	growth := (worstLag - before.WorstLag) / interval
	least := growth
	if aging, ok := ageGrowth.Get(); ok && aging > 0 {
		least = growth / min(aging+1/interval, 1) // ages are in whole seconds
	}
	if least < aloneRatio*arrived/count {
		return
	}
	others := (math.Ceil(count/min(ready, count)) - 1) / (count - 1)
	if others >= 1 {
		return // one consumer has them all
	}
	h.WorstRate = min((growth+can-others*arrived)/(1-others)/arrived, 1)
}

// isHot reports whether partition i gets more than one replica can do.
func (h *hotByLag) isHot(i int, arrivalRate, perReplica float64) bool {
	return h.WorstLag > 0 && i == h.Worst && h.WorstRate*arrivalRate > hotMargin*perReplica
}
