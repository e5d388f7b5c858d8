//go:build integration

package kafka

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// row is a case that lag collectors commonly get wrong.
type row struct {
	name string
	// prepare brings a group into the state, in a topic named like the group.
	prepare func(r *rig, name string)
	target  func(*collector.Target)
	// right is the lag in records and states counts the partitions in each state.
	right  series.Value
	states string
	kind   string
	ticks  int
}

var table = []row{
	{
		name:    "classic, 2 of 5 partitions never committed",
		prepare: func(r *rig, name string) { neverCommitted(r, name) },
		right:   series.Of(2500), states: "current:3 never-committed:2", kind: typeClassic,
	},
	{
		name:    "KIP-848, 2 of 5 partitions never committed",
		prepare: func(r *rig, name string) { neverCommitted(r, name, kgo.ServerSideBalancer()) },
		right:   series.Of(2500), states: "current:3 never-committed:2", kind: typeConsumer,
	},
	{
		name: "a member and no commits at all, reset earliest",
		prepare: func(r *rig, name string) {
			r.create(name, 2, nil)
			r.produce(name, 0, 2000)
			r.produce(name, 1, 2000)
			r.join(name, name)
		},
		right: series.Of(4000), states: "never-committed:2", kind: typeClassic,
	},
	{
		name: "a member and no commits at all, reset latest",
		prepare: func(r *rig, name string) {
			r.create(name, 2, nil)
			r.produce(name, 0, 2000)
			r.join(name, name)
		},
		target: func(t *collector.Target) { t.Reset = collector.ResetLatest },
		right:  series.Of(0), states: "never-committed:2", kind: typeClassic,
	},
	{
		name:    "share group, 500 of 3000 acknowledged",
		prepare: shareGroup,
		right:   series.Of(2500), states: "current:1", kind: typeShare,
	},
	{
		name: "retention moved past the commit",
		prepare: func(r *rig, name string) {
			r.create(name, 1, nil)
			r.produce(name, 0, 1000)
			r.commit(name, name, map[int32]int64{0: 100})
			deleteBefore(r, name, 600)
		},
		right: series.Of(400), states: "expired:1", kind: typeClassic,
	},
	{
		name: "commit past the end (truncation)",
		prepare: func(r *rig, name string) {
			r.create(name, 1, nil)
			r.produce(name, 0, 1000)
			r.commit(name, name, map[int32]int64{0: 1500})
		},
		right: series.Missing, states: "truncated:1", kind: typeClassic,
	},
	{
		name: "read committed, 50 records in an open transaction",
		prepare: func(r *rig, name string) {
			r.create(name, 1, nil)
			r.produce(name, 0, 100)
			open := transact(r, name, 50)
			r.must(open.Flush(r.context()))
			r.commit(name, name, map[int32]int64{0: 40})
		},
		target: func(t *collector.Target) { t.ReadCommitted = true },
		right:  series.Of(60), states: "current:1", kind: typeClassic,
	},
	{
		name: "read committed and idle: the transaction's marker is left",
		prepare: func(r *rig, name string) {
			r.create(name, 1, nil)
			r.must(transact(r, name, 100).EndTransaction(r.context(), kgo.TryCommit))
			r.commit(name, name, map[int32]int64{0: 100})
		},
		target: func(t *collector.Target) { t.ReadCommitted = true },
		right:  series.Of(0), states: "residue:1", kind: typeClassic, ticks: 4,
	},
	{
		name: "read committed and idle: an aborted transaction is left",
		prepare: func(r *rig, name string) {
			r.create(name, 1, nil)
			r.produce(name, 0, 100)
			r.must(transact(r, name, 20).EndTransaction(r.context(), kgo.TryAbort))
			r.commit(name, name, map[int32]int64{0: 100})
		},
		target: func(t *collector.Target) { t.ReadCommitted = true },
		right:  series.Of(0), states: "residue:1", kind: typeClassic, ticks: 4,
	},
	{
		name: "rebalance in progress, partitions without owner",
		prepare: func(r *rig, name string) {
			r.create(name, 3, nil)
			for p := range int32(3) {
				r.produce(name, p, 100)
			}
			r.commit(name, name, map[int32]int64{0: 50, 1: 50, 2: 50})
			joinAndStall(r, name)
		},
		right: series.Of(150), states: "current:3", kind: typeClassic,
	},
	{
		name:    "compacted: most offsets have no record any more",
		prepare: compacted,
		right:   series.Of(900), states: "current:1", kind: typeClassic,
	},
	{
		name: "no such group",
		prepare: func(r *rig, name string) {
			r.create(name, 1, nil)
			r.produce(name, 0, 70)
		},
		right: series.Of(70), states: "never-committed:1",
	},
}

