package sim

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// Policy is what is tried: given what the tick saw, how many replicas does it want?
type Policy interface {
	// Decide must not keep o.
	Decide(now time.Time, o *series.Observation) int
}

type starting struct {
	orderedAt, readyAt float64
	provisioned        bool // a node had to come first
	pool               int
}

// Run tries one policy. The same scenario and policy give the same result.
func Run(s Scenario, policy Policy) (Result, error) {
	if err := s.Validate(); err != nil {
		return Result{}, err
	}
	r := &runner{
		s: s, random: rand.New(rand.NewPCG(s.Seed, 0x9e3779b97f4a7c15)), reclaims: rand.New(rand.NewPCG(s.Seed, 0x2545f4914f6cdd1d)),
		start: s.Start,
	}
	for _, p := range s.pools() {
		r.pools = append(r.pools, poolRun{Pool: p})
	}
	r.wanted = make([]int, len(r.pools))
	if r.start.IsZero() {
		r.start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	}
	weights := s.Weights
	if weights == nil {
		weights = make([]float64, s.Partitions)
		for i := range weights {
			weights[i] = 1 / float64(s.Partitions)
		}
	}
	r.g = newGroup(s.Trace, s.Partitions, weights, s.Objective)
	for range s.Initial {
		r.join(0)
	}
	r.reassign(false)
	return r.run(policy), nil
}

type runner struct {
	s           Scenario
	random      *rand.Rand
	reclaims    *rand.Rand
	g           *group
	start       time.Time
	pools       []poolRun
	wanted      []int // by pool
	nextID      int
	pending     []starting
	started     []float64
	provisioned []float64 // start-ups that waited for a node
	changes     int
	moves       int
	paid        float64
	spent       float64
	reclaimed   int
	counting    bool
	lagAt       []float64
	owners      []int // ids per partition
}

func (r *runner) join(pool int) {
	c := r.pools[pool].Capacity * max(0.2, 1+r.s.CapacityNoise*r.random.NormFloat64())
	r.g.members = append(r.g.members, member{id: r.nextID, capacity: c, pool: pool})
	r.nextID++
}

// lead draws how long a replica of the pool takes to start.
func (r *runner) lead(pool int) float64 {
	return r.pools[pool].Lead * math.Exp(r.s.LeadJitter*r.random.NormFloat64())
}

// sortPending puts those first that are ready first, in the order in which they were asked for.
func (r *runner) sortPending() {
	slices.SortStableFunc(r.pending, func(a, b starting) int { return cmp.Compare(a.readyAt, b.readyAt) })
}

// joined stops the group for those that have just joined. Under an eager assignor who joins while it stands still is part of the
// same rebalance, and the partitions are dealt out once, at its end: a thousand replicas that join one after the other take no
// thousand assignments. Where a tick ends in the stop they are dealt out then too: who stands still and for how long is the same, and
// only Moves may count more.
func (r *runner) joined() {
	if r.s.Assignor == Cooperative {
		r.reassign(true)
		return
	}
	r.g.materialise()
	r.g.allStop = r.g.now + r.s.Pause
	r.g.rebalance = func() { r.reassign(false) }
}

// reassign redistributes the partitions after joins and leaves.
func (r *runner) reassign(pause bool) {
	g := r.g
	g.rebalance = nil
	g.materialise()
	// The group knows owners as indices, the assignor as ids, which outlive their neighbours.
	if r.owners == nil {
		r.owners = slices.Repeat([]int{-1}, len(g.owner))
	}
	before := slices.Clone(r.owners)
	moved := r.s.Assignor.assign(r.owners, g.members)
	if r.counting {
		r.moves += moved
	}
	index := make(map[int]int, len(g.members))
	for i := range g.members {
		index[g.members[i].id] = i
	}
	for p, id := range r.owners {
		if id < 0 {
			g.owner[p] = -1
			continue
		}
		g.owner[p] = index[id]
		if pause && r.s.Assignor == Cooperative && before[p] != id {
			g.stopped[p] = g.now + r.s.Pause
		}
	}
	if pause && r.s.Assignor != Cooperative {
		g.allStop = g.now + r.s.Pause
	}
	g.regroup()
}

