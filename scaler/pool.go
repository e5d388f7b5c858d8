package scaler

import "slices"

// splitPools divides a demand, in records per second, over pools at least cost: the cheapest per record first, each up to
// its cap. Pools whose capacity is not known are taken to have `usual`. It appends one PoolDecision a pool, in the policy's
// order, to dst and returns what could not be placed. The fill is greedy; since counts are whole, the last pool may hold up
// to one replica too many, which is then taken from a dearer pool where that is possible.
func splitPools(dst []PoolDecision, pools []Pool, learned []capacity, usual, demand float64, minTotal int) ([]PoolDecision, float64) {
	first := len(dst)
	order := make([]int, len(pools))
	rate := make([]float64, len(pools))
	for i, p := range pools {
		order[i], rate[i] = i, usual
		if i < len(learned) {
			rate[i] = learned[i].perReplica().Or(usual)
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
			// One more of this pool, or the rest on a dearer one whose single replica costs less in all.
			best := i
			for _, j := range order[rank+1:] {
				if pools[j].MaxReplicas > 0 && rate[j] >= demand && pools[j].Price < pools[best].Price {
					best = j
				}
			}
			if best == i {
				n++
			} else {
				dst[first+best].DesiredReplicas++
				total++
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