// TestTable prints what each case gives and what is right; kadm.Lag stands beside for what an obvious implementation says.
func TestTable(t *testing.T) {
	r := newRig(t, kafka.Options{Properties: map[string]string{"log.cleaner.backoff.ms": "200"}})
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "case\tright\tgot\tstates\tkadm.Lag says")
	for i, tt := range table {
		name := fmt.Sprintf("case-%02d", i)
		passed := t.Run(tt.name, func(t *testing.T) {
			r := &rig{t: t, cluster: r.cluster, client: r.client, admin: r.admin, own: r.own}
			tt.prepare(r, name)
			target := collector.Target{Policy: "test/" + name, Cluster: "main", Group: name, Topics: []string{name}}
			if tt.target != nil {
				tt.target(&target)
			}
			c := r.collector()
			c.SetTargets([]collector.Target{target})
			result := r.observe(c, tt.name, func(result collector.Result) error {
				if tt.ticks > 0 && c.tick < tt.ticks {
					return fmt.Errorf("tick %d of %d", c.tick, tt.ticks)
				}
				if result.Err != nil {
					return result.Err
				}
				if tt.kind != "" && result.Group.Type != tt.kind {
					return fmt.Errorf("type: got %s, want %s", result.Group.Type, tt.kind)
				}
				// Leaders' high watermarks and coordinators need a moment; what stays wrong fails below.
				if got := states(c, name); got != tt.states {
					return fmt.Errorf("states: got %s, want %s; %q", got, tt.states, result.Observation.Problems)
				}
				if got := result.Observation.LagRecords; got != tt.right {
					return fmt.Errorf("lag: got %v, want %v; %q", got, tt.right, result.Observation.Problems)
				}
				return nil
			})
			o := result.Observation
			if lag, known := o.LagRecords.Get(); known {
				age, ok := o.LagSeconds.Get()
				if !ok || lag == 0 && age != 0 || lag > 0 && (age <= 0 || age > 300) {
					t.Errorf("lag seconds: got %v for a lag of %v", o.LagSeconds, lag)
				}
			}
			if flagged := strings.Contains(tt.states, "never") || strings.Contains(tt.states, "expired") ||
				strings.Contains(tt.states, "truncated"); flagged != (len(o.Problems) > 0) {
				t.Errorf("problems: got %q", o.Problems)
			}
			fmt.Fprintf(w, "%s\t%v\t%v\t%s\t%s\n", tt.name, tt.right, o.LagRecords, tt.states, kadmLag(r, name))
		})
		if !passed {
			fmt.Fprintf(w, "%s\t%v\tWRONG\t\t\n", tt.name, tt.right)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(os.Stdout, "\n%s\n", out.String())
}

func states(c *Collector, group string) string {
	counts := map[State]int{}
	for _, g := range c.Groups(time.Now()) {
		if g.Group == group {
			for _, p := range g.Partitions {
				counts[p.State]++
			}
		}
	}
	var parts []string
	for _, s := range []State{StateCurrent, StateNeverCommitted, StateExpired, StateTruncated, StateResidue, StateUnknown} {
		if counts[s] > 0 {
			parts = append(parts, fmt.Sprintf("%s:%d", s, counts[s]))
		}
	}
	return strings.Join(parts, " ")
}

// kadmLag is what a sum over kadm's lag gives.
func kadmLag(r *rig, group string) string {
	lags, err := r.admin.Lag(r.context(), group)
	if err != nil {
		return err.Error()
	}
	l, ok := lags[group]
	if !ok {
		return "absent"
	}
	if err := l.Error(); err != nil {
		return fmt.Sprintf("%d (%v)", l.Lag.Total(), err)
	}
	return fmt.Sprint(l.Lag.Total())
}

// neverCommitted makes a group that committed three of five partitions, with 500 records left there and 1,000 in each of
// the other two.
func neverCommitted(r *rig, name string, options ...kgo.Opt) {
	r.create(name, 5, nil)
	for p := range int32(5) {
		r.produce(name, p, 1000)
	}
	client := r.join(name, name, options...)
	r.commitAs(client, name, map[int32]int64{0: 800, 1: 800, 2: 900})
	client.LeaveGroup()
}

// compacted writes one key a thousand times, waits until the cleaner has taken most of it, and commits offset 100. Lag
// counts offsets: how many records are left among them only reading would tell.
func compacted(r *rig, name string) {
	r.create(name, 1, map[string]*string{
		"cleanup.policy": kadm.StringPtr("compact"), "segment.ms": kadm.StringPtr("100"),
		"min.cleanable.dirty.ratio": kadm.StringPtr("0.01"),
	})
	for range 10 {
		r.produce(name, 0, 100)
		time.Sleep(150 * time.Millisecond) // past segment.ms: the next write starts a new segment
	}
	r.eventually("the cleaner has run", func() error {
		reader := r.newClient(kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		defer reader.Close()
		records := 0
		for last := int64(0); last < 999; {
			for _, record := range reader.PollFetches(r.context()).Records() {
				records, last = records+1, record.Offset
			}
		}
		if records > 500 {
			return fmt.Errorf("%d records are left", records)
		}
		return nil
	})
	r.commit(name, name, map[int32]int64{0: 100})
}

func deleteBefore(r *rig, topic string, offset int64) {
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, offset, -1)
	deleted, err := r.admin.DeleteRecords(r.context(), offsets)
	r.must(err)
	r.must(deleted.Error())
}

// transact produces records in a transaction and leaves it open.
func transact(r *rig, topic string, records int) *kgo.Client {
	client := r.newClient(kgo.TransactionalID("tx-"+topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	r.must(client.BeginTransaction())
	for i := range records {
		client.Produce(r.context(), &kgo.Record{Topic: topic, Value: fmt.Append(nil, i)}, nil)
	}
	r.must(client.Flush(r.context()))
	return client
}

// shareGroup has a share group acknowledge 500 of 3,000 records.
func shareGroup(r *rig, name string) {
	r.create(name, 1, nil)
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, name
	setting := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	setting.Name, setting.Value = "share.auto.offset.reset", kmsg.StringPtr("earliest")
	resource.Configs = append(resource.Configs, setting)
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(r.context(), r.client)
	r.must(err)
	for _, answer := range response.Resources {
		r.must(kerr.ErrorForCode(answer.ErrorCode))
	}
	r.produce(name, 0, 3000)
	client := r.newClient(kgo.ShareGroup(name), kgo.ConsumeTopics(name), kgo.ShareMaxRecords(500), kgo.ShareMaxRecordsStrict())
	ctx := r.context()
	for done := 0; done < 500; {
		fetches := client.PollRecords(ctx, 500-done)
		r.must(ctx.Err())
		records := fetches.Records()
		for _, record := range records {
			record.Ack(kgo.AckAccept)
		}
		done += len(records)
		err := client.FlushAcks(ctx)
		r.must(err)
	}
	client.Close()
}

// joinAndStall joins a classic group and never syncs, so that it stays in rebalance.
func joinAndStall(r *rig, group string) {
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType = group, "consumer"
	join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 45_000, 45_000
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Topics = []string{group}
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name, protocol.Metadata = "range", meta.AppendTo(nil)
	join.Protocols = append(join.Protocols, protocol)
	response, err := join.RequestWith(r.context(), r.client)
	r.must(err)
	if response.ErrorCode == kerr.MemberIDRequired.Code {
		join.MemberID = response.MemberID
		response, err = join.RequestWith(r.context(), r.client)
		r.must(err)
	}
	r.must(kerr.ErrorForCode(response.ErrorCode))
}
