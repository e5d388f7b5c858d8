package scaler

import (
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

// split gives each pool its share of DesiredReplicas, which becomes the sum of those that can run.
//
// A pool some of whose replicas no node has room for is full at those that it has, and the others stand in for the rest. The
// waiting ones go on being asked for, beyond the sum, while the pool would be given them: they are what tells the cluster to
// add a node, and taking them away would hide that the pool is full.
func (d decider) split() {
	s, config := d.state, d.config
	if d.Reason == ReasonPaused || d.Reason == ReasonObserve || d.Reason == ReasonWarmingUp {
		if d.keepPools() {
			return
		}
	}
	usual := s.Capacity.perReplica().Or(1)
	demand := s.Partitions.work(d.DesiredReplicas) * usual
	usual /= meanSpeed(config.Pools, d.o)
	var left float64
	if stuck(d.o) == 0 {
		d.Pools, left = splitPools(d.Pools, config.Pools, s.Pools, usual, demand, config.MinReplicas)
		d.DesiredReplicas = sumOf(d.Pools)
	} else {
		capped := slices.Clone(config.Pools)
		for i := range capped {
			if p, ok := poolOf(d.o, capped[i].Name); ok && p.UnschedulableReplicas.Or(0) > 0 {
				working := int(p.ReadyReplicas.Or(0) + p.StartingReplicas.Or(0) - p.UnschedulableReplicas.Or(0))
				capped[i].MaxReplicas = max(0, min(capped[i].MaxReplicas, working))
			}
		}
		wanted, _ := splitPools(nil, config.Pools, s.Pools, usual, demand, config.MinReplicas)
		d.Pools, left = splitPools(d.Pools, capped, s.Pools, usual, demand, config.MinReplicas)
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
			d.Pools = d.Pools[:0]
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
// pool goes to a dearer pool where that costs less.
func splitPools(dst []PoolDecision, pools []Pool, learned []capacity, usual, demand float64, minTotal int) ([]PoolDecision, float64) {
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
	costPerRecord := func(i int) float64 { return pools[i].Price / rate[i] }
	slices.SortStableFunc(order, func(a, b int) int {
		switch x, y := costPerRecord(a), costPerRecord(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	total := 0
	for rank, i := range order {
		if demand <= 1e-9 {
			break
		}
		whole := int(demand / rate[i])
		n := min(whole, pools[i].MaxReplicas)
		demand -= float64(n) * rate[i]
		if n == whole && demand > 1e-9 && n < pools[i].MaxReplicas {
			// One more of this pool, or as many of a dearer one as do the rest, where those cost less in all.
			best, more := i, 1
			for _, j := range order[rank+1:] {
				if k := math.Ceil(demand/rate[j] - 1e-9); k <= float64(pools[j].MaxReplicas) && k*pools[j].Price < float64(more)*pools[best].Price {
					best, more = j, int(k)
				}
			}
			if best == i {
				n++
			} else {
				dst[first+best].DesiredReplicas += more
				total += more
			}
			demand = 0
		}
		dst[first+i].DesiredReplicas += n
		total += n
	}
	for _, i := range order {
		for total < minTotal && dst[first+i].DesiredReplicas < pools[i].MaxReplicas {
			dst[first+i].DesiredReplicas++
			total++
		}
	}
	return dst, max(0, demand)
}
