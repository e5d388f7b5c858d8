package sim

import (
	"slices"
	"testing"

	"github.com/prescale/prescale/scaler"
)

// pooled is a day of arrivals of 1000 records a second on average for a group of the pools.
func pooled(t testing.TB, pools ...Pool) Scenario {
	t.Helper()
	s := DefaultScenario(wavy(t, 1))
	s.Capacity, s.Assignor, s.Partitions, s.Pools, s.Initial, s.CountFrom = 100, Proportional, 480, pools, 4, 7200
	s.Max = 0
	for _, p := range pools {
		s.Max += p.Max
	}
	return s
}

// ruled runs the shipped rule and returns it beside the result.
func ruled(t testing.TB, s Scenario) (Result, *Prescale) {
	t.Helper()
	p, err := NewPrescale(s.Config(0.001), nil)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, s, p), p
}

var (
	gpu = Pool{Name: "gpu", Capacity: 400, Price: 3.2, Lead: 120, Max: 8}
	cpu = Pool{Name: "cpu", Capacity: 100, Price: 1, Lead: 30, Max: 32}
)

func TestASplitCostsLessThanEitherPool(t *testing.T) {
	both, rule := ruled(t, pooled(t, gpu, cpu))
	onGPU, _ := ruled(t, pooled(t, gpu))
	onCPU, _ := ruled(t, pooled(t, cpu))
	t.Logf("price and late ratio: both %.1f, %.5f; gpu %.1f, %.5f; cpu %.1f, %.5f", both.Price, both.LateRatio, onGPU.Price, onGPU.LateRatio, onCPU.Price, onCPU.LateRatio)
	if both.Price >= onGPU.Price || both.Price >= onCPU.Price {
		t.Errorf("both pools cost %.1f, the gpu pool alone %.1f and the cpu pool alone %.1f: want the least", both.Price, onGPU.Price, onCPU.Price)
	}
	if both.LateRatio > 0.002 {
		t.Errorf("late: got %v, want at most twice the promise of 0.001", both.LateRatio)
	}
	for i, pool := range []Pool{gpu, cpu} {
		if got, ok := rule.Decision.Pools[i].CapacityPerReplica.Get(); !ok || !near(got, pool.Capacity, 0.1) {
			t.Errorf("pool %s: a replica was learned to do %v records/s, does %v", pool.Name, got, pool.Capacity)
		}
	}
}

func TestAFullPoolIsStoodInFor(t *testing.T) {
	full := gpu
	full.Room = 1
	s := pooled(t, full, cpu)
	s.Keep = true
	r, rule := ruled(t, s)
	// One GPU replica does 400 of the 1000 records a second; the CPU pool has to do the rest, and does it in time.
	if r.LateRatio > 0.004 {
		t.Errorf("late: got %v, want at most 0.004", r.LateRatio)
	}
	if !slices.Contains(rule.Decision.Verdicts, scaler.VerdictUnschedulable) {
		t.Errorf("verdicts: got %v, want Unschedulable", rule.Decision.Verdicts)
	}
	if n := rule.Decision.Pools[1].DesiredReplicas; n == 0 {
		t.Errorf("pools: got %v, want CPU replicas beside a full GPU pool", rule.Decision.Pools)
	}
}

func TestSpotReplicasThatGoAreStoodInFor(t *testing.T) {
	spot := Pool{Name: "spot", Capacity: 100, Price: 0.3, Lead: 60, Max: 32, ReclaimEvery: 7200}
	demand := Pool{Name: "onDemand", Capacity: 100, Price: 1, Lead: 60, Max: 32}
	with, _ := ruled(t, pooled(t, spot, demand))
	without, _ := ruled(t, pooled(t, demand))
	t.Logf("price and late ratio: with spot %.1f, %.5f (%d reclaimed); without %.1f, %.5f", with.Price, with.LateRatio, with.Reclaimed, without.Price, without.LateRatio)
	// Ten replicas for a day, each for two hours.
	if with.Reclaimed < 50 || with.Reclaimed > 250 {
		t.Errorf("%d replicas lost their nodes, want about 120", with.Reclaimed)
	}
	if with.Price > 0.6*without.Price {
		t.Errorf("spot nodes cost %.1f, on-demand ones %.1f: want well under two thirds", with.Price, without.Price)
	}
	if with.LateRatio > 0.01 {
		t.Errorf("late: got %v, want at most 0.01", with.LateRatio)
	}
}
