package sim

import (
	"math"
	"slices"
)

// Oracle is what a clairvoyant would pay who knows all arrivals and the partitions, chooses useful counts alone, orders
// replicas exactly a lead time ahead (and pays for it), and lets no record wait longer than the objective where that can be
// helped. Costs are in units of the lower bound, as Result.Cost.
type Oracle struct {
	// Lower rounds every backlog down, and is no less than 1: no rule that ends empty can do with less under this model. Upper
	// rounds up: a plan that exists. What a plan leaves waiting at the end is paid for as well.
	Lower, Upper float64
}

// oracleGrid is the number of backlogs that are told apart, oracleCounts the most replica counts.
const (
	oracleGrid   = 32
	oracleCounts = 16
)

// after is what follows a tick: the priced sum of all that is still to come with the lateness of the tick itself, the cost of
// what is still to come, and whether no backlog was left.
type after struct {
	total, cost float64
	empty       bool
}

// ClairvoyantCost solves the plan by dynamic programming backwards over ticks, replica counts and backlogs. Capacities are
// without noise and partitions evenly loaded; a change stops the group for the pause.
func ClairvoyantCost(s Scenario) (Oracle, error) {
	if err := s.Validate(); err != nil {
		return Oracle{}, err
	}
	lower := max(s.clairvoyant(math.Floor), 1)
	// Where some come late whatever is done, the fewest late may cost a little less by the other rounding.
	return Oracle{Lower: lower, Upper: max(s.clairvoyant(math.Ceil), lower)}, nil
}

func (s *Scenario) clairvoyant(round func(float64) float64) float64 {
	perTick := func(n int) float64 { // records
		if n == 0 {
			return 0
		}
		return float64(s.Partitions) / math.Ceil(float64(s.Partitions)/float64(n)) * s.Capacity * s.Tick
	}
	most := 0.0
	for _, rate := range s.Trace.Rates {
		most = max(most, rate*s.Tick)
	}
	counts := oracleChoices(usefulCounts(s.Partitions), s.Min, s.Max, func(n int) bool { return perTick(n) >= 2*most })
	k := len(counts)
	capacity := make([]float64, k)
	for i, n := range counts {
		capacity[i] = perTick(n)
	}
	highest := capacity[k-1] * s.Objective / s.Tick
	unit := highest / (oracleGrid - 1)
	first := int(math.Ceil(s.CountFrom / s.Tick))
	last := int(s.Trace.Duration() / s.Tick)
	leadTicks, pause := s.Lead/s.Tick, s.Pause/s.Tick
	// A late record weighs more than any replica could.
	latePrice := 1e3 / (s.Capacity * s.Tick)

	size := k * oracleGrid
	total, cost := make([]float64, size), make([]float64, size)
	nextTotal, nextCost := make([]float64, size), make([]float64, size)
	// What follows a tick with count j and a backlog depends on the count before only in whether it changed.
	kept, changed := make([]after, size), make([]after, size)
	// What is left at the end, or is more than the grid knows, is served for the least that it takes, and not for nothing.
	perRecord := 1 / (s.Capacity * s.Tick)
	for i := range size {
		cost[i] = float64(i%oracleGrid) * unit * perRecord
	}
	copy(total, cost)
	for t := last; t > first; t-- {
		arrivals := s.Trace.Arrived(float64(t)*s.Tick) - s.Trace.Arrived(float64(t-1)*s.Tick)
		for j := range k {
			for _, to := range []struct {
				after  []after
				served float64
			}{{kept, capacity[j]}, {changed, capacity[j] * max(0, 1-pause)}} {
				for q := range oracleGrid {
					left := max(0, float64(q)*unit+arrivals-to.served)
					late := max(0, left-capacity[j]*s.Objective/s.Tick)
					at := j*oracleGrid + int(min(round(left/unit), oracleGrid-1))
					beyond := max(0, left-highest) * perRecord
					to.after[j*oracleGrid+q] = after{late*latePrice + beyond + total[at], beyond + cost[at], left == 0}
				}
			}
		}
		for i := range k {
			for q := range oracleGrid {
				best, bestCost := math.Inf(1), 0.0
				for j := range k {
					price, then := float64(counts[j]), &kept[j*oracleGrid+q]
					if i != j {
						then = &changed[j*oracleGrid+q]
						if j > i {
							price += leadTicks * float64(counts[j]-counts[i])
						}
					}
					if sum := price + then.total; sum < best {
						best, bestCost = sum, price+then.cost
					}
					if then.empty && j > i {
						break // still more replicas only cost more
					}
				}
				nextTotal[i*oracleGrid+q], nextCost[i*oracleGrid+q] = best, bestCost
			}
		}
		total, nextTotal = nextTotal, total
		cost, nextCost = nextCost, cost
	}
	bestTotal, bestCost := math.Inf(1), 0.0
	for i := range k {
		if total[i*oracleGrid] < bestTotal {
			bestTotal, bestCost = total[i*oracleGrid], cost[i*oracleGrid]
		}
	}
	bound := max((s.Trace.Arrived(float64(last)*s.Tick)-s.Trace.Arrived(float64(first)*s.Tick))/s.Capacity, float64(s.Min)*float64(last-first)*s.Tick)
	return bestCost * s.Tick / bound
}

// oracleChoices thins the useful counts between the bounds out to at most oracleCounts, keeping both ends. Where there are more,
// those go first that are above one that is enough, which is one that serves twice what ever arrives: of 10,000 partitions' useful
// counts the least that were left would else be far apart, and a clairvoyant would pay more than rules do.
func oracleChoices(useful []int, lowest, highest int, enough func(int) bool) []int {
	var counts []int
	if lowest == 0 {
		counts = append(counts, 0)
	}
	for _, n := range useful {
		if n >= lowest && n <= highest {
			counts = append(counts, n)
		}
	}
	if len(counts) == 0 {
		return []int{highest}
	}
	if len(counts) > oracleCounts {
		if i := slices.IndexFunc(counts, enough); i >= 0 {
			counts = counts[:i+1]
		}
	}
	if len(counts) <= oracleCounts {
		return counts
	}
	thin := make([]int, oracleCounts)
	for i := range thin {
		thin[i] = counts[i*(len(counts)-1)/(oracleCounts-1)]
	}
	return thin
}
