package sim

import (
	"cmp"
	"math"
	"slices"
)

// member is a replica that is in the group.
type member struct {
	id, pool int
	capacity float64 // records per second
	load     float64 // share of the arrivals on its partitions
	backlog  float64 // scratch
	served   float64 // scratch: share of the backlog served in a step
	worked   float64 // replica-seconds of work since the last observation
	// Scratch: the class whose wait is taken in a step, the record it is of, and the records it stands for.
	sample            int
	sampleAt, sampled float64
}

// group is the consumer group in fluid form.
type group struct {
	trace   *Trace
	weights []float64 // share of the arrivals per partition
	owner   []int     // index into members per partition, -1: none
	stopped []float64 // partitions that move stop until then
	members []member
	allStop float64 // everyone stops until then
	// rebalance, unless nil, deals the partitions out anew: it is due when the stop ends.
	rebalance func()
	now       float64
	clear     bool // nothing waits
	// spareRate is the highest arrival rate that leaves nothing waiting.
	spareRate float64

	// A consumer drains its partitions evenly, so those that were in step stay in step; all that is stepped is these classes.
	classes  []class
	progress []float64 // per partition, of its class when the classes were last formed
	order    []int     // partitions by class

	objective float64
	counting  bool
	late      float64
	total     float64
	waits     waits
	consumedN float64 // records consumed since the last observation
}

// waits is a histogram of waiting times in records; bucket i holds those below 0.1×1.1^i seconds.
type waits struct {
	buckets [128]float64
	total   float64
}

const waitBase, waitGrowth = 0.1, 1.1

var logWaitGrowth = math.Log(waitGrowth)

func (w *waits) add(seconds, records float64) {
	i := 0
	if seconds > waitBase {
		i = min(len(w.buckets)-1, 1+int(math.Log(seconds/waitBase)/logWaitGrowth))
	}
	w.buckets[i] += records
	w.total += records
}

// quantile returns the upper edge of the bucket that the level falls into; 0 for the first, which is "no wait".
func (w *waits) quantile(level float64) float64 {
	sum := 0.0
	for i, b := range w.buckets {
		sum += b
		if sum >= level*w.total {
			if i == 0 {
				return 0
			}
			return waitBase * math.Pow(waitGrowth, float64(i))
		}
	}
	return math.Inf(1)
}

// class is the partitions of one consumer that are served alike.
type class struct {
	owner    int     // index into members, -1: none
	weight   float64 // share of the arrivals
	progress float64 // how many records of the whole topic had arrived when the next record to be served arrived
	stopped  float64 // stands still until then
	from, to int     // range of group.order
	hint     int     // the step of the trace that progress was in
}

func newGroup(trace *Trace, partitions int, weights []float64, objective float64) *group {
	g := &group{
		trace: trace, weights: weights, owner: make([]int, partitions), stopped: make([]float64, partitions),
		progress: make([]float64, partitions), order: make([]int, partitions), clear: true, objective: objective,
	}
	for p := range g.owner {
		g.owner[p] = -1
		g.order[p] = p
	}
	return g
}

// regroup recomputes what follows from members and owners.
func (g *group) regroup() {
	g.materialise()
	g.classify()
	for i := range g.members {
		g.members[i].load = 0
	}
	for p, m := range g.owner {
		if m >= 0 {
			g.members[m].load += g.weights[p]
		}
	}
	g.spareRate = 0
	if len(g.members) == 0 {
		return
	}
	g.spareRate = math.Inf(1)
	for i := range g.members {
		if m := &g.members[i]; m.load > 0 {
			g.spareRate = min(g.spareRate, m.capacity/m.load)
		}
	}
}

// classify forms the classes anew.
func (g *group) classify() {
	for i := range g.classes {
		c := &g.classes[i]
		for _, p := range g.order[c.from:c.to] {
			g.progress[p] = c.progress
			if g.stopped[p] <= g.now {
				g.stopped[p] = 0
			}
		}
	}
	g.sortByOwner()
	for from := 0; from < len(g.order); {
		to := from + 1
		for to < len(g.order) && g.owner[g.order[to]] == g.owner[g.order[from]] {
			to++
		}
		slices.SortFunc(g.order[from:to], func(a, b int) int {
			if g.stopped[a] != g.stopped[b] {
				return cmp.Compare(g.stopped[a], g.stopped[b])
			}
			return cmp.Or(cmp.Compare(g.progress[a], g.progress[b]), cmp.Compare(a, b))
		})
		from = to
	}
	g.classes = g.classes[:0]
	for i, p := range g.order {
		last := len(g.classes) - 1
		if i == 0 || g.classes[last].owner != g.owner[p] || g.classes[last].stopped != g.stopped[p] ||
			g.classes[last].progress != g.progress[p] {
			g.classes = append(g.classes, class{owner: g.owner[p], stopped: g.stopped[p], progress: g.progress[p], from: i,
				hint: int(g.now / g.trace.Step)})
			last++
		}
		g.classes[last].weight += g.weights[p]
		g.classes[last].to = i + 1
	}
}

// sortByOwner orders the partitions by their owners, none first, and those of one by their numbers.
func (g *group) sortByOwner() {
	next := make([]int, slices.Max(g.owner)+3) // where the next of an owner goes, none being the first
	for _, m := range g.owner {
		next[m+2]++
	}
	for i := range next[1:] {
		next[i+1] += next[i]
	}
	for p, m := range g.owner {
		g.order[next[m+1]] = p
		next[m+1]++
	}
}

