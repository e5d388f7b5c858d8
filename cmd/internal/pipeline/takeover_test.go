package pipeline

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/metrics/series"
)

// comings is a log in memory of which shard 1 is this process's at certain times only.
type comings struct {
	*eventlog.Memory
	// spans are when, from and to a time after the start.
	spans [][2]time.Duration
}

func (c comings) Run(ctx context.Context, serve eventlog.ShardFunc) error {
	start := time.Now()
	return c.Memory.Run(ctx, func(ctx context.Context, s *eventlog.Shard) error {
		if s.Number == 0 {
			return serve(ctx, s)
		}
		for _, span := range c.spans {
			time.Sleep(time.Until(start.Add(span[0])))
			owned, end := context.WithDeadline(ctx, start.Add(span[1]))
			err := serve(owned, s)
			end()
			if err != nil {
				return err
			}
		}
		<-ctx.Done()
		return nil
	})
}

// TestAShardThatComesIsDecidedWhenItIsDue gives a process a shard in the middle of an interval: whose tick is overdue is decided at
// once, whose is not at the next multiple, and no tick is decided twice.
func TestAShardThatComesIsDecidedWhenItIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var mu sync.Mutex
		ticks := map[string][]time.Duration{}
		lc := eventlog.DefaultConfig()
		lc.Instance, lc.Shards = "test", 2
		memory, err := eventlog.NewMemory(lc, func(d eventlog.Decision) {
			mu.Lock()
			defer mu.Unlock()
			ticks[d.Policy] = append(ticks[d.Policy], d.At.Sub(start))
		})
		if err != nil {
			t.Fatal(err)
		}
		here, comes := policyIn(t, 0, 2), policyIn(t, 1, 2)
		second := time.Second
		p, err := New(Config{
			Policies: []Policy{here, comes}, CollectorFor: func(string, time.Duration) (Collector, error) { return &wave{}, nil },
			Store: readmodel.NewStore(time.Now), Logger: slog.New(slog.DiscardHandler), Shards: lc.Shards,
			Log: comings{memory, [][2]time.Duration{
				{20 * second, 32 * second}, // new: at once, and at 30
				{34 * second, 47 * second}, // decided at 30: not before 45
				{65 * second, 70 * second}, // not decided at 60: at once
				{89 * second, 92 * second}, // not at 75, but 90 is near
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*second)
		defer cancel()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{20*second + settle, 30 * second, 45 * second, 65*second + settle, 90 * second}
		if got := ticks[comes.Name()]; !slices.Equal(got, want) {
			t.Errorf("the shard that comes and goes was decided at %v, want %v", got, want)
		}
		all := ticks[here.Name()]
		for _, at := range []time.Duration{15, 30, 45, 60, 75, 90} {
			if !slices.Contains(all, at*second) {
				t.Errorf("the other shard was decided at %v, not at %v", all, at*second)
			}
		}
		for i := range all {
			if i > 0 && all[i] <= all[i-1] {
				t.Errorf("the other shard was decided at %v: time does not rise", all)
			}
		}
	})
}

// policyIn returns a policy of the shard.
func policyIn(t *testing.T, shard int32, shards int) Policy {
	t.Helper()
	for name := "ai/a"; len(name) < 100; name += "a" {
		if eventlog.ShardOf(name, shards) == shard {
			return policy(name)
		}
	}
	t.Fatalf("no policy in shard %d", shard)
	return Policy{}
}

// owners runs owners of one shard on a fake broker, one after another.
type owners struct {
	t    *testing.T
	opts []kgo.Opt
	lc   eventlog.Config
	now  time.Time
	// ends are how many records have come to the topics of each policy.
	ends map[string]int64
}

func newOwners(t *testing.T) *owners {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	o := &owners{t: t, opts: []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...)}, lc: eventlog.DefaultConfig(), ends: map[string]int64{}}
	o.lc.Instance, o.lc.Shards, o.lc.Replication = "test", 1, 1
	o.now = time.Date(2026, 1, 2, 3, 4, 15, 0, time.UTC)
	return o
}

