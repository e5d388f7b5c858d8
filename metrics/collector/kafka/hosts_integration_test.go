//go:build integration

package kafka

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// TestMembersOnTwoHosts has members of either protocol come from two addresses and commit as many records as they do.
func TestMembersOnTwoHosts(t *testing.T) {
	r := newRig(t, kafka.Options{Properties: map[string]string{
		"group.consumer.min.heartbeat.interval.ms": "500", "group.consumer.heartbeat.interval.ms": "500",
	}})
	hosts := []string{"127.0.0.2", "127.0.0.3"}
	for kind, options := range map[string][]kgo.Opt{
		typeClassic:  {kgo.HeartbeatInterval(500 * time.Millisecond)},
		typeConsumer: {kgo.ServerSideBalancer()},
	} {
		t.Run(kind, func(t *testing.T) {
			r := &rig{t: t, cluster: r.cluster, client: r.client, admin: r.admin, own: r.own}
			name := "hosts-" + kind
			r.create(name, 4, nil)
			for p := range int32(4) {
				r.produce(name, p, 100)
			}
			r.commit(name, name, map[int32]int64{0: 0, 1: 0, 2: 0, 3: 0})
			var members []*kgo.Client
			for _, host := range hosts {
				dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}
				members = append(members, r.join(name, name, append(options, kgo.Dialer(dialer.DialContext))...))
			}
			c := r.collector()
			c.SetTargets([]collector.Target{{Policy: "test/p", Cluster: "main", Group: name, Topics: []string{name}, ByHost: true}})
			told := func(want ...series.Value) func(collector.Result) error {
				return func(result collector.Result) error {
					for i, host := range hosts {
						n, ok := result.Hosts[netip.MustParseAddr(host)]
						if d := n.Records.Or(-1) - want[i].Or(-1); !ok || d > 1e-6 || d < -1e-6 || len(result.Hosts) != 2 {
							return fmt.Errorf("hosts %+v, want %v; %+v", result.Hosts, want, result.Group)
						}
					}
					return nil
				}
			}
			r.observe(c, "nothing done", told(series.Of(0), series.Of(0)))
			for _, m := range c.groups[name].members {
				i := slices.IndexFunc(hosts, func(host string) bool { return strings.HasSuffix(m.host, host) })
				offsets := map[int32]int64{}
				for _, p := range m.topics[name] {
					offsets[p] = int64(10 * (i + 1))
				}
				r.commitAs(members[i], name, offsets)
			}
			r.observe(c, "each its own", told(series.Of(20), series.Of(40)))
		})
	}
}