// scale moves every pool's target to the wanted count: new replicas start, superfluous ones that are still starting are given up
// first, and then the youngest members leave.
func (r *runner) scale() {
	changed, left := false, false
	for i := range r.pools {
		changedHere, leftHere := r.scalePool(i, r.wanted[i])
		changed, left = changed || changedHere, left || leftHere
	}
	if changed && r.counting {
		r.changes++
	}
	r.sortPending()
	if left {
		r.reassign(true)
	}
	r.place()
}

func (r *runner) scalePool(pool, n int) (changed, left bool) {
	members, soon, stuck := r.present(pool)
	present := members + soon + stuck
	if n == present {
		return false, false
	}
	room := n
	if per := r.s.NodeReplicas; per > 0 {
		room = (present + per - 1) / per * per
	}
	for ; present < n; present++ {
		one := starting{orderedAt: r.g.now, readyAt: waiting, provisioned: present >= room, pool: pool}
		if most := r.pools[pool].Room; most == 0 || members+soon < most {
			soon++
			one.readyAt = r.g.now + r.lead(pool)
			if one.provisioned {
				one.readyAt += r.s.NodeLead
			}
		}
		r.pending = append(r.pending, one)
	}
	for k := len(r.pending) - 1; present > n && k >= 0; k-- {
		if r.pending[k].pool == pool {
			r.pending = slices.Delete(r.pending, k, k+1)
			present--
		}
	}
	for k := len(r.g.members) - 1; present > n && k >= 0; k-- {
		if r.g.members[k].pool == pool {
			r.g.members = slices.Delete(r.g.members, k, k+1)
			present--
			left = true
		}
	}
	return true, left
}

// want takes over what the policy asked for, of each pool no more than there may be.
func (r *runner) want(policy Policy, desired int) {
	clear(r.wanted)
	r.wanted[0] = desired
	if s, ok := policy.(Splitter); ok && len(r.s.Pools) > 0 {
		copy(r.wanted, s.Split())
	}
	for i := range r.wanted {
		r.wanted[i] = min(r.wanted[i], r.pools[i].Max)
	}
}

// advance runs the world to `until`, with replicas joining on the way.
func (r *runner) advance(until float64) {
	for {
		next := until
		if len(r.pending) > 0 {
			next = min(next, max(r.g.now, r.pending[0].readyAt))
		}
		if r.counting {
			r.paid += (next - r.g.now) * float64(r.running())
			r.spent += (next - r.g.now) * r.price()
		}
		r.g.advance(next)
		joined := false
		for len(r.pending) > 0 && r.pending[0].readyAt <= r.g.now+1e-9 {
			one := r.pending[0]
			took := r.g.now - one.orderedAt + r.s.Pause
			if one.provisioned {
				r.provisioned = append(r.provisioned, took)
			} else {
				r.started = append(r.started, took)
				r.pools[one.pool].started = append(r.pools[one.pool].started, took)
			}
			r.pending = r.pending[1:]
			r.join(one.pool)
			joined = true
		}
		if joined {
			r.joined()
		}
		if next >= until {
			r.g.settle()
			return
		}
	}
}

// running returns how many replicas are there or starting. Those that no node has room for are last of the pending.
func (r *runner) running() int {
	starting, _ := slices.BinarySearchFunc(r.pending, waiting, func(p starting, at float64) int { return cmp.Compare(p.readyAt, at) })
	return len(r.g.members) + starting
}

