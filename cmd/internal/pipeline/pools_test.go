package pipeline

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

func addresses(all ...string) []netip.Addr {
	var parsed []netip.Addr
	for _, a := range all {
		parsed = append(parsed, netip.MustParseAddr(a))
	}
	return parsed
}

func TestPoolsConsumeWhatTheirPodsDo(t *testing.T) {
	behind := func(records float64) collector.HostCount {
		return collector.HostCount{Records: series.Of(records), Behind: true}
	}
	gpu, cpu := [][]netip.Addr{addresses("10.0.0.1")}, [][]netip.Addr{addresses("10.0.1.1"), addresses("10.0.1.2")}
	for _, tt := range []struct {
		name     string
		gpu, cpu [][]netip.Addr
		ready    float64 // of cpu
		hosts    map[string]collector.HostCount
		want     string
		problems string
	}{
		{"each its own", gpu, cpu, 2, map[string]collector.HostCount{"10.0.0.1": behind(80), "10.0.1.1": behind(10), "10.0.1.2": behind(12)}, "80 22", ""},
		{"a member of no pool", gpu, cpu, 2, map[string]collector.HostCount{"10.0.0.1": behind(80), "10.0.1.1": behind(10), "10.0.1.2": behind(12), "10.0.9.9": behind(500)}, "80 22", ""},
		{"nothing done is zero", gpu, cpu, 2, map[string]collector.HostCount{"10.0.0.1": behind(0), "10.0.1.1": behind(10), "10.0.1.2": behind(12)}, "0 22", ""},
		{"one pod is no member", gpu, cpu, 2, map[string]collector.HostCount{"10.0.0.1": behind(80), "10.0.1.1": behind(10)}, "80 missing", ""},
		{"one pod's count is missing", gpu, cpu, 2, map[string]collector.HostCount{"10.0.0.1": behind(80), "10.0.1.1": behind(10), "10.0.1.2": {Behind: true}}, "80 missing", ""},
		{"one pod had time to spare", gpu, cpu, 2, map[string]collector.HostCount{"10.0.0.1": behind(80), "10.0.1.1": behind(10), "10.0.1.2": {Records: series.Of(12)}}, "80 missing", ""},
		{"pods have changed since they were counted", gpu, cpu, 3, map[string]collector.HostCount{"10.0.0.1": behind(80), "10.0.1.1": behind(10), "10.0.1.2": behind(12)}, "80 missing", ""},
		{"addresses are translated", gpu, cpu, 2, map[string]collector.HostCount{"192.168.0.1": behind(80), "192.168.0.2": behind(10)}, "missing missing", "pool cpu: no member|pool gpu: no member"},
		{"both pools on a node's network", gpu, [][]netip.Addr{addresses("10.0.0.1"), addresses("10.0.1.2")}, 2, map[string]collector.HostCount{"10.0.0.1": behind(80), "10.0.1.2": behind(12)}, "missing missing", ""},
		{"one pool's pods on a node's network", gpu, [][]netip.Addr{addresses("10.0.1.1"), addresses("10.0.1.1")}, 2, map[string]collector.HostCount{"10.0.0.1": behind(80), "10.0.1.1": behind(22)}, "80 22", ""},
		{"two IP families", gpu, [][]netip.Addr{addresses("10.0.1.1", "fd00::1"), addresses("10.0.1.2", "fd00::2")}, 2, map[string]collector.HostCount{"10.0.0.1": behind(80), "fd00::1": behind(10), "10.0.1.2": behind(12)}, "80 22", ""},
		{"a pool without pods", gpu, nil, 0, map[string]collector.HostCount{"10.0.0.1": behind(80)}, "80 missing", ""},
		{"no members", gpu, cpu, 2, nil, "missing missing", ""},
	} {
		o := series.Observation{Pools: []series.PoolObservation{
			{Name: "gpu", ReadyReplicas: series.Of(1)}, {Name: "cpu", ReadyReplicas: series.Of(tt.ready)},
		}}
		hosts := map[netip.Addr]collector.HostCount{}
		for host, n := range tt.hosts {
			hosts[netip.MustParseAddr(host)] = n
		}
		countPools(&o, map[string][][]netip.Addr{"gpu": tt.gpu, "cpu": tt.cpu}, hosts)
		if got := fmt.Sprint(o.Pools[0].ConsumedRecords, " ", o.Pools[1].ConsumedRecords); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
		var wanted []string
		if tt.problems != "" {
			wanted = strings.Split(tt.problems, "|")
		}
		if len(o.Problems) != len(wanted) {
			t.Errorf("%s: problems %q", tt.name, o.Problems)
			continue
		}
		for i, p := range o.Problems {
			if !strings.HasPrefix(p, wanted[i]) {
				t.Errorf("%s: problem %q, want %q", tt.name, p, wanted[i])
			}
		}
	}
}

