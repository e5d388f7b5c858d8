package pipeline

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// countPools fills in what each pool of the observation consumed, by the addresses of its ready pods (pods, by pool; a pod may have
// several) and what the group's members did on theirs (hosts). Members that belong to no pool are passed over.
//
// It is missing unless each ready pod is a member whose count is known and no other pool has its address. It also is where a pod
// was not behind throughout: the scaler would take a pool that has little to do for a slow one, and forget its speed for that.
func countPools(o *series.Observation, pods map[string][][]netip.Addr, hosts map[netip.Addr]collector.HostCount) {
	pools := map[netip.Addr]string{}
	shared := map[netip.Addr]bool{} // pods on the network of their node have its address
	for pool, all := range pods {
		for _, addresses := range all {
			for _, address := range addresses {
				other, taken := pools[address]
				shared[address] = shared[address] || taken && other != pool
				pools[address] = pool
			}
		}
	}
	for i := range o.Pools {
		p := &o.Pools[i]
		ready, found := pods[p.Name], 0
		counted := map[netip.Addr]bool{}
		sum, usable := series.Of(0), true
		for _, addresses := range ready {
			at := slices.IndexFunc(addresses, func(a netip.Addr) bool { _, ok := hosts[a]; return ok })
			if at < 0 {
				continue
			}
			found++
			address := addresses[at]
			if counted[address] {
				continue
			}
			counted[address] = true
			usable = usable && hosts[address].Behind && !shared[address]
			sum = sum.Plus(hosts[address].Records)
		}
		if len(hosts) > 0 && len(ready) > 0 && found == 0 {
			o.Problems = append(o.Problems, fmt.Sprintf(
				"pool %s: no member of the group has the address of one of its pods (they may share their node's, or it is translated): "+
					"its speed stands in for what it can do", p.Name))
		}
		// The pods may have changed since they were counted.
		if usable && found > 0 && found == len(ready) && p.ReadyReplicas == series.OfInt(found) {
			p.ConsumedRecords = sum
		}
	}
	slices.Sort(o.Problems)
}
