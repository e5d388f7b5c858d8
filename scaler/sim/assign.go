package sim

import (
	"fmt"
	"math"
	"slices"
)

// Assignor says which consumer gets which partition when the group changes, and who stops meanwhile.
type Assignor string

// The assignors, named as Kafka's consumers name them.
const (
	// Range gives contiguous runs to the members in order; everyone stops (eager).
	Range Assignor = "range"
	// RoundRobin deals the partitions out in turn; everyone stops (eager).
	RoundRobin Assignor = "roundrobin"
	// Sticky keeps what it can while the counts stay even; everyone stops (eager).
	Sticky Assignor = "sticky"
	// Proportional gives contiguous runs in proportion to what the members can do, as none of Kafka's own assignors and only one
	// that knows the speeds of unequal replicas does; everyone stops (eager).
	Proportional Assignor = "proportional"
	// Cooperative assigns as Sticky does, and only the partitions that move stop.
	Cooperative Assignor = "cooperative-sticky"
)

// ParseAssignor returns the assignor of a name.
func ParseAssignor(name string) (Assignor, error) {
	switch a := Assignor(name); a {
	case Range, RoundRobin, Sticky, Cooperative, Proportional:
		return a, nil
	}
	return "", fmt.Errorf("assignor: %q: want range, roundrobin, sticky, cooperative-sticky or proportional", name)
}

// assign fills owner, one entry a partition, with members' ids, given who owned it before (-1: nobody). Members are in the
// order in which they joined. It returns how many partitions have another owner now.
func (a Assignor) assign(owner []int, all []member) (moved int) {
	before := slices.Clone(owner)
	n, count := len(all), len(owner)
	members := make([]int, n)
	for i := range all {
		members[i] = all[i].id
	}
	if n == 0 {
		for p := range owner {
			owner[p] = -1
		}
		return 0
	}
	switch a {
	case Range:
		at := 0
		for i, m := range members {
			size := count / n
			if i < count%n {
				size++
			}
			for range size {
				owner[at] = m
				at++
			}
		}
	case Proportional:
		total, sum := 0.0, 0.0
		for i := range all {
			total += all[i].capacity
		}
		at := 0
		for i := range all {
			sum += all[i].capacity
			// Rounding the ends of the runs, not their lengths, leaves none over.
			for end := int(math.Round(float64(count) * sum / total)); at < end; at++ {
				owner[at] = members[i]
			}
		}
	case RoundRobin:
		for p := range owner {
			owner[p] = members[p%n]
		}
	default:
		assignSticky(owner, members)
	}
	for p := range owner {
		if before[p] >= 0 && before[p] != owner[p] {
			moved++
		}
	}
	return moved
}

// assignSticky takes from members that have too many and from those that are gone, and gives to those that have the fewest.
func assignSticky(owner []int, members []int) {
	has := make(map[int]int, len(members))
	for _, m := range members {
		has[m] = 0
	}
	for p, m := range owner {
		if _, alive := has[m]; alive {
			has[m]++
		} else {
			owner[p] = -1
		}
	}
	least, extra := len(owner)/len(members), len(owner)%len(members)
	// The members that hold most keep the odd partitions.
	byHeld := slices.Clone(members)
	slices.SortStableFunc(byHeld, func(x, y int) int { return has[y] - has[x] })
	quota := make(map[int]int, len(members))
	for i, m := range byHeld {
		quota[m] = least
		if i < extra {
			quota[m]++
		}
	}
	for p, m := range owner {
		if m >= 0 && has[m] > quota[m] {
			has[m]--
			owner[p] = -1
		}
	}
	next := 0
	for p, m := range owner {
		if m >= 0 {
			continue
		}
		for has[members[next]] >= quota[members[next]] {
			next++
		}
		owner[p] = members[next]
		has[members[next]]++
	}
}