// materialise makes the classes' progress valid where it was not kept because nothing waited.
func (g *group) materialise() {
	if !g.clear {
		return
	}
	arrived := g.trace.Arrived(g.now)
	for i := range g.classes {
		g.classes[i].progress = arrived
	}
	g.clear = false
	if len(g.classes) > 2*len(g.members) {
		g.classify()
	}
}

// advance runs the group to `until`.
func (g *group) advance(until float64) {
	for g.now < until-1e-9 {
		next := min(until, g.trace.nextChange(g.now))
		if g.clear && g.now >= g.allStop && g.trace.Rate(g.now) <= g.spareRate {
			records := g.trace.Arrived(next) - g.trace.Arrived(g.now)
			g.consumedN += records
			if g.counting {
				g.total += records
				g.waits.add(0, records)
			}
			for i := range g.members {
				m := &g.members[i]
				m.worked += records * m.load / m.capacity
			}
			g.now = next
			continue
		}
		g.materialise()
		dt := min(1, next-g.now)
		if g.now+dt < g.allStop { // Nothing but time moves.
			g.now += dt
			continue
		}
		g.settle()
		g.step(dt)
	}
}

// settle ends a rebalance that is due.
func (g *group) settle() {
	if g.rebalance != nil {
		g.rebalance()
	}
}

// step runs a group that has a backlog, or has none but stands still, for dt seconds.
func (g *group) step(dt float64) {
	end := g.now + dt
	arrived := g.trace.Arrived(end)
	g.share(arrived, g.working(dt))
	waiting := g.serve(arrived, g.trace.Arrived(g.now+dt/2-g.objective))
	if g.counting {
		g.sample()
	}
	g.now = end
	if !waiting && g.now >= g.allStop {
		g.clear = true
	}
}

// working returns for how many of the next dt seconds the group does not stand still as a whole.
func (g *group) working(dt float64) float64 {
	if g.now >= g.allStop-1e-9 {
		return dt
	}
	return max(0, g.now+dt-g.allStop)
}

// share finds what share of its backlog each member gets through in so many seconds, and how long it works for it.
func (g *group) share(arrived, working float64) {
	for i := range g.members {
		m := &g.members[i]
		m.backlog, m.sampled, m.sample = 0, 0, -1
	}
	for i := range g.classes {
		if c := &g.classes[i]; c.owner >= 0 && c.stopped <= g.now {
			g.members[c.owner].backlog += c.weight * (arrived - c.progress)
		}
	}
	for i := range g.members {
		m := &g.members[i]
		can := m.capacity * working
		switch {
		case m.backlog <= 0:
			m.served = 1
		case can >= m.backlog:
			m.served = 1
			m.worked += m.backlog / m.capacity
		default:
			m.served = can / m.backlog
			m.worked += working
		}
	}
}

// serve lets every class progress by its member's share, counts as late what arrived before due, and reports whether any still waits.
func (g *group) serve(arrived, due float64) (waiting bool) {
	for i := range g.classes {
		c := &g.classes[i]
		backlog := c.weight * (arrived - c.progress)
		if c.owner < 0 || c.stopped > g.now {
			waiting = waiting || backlog > 1e-9
			continue
		}
		m := &g.members[c.owner]
		from, served := c.progress, backlog*m.served
		if m.served < 1 {
			waiting = waiting || backlog > 1e-9
			c.progress += (arrived - from) * m.served
		} else {
			c.progress = arrived
		}
		g.consumedN += served
		if !g.counting || served <= 0 {
			continue
		}
		g.total += served
		if due > from {
			g.late += min(served, c.weight*(due-from))
		}
		if m.sample < 0 {
			m.sample, m.sampleAt = i, (from+c.progress)/2
		}
		m.sampled += served
	}
	return waiting
}

// sample adds to the waits what every member served: the wait of one of its classes stands for all of them.
func (g *group) sample() {
	for i := range g.members {
		m := &g.members[i]
		if m.sampled <= 0 {
			continue
		}
		at, c := 0.0, &g.classes[m.sample]
		at, c.hint = g.trace.arrivalTime(m.sampleAt, c.hint)
		g.waits.add(max(0, g.now-at), m.sampled)
	}
}

// end counts those that still wait and have waited longer than the objective: whatever becomes of them, they are late. Of the others
// nobody knows.
func (g *group) end() {
	if g.clear || !g.counting {
		return
	}
	due := g.trace.Arrived(g.now - g.objective)
	for i := range g.classes {
		c := &g.classes[i]
		if records := c.weight * (due - c.progress); records > 0 {
			g.total += records
			g.late += records
			at, _ := g.trace.arrivalTime((c.progress+due)/2, c.hint)
			g.waits.add(g.now-at, records)
		}
	}
}

// lag returns the backlog in records and the age of the oldest waiting record, and fills in the backlog per partition.
func (g *group) lag(partitions []float64) (records, age float64) {
	if g.clear {
		clear(partitions)
		return 0, 0
	}
	arrived := g.trace.Arrived(g.now)
	oldest := math.Inf(1)
	for i := range g.classes {
		c := &g.classes[i]
		behind := max(0, arrived-c.progress)
		if partitions != nil {
			for _, p := range g.order[c.from:c.to] {
				partitions[p] = g.weights[p] * behind
			}
		}
		if l := c.weight * behind; l > 1e-6 {
			records += l
			oldest = min(oldest, c.progress)
		}
	}
	if math.IsInf(oldest, 1) {
		return 0, 0
	}
	at, _ := g.trace.arrivalTime(oldest, int(g.now/g.trace.Step))
	return records, max(0, g.now-at)
}
