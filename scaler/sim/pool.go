package sim

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/prescale/prescale/metrics/series"
)

// Pool is one of several targets of unequal speed, price and start-up time: GPU, CPU or spot nodes.
type Pool struct {
	Name string
	// Capacity is what one of its replicas does, in records per second; Price what one costs per hour.
	Capacity, Price float64
	// Lead is the median time in seconds from the request to the first record.
	Lead float64
	// Max is the most that may be asked for, and Room how many the cluster has nodes for: more wait, and cost nothing. 0 Room
	// is room for all.
	Max, Room int
	// ReclaimEvery is the mean time in seconds for which a replica keeps its node, as spot nodes do; it goes without notice and
	// another is started in its place. 0: for ever.
	ReclaimEvery float64
}

// Splitter is a Policy that says how many replicas it wants of each pool. A Policy that is none gets all of them from the first.
type Splitter interface {
	Policy
	// Split returns the counts that the last Decide asked for, in the scenario's order of pools. It is valid until the next.
	Split() []int
}

// pools returns the scenario's pools; without any the one that all replicas are of.
func (s *Scenario) pools() []Pool {
	if len(s.Pools) > 0 {
		return s.Pools
	}
	return []Pool{{Capacity: s.Capacity, Price: 1, Lead: s.Lead, Max: s.Max}}
}

func (s *Scenario) validatePools() error {
	var errs []error
	for i, p := range s.Pools {
		if p.Name == "" || !(p.Capacity > 0) || !(p.Price > 0) || p.Lead < 0 || p.Max < 1 || p.Room < 0 || p.ReclaimEvery < 0 {
			errs = append(errs, fmt.Errorf(
				"pools[%d]: %+v: want a name, a capacity and a price of more than 0, a max of 1 or more, and the rest 0 or more", i, p))
		}
	}
	if len(s.Pools) > 0 && s.NodeReplicas > 0 {
		errs = append(errs, errors.New("pools: want no node replicas beside them"))
	}
	return errors.Join(errs...)
}

// poolRun is what the runner keeps of one pool.
type poolRun struct {
	Pool
	started []float64
	seen    series.PoolObservation
}

// waiting is the start of a replica that no node has room for.
var waiting = math.Inf(1)

// present returns how many replicas of a pool are members, how many are on their way to it, and how many wait for a node.
func (r *runner) present(pool int) (members, starting, stuck int) {
	for i := range r.g.members {
		if r.g.members[i].pool == pool {
			members++
		}
	}
	for _, p := range r.pending {
		switch {
		case p.pool != pool:
		case p.readyAt == waiting:
			stuck++
		default:
			starting++
		}
	}
	return members, starting, stuck
}

// place starts those that wait for a node as far as there is room now.
func (r *runner) place() {
	for i := range r.pools {
		p := &r.pools[i]
		if p.Room == 0 {
			continue
		}
		members, starting, stuck := r.present(i)
		for k := range r.pending {
			if stuck == 0 || members+starting >= p.Room {
				break
			}
			if one := &r.pending[k]; one.pool == i && one.readyAt == waiting {
				one.readyAt = r.g.now + r.lead(i)
				starting, stuck = starting+1, stuck-1
			}
		}
	}
	r.sortPending()
}

// reclaim takes the replicas whose nodes are wanted back, and starts others in their places.
func (r *runner) reclaim() {
	lost := 0
	for i := range r.pools {
		p := &r.pools[i]
		if p.ReclaimEvery == 0 {
			continue
		}
		kept := r.g.members[:0]
		for _, m := range r.g.members {
			if m.pool == i && r.reclaims.Float64() < -math.Expm1(-r.s.Tick/p.ReclaimEvery) {
				lost++
				r.pending = append(r.pending, starting{orderedAt: r.g.now, readyAt: waiting, pool: i})
				if p.Room == 0 {
					r.pending[len(r.pending)-1].readyAt = r.g.now + r.lead(i)
				}
				continue
			}
			kept = append(kept, m)
		}
		r.g.members = kept
	}
	if lost > 0 {
		r.reclaimed += lost
		r.place()
		r.reassign(true)
	}
}

// observePools fills in what an orchestrator knows of each pool.
func (r *runner) observePools(o *series.Observation) {
	o.Pools = o.Pools[:0]
	for i := range r.pools {
		p := &r.pools[i]
		consumed, worked := 0.0, 0.0
		for k := range r.g.members {
			if m := &r.g.members[k]; m.pool == i {
				consumed += m.worked * m.capacity
				worked += m.worked
			}
		}
		members, starting, stuck := r.present(i)
		p.seen = series.PoolObservation{
			Name: p.Name, ReadyReplicas: series.OfInt(members), StartingReplicas: series.OfInt(starting + stuck),
			UnschedulableReplicas: series.OfInt(stuck), ConsumedRecords: series.Of(consumed), StartupSeconds: slices.Clone(p.started),
		}
		if !r.s.HideBusy && members > 0 {
			p.seen.BusyRatio = series.Of(min(1, worked/(float64(members)*r.s.Tick)))
		}
		p.started = p.started[:0]
		o.Pools = append(o.Pools, p.seen)
	}
}

// price returns what a second costs now.
func (r *runner) price() float64 {
	if len(r.pools) == 1 {
		return float64(r.running()) * r.pools[0].Price / 3600
	}
	sum := 0.0
	for i := range r.g.members {
		sum += r.pools[r.g.members[i].pool].Price
	}
	for _, p := range r.pending {
		if p.readyAt != waiting {
			sum += r.pools[p.pool].Price
		}
	}
	return sum / 3600
}