// podsOf is a Replicas of one gpu and two cpu pods.
type podsOf struct{}

func (podsOf) Annotate(_ time.Time, o *series.Observation) {
	o.ReadyReplicas, o.StartingReplicas = series.Of(3), series.Of(0)
	o.Pools = []series.PoolObservation{
		{Name: "gpu", ReadyReplicas: series.Of(1), StartingReplicas: series.Of(0)}, {Name: "cpu", ReadyReplicas: series.Of(2), StartingReplicas: series.Of(0)},
	}
}

// TestEachPoolsCapacityIsLearned takes the line from a collector's results to decisions: pools that are behind are measured, and
// those that keep up, each with as little to do as the other, leave the speeds of the policy standing.
func TestEachPoolsCapacityIsLearned(t *testing.T) {
	for _, tt := range []struct {
		name     string
		lag      float64 // of each of four partitions, two of them the gpu's
		gpu, cpu float64 // records a tick of each pod
		want     string
	}{
		{"behind", 1e6, 1500, 150, "100 10"},
		{"keeping up", 0, 200, 200, "missing missing"},
	} {
		p := policy("ns/p")
		p.Scaler.Pools = []scaler.Pool{{Name: "gpu", MaxReplicas: 4, Price: 4, Speed: 6}, {Name: "cpu", MaxReplicas: 8, Price: 1}}
		a, err := p.newAutoscaler()
		if err != nil {
			t.Fatal(err)
		}
		c := &Config{Replicas: podsOf{}, PoolAddresses: func(string) map[string][][]netip.Addr {
			return map[string][][]netip.Addr{"gpu": {addresses("10.0.0.1")}, "cpu": {addresses("10.0.1.1"), addresses("10.0.1.2")}}
		}}
		var d scaler.Decision
		for i := range 40 {
			now := time.Unix(0, 0).Add(time.Duration(i) * p.Scaler.Interval).UTC()
			all := series.Of(tt.gpu + 2*tt.cpu)
			hosts := map[netip.Addr]collector.HostCount{}
			for host, n := range map[string]float64{"10.0.0.1": tt.gpu, "10.0.1.1": tt.cpu, "10.0.1.2": tt.cpu} {
				hosts[netip.MustParseAddr(host)] = collector.HostCount{Records: series.Of(n), Behind: tt.lag > 0}
			}
			lag := series.Of(tt.lag)
			seen := c.sighted(now, p, collector.Result{Hosts: hosts, Members: series.Of(3), Observation: series.Observation{
				Interval: p.Scaler.Interval, ArrivalRecords: all, ConsumedRecords: all, LagRecords: series.Of(4 * tt.lag), LagSeconds: series.Of(min(600, tt.lag)),
				Partitions: series.Of(4), PartitionLagRecords: []series.Value{lag, lag, lag, lag},
			}})
			if tt.lag > 0 != seen.observation.Pools[0].ConsumedRecords.Known() {
				t.Fatalf("%s: tick %d: %+v", tt.name, i, seen.observation.Pools)
			}
			d = a.Tick(now, seen.observation)
		}
		if len(d.Pools) != 2 {
			t.Fatalf("%s: pools %v", tt.name, d.Pools)
		}
		if got := fmt.Sprint(d.Pools[0].CapacityPerReplica, " ", d.Pools[1].CapacityPerReplica); got != tt.want {
			t.Errorf("%s: capacities %s, want %s", tt.name, got, tt.want)
		}
	}
}
