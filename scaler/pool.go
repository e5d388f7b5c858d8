package scaler

import (
	"cmp"
	"math"
	"slices"

	"github.com/prescale/prescale/metrics/series"
)

// stuck returns how many replicas, over all pools, wait for a node that has room.
func stuck(o *series.Observation) int {
	sum := 0.0
	for i := range o.Pools {
		sum += o.Pools[i].UnschedulableReplicas.Or(0)
	}
	return int(sum)
}

// matchPools puts what was learned of each pool where the policy has the pool now: one that is added or removed, or another order, must
// not have a CPU's replicas taken for a GPU's.
func (s *State) matchPools(pools []Pool) {
	if slices.EqualFunc(s.PoolNames, pools, func(name string, p Pool) bool { return name == p.Name }) && len(s.Pools) == len(pools) {
		return
	}
	learned, names := s.Pools, s.PoolNames
	s.Pools, s.PoolNames = make([]capacity, len(pools)), make([]string, len(pools))
	for i, p := range pools {
		s.PoolNames[i] = p.Name
		at := slices.Index(names, p.Name)
		if names == nil {
			at = i
		}
		if at >= 0 && at < len(learned) {
			s.Pools[i] = learned[at]
		}
	}
}

// poolOf returns what was observed of the pool, and whether its replicas are known.
func poolOf(o *series.Observation, name string) (series.PoolObservation, bool) {
	for i := range o.Pools {
		if o.Pools[i].Name == name {
			return o.Pools[i], o.Pools[i].ReadyReplicas.Known()
		}
	}
	return series.PoolObservation{}, false
}

// split gives each pool its share of DesiredReplicas, which becomes the sum of those that can run: `most` at most, though slow ones do
// the work of a few fast ones at less cost.
//
// A pool some of whose replicas no node has room for is full at those that it has, and the others stand in for the rest. The
// waiting ones go on being asked for, beyond the sum, while the pool would be given them: they are what tells the cluster to
// add a node, and taking them away would hide that the pool is full.
func (d decider) split(most int) {
	s, config := d.state, d.config
	want := d.DesiredReplicas
	if d.Reason == ReasonPaused || d.Reason == ReasonObserve || d.Reason == ReasonWarmingUp {
		if d.keepPools() && (d.Reason != ReasonWarmingUp || d.DesiredReplicas <= most) {
			return
		}
		d.Pools = d.Pools[:0]
	}
	usual := s.Capacity.perReplica().Or(1)
	demand := s.Partitions.work(want) * usual
	usual /= meanSpeed(config.Pools, d.o)
	var left float64
	if stuck(d.o) == 0 {
		d.Pools, left = splitPools(d.Pools, config.Pools, s.Pools, usual, demand, config.MinReplicas, most)
		d.DesiredReplicas = sumOf(d.Pools)
	} else {
		capped := slices.Clone(config.Pools)
		for i := range capped {
			if p, ok := poolOf(d.o, capped[i].Name); ok && p.UnschedulableReplicas.Or(0) > 0 {
				working := int(p.ReadyReplicas.Or(0) + p.StartingReplicas.Or(0) - p.UnschedulableReplicas.Or(0))
				capped[i].MaxReplicas = max(0, min(capped[i].MaxReplicas, working))
			}
		}
		wanted, _ := splitPools(nil, config.Pools, s.Pools, usual, demand, config.MinReplicas, most)
		d.Pools, left = splitPools(d.Pools, capped, s.Pools, usual, demand, config.MinReplicas, most)
		d.DesiredReplicas = sumOf(d.Pools)
		for i := range d.Pools {
			if p, ok := poolOf(d.o, capped[i].Name); ok && p.UnschedulableReplicas.Or(0) > 0 {
				present := int(p.ReadyReplicas.Or(0) + p.StartingReplicas.Or(0))
				d.Pools[i].DesiredReplicas = max(d.Pools[i].DesiredReplicas, min(wanted[i].DesiredReplicas, present))
			}
		}
	}
	if left > 1e-9 {
		d.verdict(VerdictMaxBound)
	}
}

// meanSpeed returns the mean speed of the replicas that are ready, which is what the group's mean capacity is of; 1 where their pools
// are not known.
func meanSpeed(pools []Pool, o *series.Observation) float64 {
	replicas, sum := 0.0, 0.0
	for i := range pools {
		p, ok := poolOf(o, pools[i].Name)
		if !ok {
			return 1
		}
		replicas += p.ReadyReplicas.Or(0)
		sum += p.ReadyReplicas.Or(0) * pools[i].speed()
	}
	if replicas == 0 {
		return 1
	}
	return sum / replicas
}

// perPool fills in what each pool's replicas can do.
func (d decider) perPool() {
	for i := range d.Pools {
		if i < len(d.state.Pools) {
			d.Pools[i].CapacityPerReplica = d.state.Pools[i].perReplica()
		}
	}
}