// next runs f in an owner that has recovered the policies.
func (o *owners) next(policies []Policy, f func(s *shards, log *eventlog.Shard, d *deciders)) {
	o.t.Helper()
	owner, err := eventlog.NewOwner(o.lc, o.opts, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(o.t.Context(), time.Minute)
	defer cancel()
	if err := owner.Run(ctx, func(ctx context.Context, log *eventlog.Shard) error {
		defer cancel()
		s := newShards(Config{Policies: policies, Shards: 1, Clock: wallClock{}, Logger: slog.New(slog.DiscardHandler)})
		d, err := newDeciders(policies)
		if err != nil {
			return err
		}
		if err := log.Recover(ctx, d); err != nil {
			return err
		}
		f(s, log, d)
		return nil
	}); err != nil {
		o.t.Fatal(err)
	}
}

// ticks has all policies of d decided n times.
func (o *owners) ticks(s *shards, log *eventlog.Shard, d *deciders, n int) {
	o.t.Helper()
	for range n {
		o.now = o.now.Add(15 * time.Second)
		seen := sightings{now: o.now}
		for name, one := range d.all {
			results, err := (&wave{[]collector.Target{one.policy.Target}}).Collect(o.t.Context(), o.now)
			if err != nil {
				o.t.Fatal(err)
			}
			observation := &results[0].Observation
			arrived, _ := observation.ArrivalRecords.Get()
			o.ends[name] += int64(arrived)
			observation.Counted = series.Counted{At: o.now, Topics: 7, EndRecords: o.ends[name]}
			seen.policies = append(seen.policies, s.cfg.sighted(o.now, one.policy, results[0]))
		}
		if err := s.tick(o.t.Context(), log, d, seen); err != nil {
			o.t.Fatal(err)
		}
	}
}

func (o *owners) client() *kgo.Client {
	o.t.Helper()
	client, err := kgo.NewClient(o.opts...)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(client.Close)
	return client
}

// TestChangesOfConfigurationAreDerivedFromTheLogAlone changes policies in a shard that goes on being owned, and lets others take it
// over. A checker that is told no configuration must derive every decision, and one whose policy did not change must not notice.
func TestChangesOfConfigurationAreDerivedFromTheLogAlone(t *testing.T) {
	o := newOwners(t)
	stays, tuned, slower := policy("ai/stays"), policy("ai/tuned"), policy("ai/slower")
	changed := tuned
	changed.Scaler.MaxReplicas, changed.Scaler.ObjectiveLag = 3, time.Minute
	// Its state means nothing to the changed forecaster.
	other := slower
	other.Scaler.Interval, other.Model.Step = 30*time.Second, 30*time.Second
	var states map[string][]byte
	keep := func(d *deciders) {
		states = map[string][]byte{}
		for name, one := range d.all {
			states[name] = one.autoscaler.AppendCheckpoint(nil)
		}
	}
	o.next([]Policy{stays, tuned, slower}, func(s *shards, log *eventlog.Shard, d *deciders) {
		o.ticks(s, log, d, 50)
		before, term := d.all[stays.Name()], log.Term
		d, err := d.with([]Policy{stays, changed, other})
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Recover(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if d.all[stays.Name()] != before || log.Term != term {
			t.Errorf("what stays was made anew, or term %d became %d", term, log.Term)
		}
		if d.all[changed.Name()].fresh {
			t.Error("what was changed begins without what it had learned")
		}
		o.ticks(s, log, d, 10)
		keep(d)
	})
	for _, policies := range [][]Policy{{stays, changed, other}, {stays, tuned, other}, {stays, tuned, other}} {
		o.next(policies, func(s *shards, log *eventlog.Shard, d *deciders) {
			for name, one := range d.all {
				if policies[1].Scaler.MaxReplicas != changed.Scaler.MaxReplicas && name == tuned.Name() {
					continue // Changed back while nobody owned the shard.
				}
				if !bytes.Equal(one.autoscaler.AppendCheckpoint(nil), states[name]) {
					t.Errorf("%s has another state than with its owner before", name)
				}
			}
			o.ticks(s, log, d, 7)
			keep(d)
		})
		changed = policies[1]
	}
	report, err := eventlog.Check(t.Context(), o.client(), o.lc, NewReplayer(nil))
	if err != nil {
		t.Fatal(err)
	}
	if report.Ticks != 3*81 || report.Derived != report.Ticks || report.ViolationCount > 0 {
		t.Errorf("the checker: %d ticks, %d derived, %d violations:\n%s", report.Ticks, report.Derived, report.ViolationCount, strings.Join(report.Violations, "\n"))
	}
}

// TestANewOwnerKnowsUpToWhereArrivalsWereCounted takes a shard over between two checkpoints and right after one. What it replays is since
// the last one of each policy.
func TestANewOwnerKnowsUpToWhereArrivalsWereCounted(t *testing.T) {
	o := newOwners(t)
	o.lc.CheckpointTicks = 10
	mostReplayed := 0
	policies := []Policy{policy("ai/a"), policy("ai/b")}
	for i := range 50 {
		o.next(policies, func(s *shards, log *eventlog.Shard, d *deciders) {
			mostReplayed = max(mostReplayed, d.replayed)
			if i > 0 {
				owned := s.open(log, 1, d)
				if owned == nil {
					t.Fatal("the shard cannot be opened")
				}
				for _, p := range owned.policies {
					if want := (series.Counted{At: o.now, Topics: 7, EndRecords: o.ends[p.Name()]}); !p.Target.Counted.Equal(want) {
						t.Fatalf("take-over %d: %s was counted up to %+v, want %+v", i, p.Name(), p.Target.Counted, want)
					}
				}
				// Once the collector has been told, it knows better itself.
				if first, _ := s.policiesOf(groupOf(policies[0]), 0); !first[0].Target.Counted.Known() {
					t.Error("the collector is not told")
				}
				if again, _ := s.policiesOf(groupOf(policies[0]), owned.opened); again[0].Target.Counted.Known() {
					t.Error("the collector is told twice")
				}
			}
			o.ticks(s, log, d, 1)
		})
	}
	if most := len(policies) * o.lc.CheckpointTicks; mostReplayed < most/2 || mostReplayed > most {
		t.Errorf("a take-over replays up to %d ticks of %d policies, want up to %d and not far below", mostReplayed, len(policies), most)
	}
	// In the log it stands where it does not follow from the tick before: in the first.
	explicit := 0
	for e, err := range eventlog.History(t.Context(), o.client(), o.lc, 0, policies[0].Name()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Tick.Observation.Counted.Known() {
			explicit++
		}
	}
	if explicit != 1 {
		t.Errorf("%d ticks of 50 say up to where they count, want the first alone", explicit)
	}
}
