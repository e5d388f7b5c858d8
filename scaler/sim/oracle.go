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
	p := s.newPlanner(round)
	first := int(math.Ceil(s.CountFrom / s.Tick))
	last := int(s.Trace.Duration() / s.Tick)
	for t := last; t > first; t-- {
		p.tick(s.Trace.Arrived(float64(t)*s.Tick) - s.Trace.Arrived(float64(t-1)*s.Tick))
	}
	bound := max((s.Trace.Arrived(float64(last)*s.Tick)-s.Trace.Arrived(float64(first)*s.Tick))/s.Capacity,
		float64(s.Min)*float64(last-first)*s.Tick)
	return p.cost() * s.Tick / bound
}

// planner goes through the ticks from the last to the first. Of each count and backlog, count by count, it knows what follows.
type planner struct {
	counts               []int
	capacity             []float64 // of each count, in records a tick
	leadTicks            float64
	pause, objective     float64 // in ticks
	unit, highest        float64 // a step of the grid of backlogs, and the most that it knows, in records
	perRecord, latePrice float64 // what a record takes at least, and a late one weighs, in replica-ticks
	round                func(float64) float64

	total, costs, nextTotal, nextCosts []float64
	// What follows a tick with a count and a backlog depends on the count before only in whether it changed.
	kept, changed []after
}

func (s *Scenario) newPlanner(round func(float64) float64) *planner {
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
	p := &planner{
		counts:    oracleChoices(usefulCounts(s.Partitions), s.Min, s.Max, func(n int) bool { return perTick(n) >= 2*most }),
		leadTicks: s.Lead / s.Tick, pause: s.Pause / s.Tick, objective: s.Objective / s.Tick,
		perRecord: 1 / (s.Capacity * s.Tick),
		latePrice: 1e3 / (s.Capacity * s.Tick), // more than any replica could cost
		round:     round,
	}
	for _, n := range p.counts {
		p.capacity = append(p.capacity, perTick(n))
	}
	p.highest = p.capacity[len(p.capacity)-1] * s.Objective / s.Tick
	p.unit = p.highest / (oracleGrid - 1)
	size := len(p.counts) * oracleGrid
	for _, scratch := range []*[]float64{&p.total, &p.costs, &p.nextTotal, &p.nextCosts} {
		*scratch = make([]float64, size)
	}
	p.kept, p.changed = make([]after, size), make([]after, size)
	// What is left at the end, or is more than the grid knows, is served for the least that it takes, and not for nothing.
	for i := range size {
		p.costs[i] = float64(i%oracleGrid) * p.unit * p.perRecord
	}
	copy(p.total, p.costs)
	return p
}

// tick goes a tick back, in which so many records arrive.
func (p *planner) tick(arrivals float64) {
	for j, capacity := range p.capacity {
		p.follow(p.kept, j, arrivals, capacity)
		p.follow(p.changed, j, arrivals, capacity*max(0, 1-p.pause))
	}
	for i := range p.counts {
		for q := range oracleGrid {
			best, cost := p.choose(i, q)
			p.nextTotal[i*oracleGrid+q], p.nextCosts[i*oracleGrid+q] = best, cost
		}
	}
	p.total, p.nextTotal = p.nextTotal, p.total
	p.costs, p.nextCosts = p.nextCosts, p.costs
}

// follow fills in what follows a tick with count j, of each backlog before it.
func (p *planner) follow(dst []after, j int, arrivals, served float64) {
	for q := range oracleGrid {
		left := max(0, float64(q)*p.unit+arrivals-served)
		late := max(0, left-p.capacity[j]*p.objective)
		at := j*oracleGrid + int(min(p.round(left/p.unit), oracleGrid-1))
		beyond := max(0, left-p.highest) * p.perRecord
		dst[j*oracleGrid+q] = after{late*p.latePrice + beyond + p.total[at], beyond + p.costs[at], left == 0}
	}
}

// choose returns the least of what count i and backlog q lead to, and its cost without the lateness.
func (p *planner) choose(i, q int) (best, cost float64) {
	best = math.Inf(1)
	for j := range p.counts {
		price, then := float64(p.counts[j]), &p.kept[j*oracleGrid+q]
		if i != j {
			then = &p.changed[j*oracleGrid+q]
			if j > i {
				price += p.leadTicks * float64(p.counts[j]-p.counts[i])
			}
		}
		if sum := price + then.total; sum < best {
			best, cost = sum, price+then.cost
		}
		if then.empty && j > i {
			break // still more replicas only cost more
		}
	}
	return best, cost
}

// cost returns what the best plan that begins without a backlog costs, in replica-ticks.
func (p *planner) cost() float64 {
	best, cost := math.Inf(1), 0.0
	for i := range p.counts {
		if total := p.total[i*oracleGrid]; total < best {
			best, cost = total, p.costs[i*oracleGrid]
		}
	}
	return cost
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