func (r *runner) run(policy Policy) Result {
	s, g := &r.s, r.g
	var result Result
	ticks := int(s.Trace.Duration() / s.Tick)
	o := r.observation()
	var demandTicks float64
	for i := 1; i <= ticks; i++ {
		from, to := float64(i-1)*s.Tick, float64(i)*s.Tick
		if !r.counting && from >= s.CountFrom {
			r.counting, g.counting = true, true
		}
		r.started, r.provisioned = r.started[:0], r.provisioned[:0]
		readyBefore := len(g.members)
		g.consumedN = 0
		for m := range g.members {
			g.members[m].worked = 0
		}
		r.reclaim()
		r.advance(to)
		arrived := s.Trace.Arrived(to) - s.Trace.Arrived(from)
		lag, age := g.lag(r.lagAt)
		o.At = r.start.Add(time.Duration(to * float64(time.Second)))
		o.ArrivalRecords, o.LagRecords, o.LagSeconds = series.Of(arrived), series.Of(lag), series.Of(age)
		r.observe(&o, readyBefore)
		desired := min(max(policy.Decide(o.At, &o), s.Min), s.Max)
		r.want(policy, desired)
		if s.Keep {
			result.Points = append(result.Points, Point{to, arrived / s.Tick, lag, age, len(g.members), len(r.pending), desired})
		}
		if r.counting {
			result.MaxLag = max(result.MaxLag, age)
			demandTicks++
			result.Elasticity.add(math.Ceil(arrived/s.Tick/s.Capacity), float64(len(g.members)))
		}
		r.scale()
	}
	result.Elasticity.divide(demandTicks)
	g.end()
	r.sum(&result, float64(ticks)*s.Tick)
	return result
}

// observation returns what every tick's observation has in common.
func (r *runner) observation() series.Observation {
	s := &r.s
	o := series.Observation{
		Policy: "default/simulated", Interval: time.Duration(s.Tick * float64(time.Second)), Partitions: series.OfInt(s.Partitions),
	}
	if s.ShowPartitions {
		r.lagAt = make([]float64, s.Partitions)
		o.PartitionLagRecords = make([]series.Value, s.Partitions)
		o.PartitionArrivalRecords = make([]series.Value, s.Partitions)
	}
	return o
}

// observe fills in what a tick saw of the group and of each partition; o knows what arrived and waits in all.
func (r *runner) observe(o *series.Observation, readyBefore int) {
	s, g := &r.s, r.g
	o.ConsumedRecords = series.Of(g.consumedN)
	o.ReadyReplicas, o.StartingReplicas = series.OfInt(len(g.members)), series.OfInt(len(r.pending))
	o.StartupSeconds = append(o.StartupSeconds[:0], r.started...)
	o.ProvisionedStartupSeconds = append(o.ProvisionedStartupSeconds[:0], r.provisioned...)
	o.Rebalancing = g.now < g.allStop
	o.BusyRatio = series.Missing
	if !s.HideBusy && max(readyBefore, len(g.members)) > 0 {
		worked := 0.0
		for m := range g.members {
			worked += g.members[m].worked
		}
		o.BusyRatio = series.Of(min(1, worked/(float64(len(g.members))*s.Tick)))
	}
	for p := range o.PartitionLagRecords {
		o.PartitionLagRecords[p] = series.Of(r.lagAt[p])
		o.PartitionArrivalRecords[p] = series.Of(g.weights[p] * o.ArrivalRecords.Or(0))
	}
	if len(s.Pools) > 0 {
		r.observePools(o)
		o.UnschedulableReplicas = series.Of(0)
		for i := range o.Pools {
			o.UnschedulableReplicas = o.UnschedulableReplicas.Plus(o.Pools[i].UnschedulableReplicas)
		}
	}
}

// sum fills in what a run that ended at `end` cost, and what became of the records.
func (r *runner) sum(result *Result, end float64) {
	s, g := &r.s, r.g
	from := math.Ceil(s.CountFrom/s.Tick) * s.Tick
	result.ReplicaSeconds, result.Price, result.Reclaimed = r.paid, r.spent, r.reclaimed
	result.LowerBound = max((s.Trace.Arrived(end)-s.Trace.Arrived(from))/s.Capacity, float64(s.Min)*(end-from))
	result.Records = g.total
	result.EndsWithLag, _ = g.lag(nil)
	if g.total > 0 {
		result.LateRatio = g.late / g.total
	}
	result.WaitP50, result.WaitP99 = g.waits.quantile(0.5), g.waits.quantile(0.99)
	result.Changes, result.Moves, result.Days = r.changes, r.moves, (end-from)/86400
}