// keepPools gives every pool the count that it has, and reports whether all of them are known.
func (d decider) keepPools() bool {
	total := 0
	for _, pool := range d.config.Pools {
		p, ok := poolOf(d.o, pool.Name)
		if !ok {
			return false
		}
		n := int(p.ReadyReplicas.Or(0) + p.StartingReplicas.Or(0))
		d.Pools = append(d.Pools, PoolDecision{Name: pool.Name, DesiredReplicas: n})
		total += n
	}
	d.DesiredReplicas = total
	return true
}

func sumOf(pools []PoolDecision) int {
	sum := 0
	for i := range pools {
		sum += pools[i].DesiredReplicas
	}
	return sum
}

// splitPools divides a demand, in records per second, over pools at least cost: the cheapest per record first, each up to
// its cap. Pools whose capacity is not known are taken to have `usual` times their speed. It appends one PoolDecision a pool, in
// the policy's order, to dst and returns what could not be placed. The fill is greedy; what does not fill a whole replica of a
// pool goes to a dearer pool where that costs less. Where that would be more than `most` replicas, fast ones take the place of
// several slow ones, one at a time, until it is not.
func splitPools(dst []PoolDecision, pools []Pool, learned []capacity, usual, demand float64, least, most int) ([]PoolDecision, float64) {
	first := len(dst)
	order := make([]int, len(pools))
	rate := make([]float64, len(pools))
	for i, p := range pools {
		order[i], rate[i] = i, usual*p.speed()
		if i < len(learned) {
			rate[i] = learned[i].perReplica().Or(rate[i])
		}
		dst = append(dst, PoolDecision{Name: p.Name})
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(pools[a].Price/rate[a], pools[b].Price/rate[b]) })
	counts := dst[first:]
	fast := make([]int, len(pools)) // given for their speed, whatever they cost
	left := fillPools(counts, pools, rate, order, fast, demand)
	for sumOf(counts) > most {
		i := fastestWithRoom(pools, rate, fast)
		j := slowestInUse(counts, rate, fast)
		if i < 0 || j < 0 || rate[i] <= rate[j] {
			left += dropSlowest(counts, rate, sumOf(counts)-most)
			break
		}
		fast[i]++
		left = fillPools(counts, pools, rate, order, fast, demand)
	}
	total := sumOf(counts)
	for _, i := range order {
		n := max(0, min(least-total, pools[i].MaxReplicas-counts[i].DesiredReplicas))
		counts[i].DesiredReplicas += n
		total += n
	}
	return dst, left
}

// fillPools sets the counts: those of fast, and the others for what these leave of the demand, in the order given. It returns what could
// not be placed.
func fillPools(counts []PoolDecision, pools []Pool, rate []float64, order, fast []int, demand float64) float64 {
	for i, n := range fast {
		counts[i].DesiredReplicas = n
		demand -= float64(n) * rate[i]
	}
	room := func(i int) float64 { return float64(pools[i].MaxReplicas - counts[i].DesiredReplicas) }
	for rank, i := range order {
		if demand <= 1e-9 {
			break
		}
		whole := math.Floor(demand / rate[i])
		n := min(whole, room(i))
		demand -= n * rate[i]
		if n == whole && demand > 1e-9 && n < room(i) {
			// One more of this pool, or as many of a dearer one as do the rest, where those cost less in all.
			best, more := i, 1.0
			for _, j := range order[rank+1:] {
				if k := math.Ceil(demand/rate[j] - 1e-9); k <= room(j) && k*pools[j].Price < more*pools[best].Price {
					best, more = j, k
				}
			}
			counts[best].DesiredReplicas += int(more)
			demand = 0
		}
		counts[i].DesiredReplicas += int(n)
	}
	return max(0, demand)
}

// fastestWithRoom returns the pool of the fastest replicas of which more may be taken for their speed, -1 for none.
func fastestWithRoom(pools []Pool, rate []float64, fast []int) int {
	best := -1
	for i := range pools {
		if fast[i] < pools[i].MaxReplicas && (best < 0 || rate[i] > rate[best]) {
			best = i
		}
	}
	return best
}

// slowestInUse returns the pool of the slowest replicas that were not taken for their speed, -1 for none.
func slowestInUse(counts []PoolDecision, rate []float64, fast []int) int {
	slowest := -1
	for i := range counts {
		if counts[i].DesiredReplicas > fast[i] && (slowest < 0 || rate[i] < rate[slowest]) {
			slowest = i
		}
	}
	return slowest
}

// dropSlowest takes so many replicas away, the slowest first, and returns what they would have done.
func dropSlowest(counts []PoolDecision, rate []float64, drop int) (lost float64) {
	none := make([]int, len(counts))
	for drop > 0 {
		i := slowestInUse(counts, rate, none)
		n := min(drop, counts[i].DesiredReplicas)
		counts[i].DesiredReplicas -= n
		lost += float64(n) * rate[i]
		drop -= n
	}
	return lost
}
