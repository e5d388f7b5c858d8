package sim

import "math"

// member is a replica that is in the group.
type member struct {
	id       int
	capacity float64 // records per second
	load     float64 // share of the arrivals on its partitions
	backlog  float64 // scratch
	served   float64 // scratch: share of the backlog served in a step
	worked   float64 // replica-seconds of work since the last observation
	// Scratch: the partition whose wait is taken in a step, the record it is of, and the records it stands for.
	sample            int
	sampleAt, sampled float64
}

// group is the consumer group in fluid form.
type group struct {
	trace    *Trace
	weights  []float64 // share of the arrivals per partition
	owner    []int     // index into members per partition, -1: none
	consumed []float64 // cumulative records per partition; valid while not clear
	hint     []int
	stopped  []float64 // partitions that move stop until then
	members  []member
	allStop  float64 // everyone stops until then
	now      float64
	clear    bool // nothing waits
	// spareRate is the highest arrival rate that leaves nothing waiting.
	spareRate float64

	objective float64
	counting  bool
	late      float64
	total     float64
	waits     waits
	consumedN float64 // records consumed since the last observation
	underLag  float64
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

func newGroup(trace *Trace, partitions int, weights []float64, objective float64) *group {
	g := &group{
		trace: trace, weights: weights, owner: make([]int, partitions), consumed: make([]float64, partitions),
		hint: make([]int, partitions), stopped: make([]float64, partitions), clear: true, objective: objective,
	}
	for p := range g.owner {
		g.owner[p] = -1
	}
	return g
}

// regroup recomputes what follows from members and owners.
func (g *group) regroup() {
	g.materialise()
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

func (g *group) materialise() {
	if !g.clear {
		return
	}
	arrived := g.trace.Arrived(g.now)
	for p, w := range g.weights {
		g.consumed[p] = w * arrived
	}
	g.clear = false
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
		g.step(min(1, next-g.now))
	}
}

// step runs a group that has a backlog, or has none but stands still, for dt seconds.
func (g *group) step(dt float64) {
	end := g.now + dt
	arrived := g.trace.Arrived(end)
	due := g.trace.Arrived(g.now + dt/2 - g.objective)
	for i := range g.members {
		m := &g.members[i]
		m.backlog, m.sampled, m.sample = 0, 0, -1
	}
	stop := g.now < g.allStop-1e-9
	working := dt
	if stop {
		if g.allStop < end {
			working = end - g.allStop
		} else {
			working = 0
		}
	}
	for p, o := range g.owner {
		if o >= 0 && g.stopped[p] <= g.now {
			g.members[o].backlog += g.weights[p]*arrived - g.consumed[p]
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
	waiting := false
	for p, o := range g.owner {
		w := g.weights[p]
		backlog := w*arrived - g.consumed[p]
		if o < 0 || g.stopped[p] > g.now {
			waiting = waiting || backlog > 1e-9
			continue
		}
		d := backlog * g.members[o].served
		if g.members[o].served < 1 {
			waiting = waiting || backlog > 1e-9
		}
		from := g.consumed[p]
		g.consumed[p] += d
		g.consumedN += d
		if g.counting && d > 0 {
			g.total += d
			if limit := w * due; limit > from {
				g.late += min(d, limit-from)
			}
			// A consumer drains its partitions evenly, so the wait on one of them stands for all.
			m := &g.members[o]
			if m.sample < 0 {
				m.sample, m.sampleAt = p, (from+d/2)/w
			}
			m.sampled += d
		}
	}
	if g.counting {
		for i := range g.members {
			if m := &g.members[i]; m.sampled > 0 {
				at := 0.0
				at, g.hint[m.sample] = g.trace.arrivalTime(m.sampleAt, g.hint[m.sample])
				g.waits.add(max(0, g.now-at), m.sampled)
			}
		}
	}
	g.now = end
	if !waiting && g.now >= g.allStop {
		g.clear = true
	}
}

// lag returns the backlog in records and the age of the oldest waiting record.
func (g *group) lag(partitions []float64) (records, age float64) {
	if g.clear {
		clear(partitions)
		return 0, 0
	}
	arrived := g.trace.Arrived(g.now)
	oldest := math.Inf(1)
	for p, w := range g.weights {
		l := max(0, w*arrived-g.consumed[p])
		if partitions != nil {
			partitions[p] = l
		}
		if l > 1e-6 {
			records += l
			oldest = min(oldest, g.consumed[p]/w)
		}
	}
	if math.IsInf(oldest, 1) {
		return 0, 0
	}
	at, _ := g.trace.arrivalTime(oldest, int(g.now/g.trace.Step))
	return records, max(0, g.now-at)
}
