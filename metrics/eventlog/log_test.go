package eventlog

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"go.uber.org/goleak"

	"github.com/prescale/prescale/metrics/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine is the simplest decider whose every decision depends on every observation before: a running hash.
type machine struct{ sum uint64 }

func (m *machine) observe(o series.Observation) {
	h := fnv.New64a()
	fmt.Fprint(h, m.sum, o.At.UnixNano(), o.LagRecords)
	m.sum = h.Sum64()
}

func (m *machine) state() []byte { return binary.BigEndian.AppendUint64(nil, m.sum) }

// machines is a shard's set of them; it is the Recovery of the tests.
type machines map[string]*machine

func (ms machines) Restore(c Checkpoint) error {
	if len(c.State) != 8 {
		return fmt.Errorf("state of %d bytes", len(c.State))
	}
	ms[c.Policy] = &machine{binary.BigEndian.Uint64(c.State)}
	return nil
}

func (ms machines) Observe(t Tick, restart bool) {
	if restart || ms[t.Policy] == nil {
		ms[t.Policy] = &machine{}
	}
	if t.Seed != nil {
		ms[t.Policy].sum = binary.BigEndian.Uint64(t.Seed)
	}
	ms[t.Policy].observe(t.Observation)
}

// recovered is a ShardFunc that restores the shard's machines before it goes on with do.
func recovered(do func(ctx context.Context, s *Shard, ms machines) error) ShardFunc {
	return func(ctx context.Context, s *Shard) error {
		ms := machines{}
		if err := s.Recover(ctx, ms); err != nil {
			return err
		}
		return do(ctx, s, ms)
	}
}

// tick returns the entries of one tick at `at` of the policies.
func (ms machines) tick(s *Shard, at time.Time, policies ...string) []Entry {
	var entries []Entry
	for _, p := range policies {
		fresh := ms[p] == nil
		if fresh {
			ms[p] = &machine{}
		}
		o := series.Observation{Policy: p, At: at, LagRecords: series.OfInt(at.Unix() % 1000)}
		e := Entry{Policy: p, At: at, Observation: o, Spec: 1, Fresh: fresh, Reason: "Test"}
		if !fresh && s.SeedDue(p, e.Spec) {
			e.Fresh, e.Seed = true, ms[p].state()
		}
		ms[p].observe(o)
		e.Payload = ms[p].state()
		if s.CheckpointDue(p) {
			e.State = ms[p].state()
		}
		entries = append(entries, e)
	}
	return entries
}

// policies returns n policies of the shard.
func policies(shard int32, shards, n int) []string {
	var names []string
	for i := 0; len(names) < n; i++ {
		if p := fmt.Sprintf("test/policy-%d", i); ShardOf(p, shards) == shard {
			names = append(names, p)
		}
	}
	return names
}

func testConfig(instance string) Config {
	cfg := DefaultConfig()
	cfg.Shards = 3
	cfg.Instance = instance
	cfg.CheckpointTicks = 5
	cfg.AnchorTicks = 20
	return cfg
}

// fakeKafka returns three brokers in memory, and the options that reach them.
func fakeKafka(t *testing.T, opts ...kfake.Opt) (*kfake.Cluster, []kgo.Opt) {
	t.Helper()
	var network kfake.VirtualNetwork
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(3), kfake.GroupMinSessionTimeout(time.Second),
		kfake.Ports(9092, 9093, 9094), kfake.ListenFn(network.Listen))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.Dialer(network.DialContext)}
}

// fakeLog is fakeKafka with the topics of a log.
func fakeLog(t *testing.T) (*kfake.Cluster, []kgo.Opt, Config) {
	t.Helper()
	fake, opts := fakeKafka(t)
	cfg := testConfig("a")
	ensure(t, cfg, opts)
	return fake, opts, cfg
}

func newClient(t *testing.T, opts []kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts[:len(opts):len(opts)], kgo.MetadataMinAge(50*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// openShard takes a shard over without a group.
func openShard(t *testing.T, cfg Config, opts []kgo.Opt, n int32) (*Shard, machines) {
	t.Helper()
	o, err := NewOwner(cfg, opts, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	backend, err := o.takeOver(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(backend.close)
	s := &Shard{Number: n, cfg: cfg, backend: backend, last: map[string]position{}}
	ms := machines{}
	if err := s.Recover(t.Context(), ms); err != nil {
		t.Fatal(err)
	}
	return s, ms
}

func ensure(t *testing.T, cfg Config, opts []kgo.Opt) {
	t.Helper()
	if err := EnsureTopics(t.Context(), newClient(t, opts), cfg); err != nil {
		t.Fatal(err)
	}
}

func TestTakeOverContinuesAsIfNothingHadHappened(t *testing.T) {
	_, opts, cfg := fakeLog(t)
	names := policies(1, cfg.Shards, 4)
	first, ms := openShard(t, cfg, opts, 1)
	var at time.Time
	uninterrupted := machines{}
	for i := range 13 {
		at = t0.Add(time.Duration(i) * 15 * time.Second)
		uninterrupted.tick(&Shard{backend: &Memory{}, cfg: cfg}, at, names...)
		if err := first.Append(t.Context(), ms.tick(first, at, names...)); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Instance = "b"
	second, recovered := openShard(t, cfg, opts, 1)
	if first.Term != 1 || second.Term != 2 {
		t.Errorf("terms: got %d and %d, want 1 and 2", first.Term, second.Term)
	}
	for _, p := range names {
		if recovered[p] == nil || recovered[p].sum != uninterrupted[p].sum {
			t.Errorf("policy %s: got state %v, want %v", p, recovered[p], uninterrupted[p])
		}
		if got := second.Next(p); got != 14 {
			t.Errorf("policy %s: next tick is %d, want 14", p, got)
		}
	}
	at = at.Add(15 * time.Second)
	err := first.Append(t.Context(), ms.tick(first, at, names...))
	var fencedErr *FencedError
	if !errors.As(err, &fencedErr) {
		t.Errorf("append of the owner before: got %v, want a FencedError", err)
	}
	if err := second.Append(t.Context(), recovered.tick(second, at, names...)); err != nil {
		t.Fatal(err)
	}
	if err := first.Append(t.Context(), ms.tick(first, at, names...)); err == nil {
		t.Error("a failed shard takes another append")
	}
	third, again := openShard(t, cfg, opts, 1)
	if !maps.EqualFunc(recovered, again, func(a, b *machine) bool { return a.sum == b.sum }) {
		t.Error("the state after the second take-over differs")
	}
	if third.Term != 3 {
		t.Errorf("third term: got %d", third.Term)
	}
}

func TestAnOpenTransactionOfADeadOwnerIsNotPartOfTheLog(t *testing.T) {
	_, opts, cfg := fakeLog(t)
	names := policies(0, cfg.Shards, 2)
	first, ms := openShard(t, cfg, opts, 0)
	if err := first.Append(t.Context(), ms.tick(first, t0, names...)); err != nil {
		t.Fatal(err)
	}
	want := ms[names[0]].sum
	// Die between the last produce and the commit.
	k := first.backend.(*kafkaBackend)
	if err := k.producer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	b := ms.tick(first, t0.Add(time.Second), names...)
	stamp, err := first.stamp(&b[0])
	if err != nil {
		t.Fatal(err)
	}
	tick := Tick{Stamp: stamp, Observation: b[0].Observation}
	k.producer.Produce(t.Context(), &kgo.Record{Topic: cfg.observations(), Key: []byte(names[0]), Value: tick.AppendTo(nil)}, nil)
	if err := k.producer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	second, recovered := openShard(t, cfg, opts, 0)
	if got := recovered[names[0]].sum; got != want {
		t.Errorf("state: got %x, want %x", got, want)
	}
	if got := second.Next(names[0]); got != 2 {
		t.Errorf("next tick: got %d, want 2", got)
	}
}

// appendUnreadable appends seven ticks of the policy whose states cannot be read.
func appendUnreadable(t *testing.T, shard *Shard, ms machines, name string) {
	t.Helper()
	for i := range 7 {
		entries := ms.tick(shard, t0.Add(time.Duration(i)*time.Second), name)
		if entries[0].State != nil {
			entries[0].State = []byte("garbage")
		}
		if err := shard.Append(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAStateThatCannotBeReadIsRebuilt(t *testing.T) {
	_, opts, cfg := fakeLog(t)
	name := policies(2, cfg.Shards, 1)[0]
	first, ms := openShard(t, cfg, opts, 2)
	appendUnreadable(t, first, ms, name)
	second, recovered := openShard(t, cfg, opts, 2)
	if recovered[name].sum != ms[name].sum {
		t.Errorf("state: got %x, want %x", recovered[name].sum, ms[name].sum)
	}
	if got := second.Next(name); got != 8 {
		t.Errorf("next tick: got %d, want 8", got)
	}
}

// slow is a Recovery that replays a tick in almost as long as a silent broker is given. It sleeps within a bubble.
type slow struct{ machines }

func (s slow) Observe(t Tick, restart bool) {
	time.Sleep(90 * time.Second)
	s.machines.Observe(t, restart)
}

// TestARebuildingTakesAsLongAsItTakes: what is given up is begun anew, and would never end. A broker that is silent is given up.
func TestARebuildingTakesAsLongAsItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, opts, cfg := fakeLog(t)
		name := policies(2, cfg.Shards, 1)[0]
		first, ms := openShard(t, cfg, opts, 2)
		appendUnreadable(t, first, ms, name)
		second, _ := openShard(t, cfg, opts, 2)
		var cutOff atomic.Bool
		fake.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			fake.KeepControl()
			req.(*kmsg.FetchRequest).MaxBytes = 1 // a batch an answer
			return nil, errors.New("cut off"), cutOff.Load()
		})
		rebuilt := slow{machines{}}
		if err := second.Recover(t.Context(), rebuilt); err != nil || rebuilt.machines[name].sum != ms[name].sum {
			t.Errorf("replaying for 7 times 90s: got state %v, want %v; %v", rebuilt.machines[name], ms[name], err)
		}
		cutOff.Store(true)
		if err := second.Recover(t.Context(), machines{}); err == nil || !strings.Contains(err.Error(), "nothing more came for 2m0s") {
			t.Errorf("without a broker: %v", err)
		}
	})
}

func TestTheNumbersGoOnWhenNothingElseIsLeft(t *testing.T) {
	_, opts, cfg := fakeLog(t)
	name := policies(2, cfg.Shards, 1)[0]
	first, ms := openShard(t, cfg, opts, 2)
	appendUnreadable(t, first, ms, name)
	checkpoint := uint64(0) // that of the last one
	for seq := uint64(1); seq <= 7; seq++ {
		if due(name, seq, cfg.CheckpointTicks) || due(name, seq, cfg.AnchorTicks) {
			checkpoint = seq
		}
	}
	gone := kadm.Offsets{}
	gone.AddOffset(cfg.observations(), 2, -1, -1)
	if deleted, err := kadm.NewClient(newClient(t, opts)).DeleteRecords(t.Context(), gone); err != nil || deleted.Error() != nil {
		t.Fatal(err, deleted.Error())
	}
	second, recovered := openShard(t, cfg, opts, 2)
	if got := second.Next(name); got != checkpoint+1 || checkpoint == 0 {
		t.Errorf("next tick: got %d, want %d, the one after the checkpoint's", got, checkpoint+1)
	}
	if recovered[name] != nil {
		t.Errorf("a state was made of nothing: %v", recovered[name])
	}
}

// TestWhatIsLeftOfADeletedTopicIsUsed: checkpoints and observations each tell the state without the others, to the next owner
// and also to the one after it, which comes before there is another regular checkpoint.
func TestWhatIsLeftOfADeletedTopicIsUsed(t *testing.T) {
	// Four ticks bring the offsets of observations that begin anew beyond those of a checkpoint that was made with the fourth, and
	// are too few for its policy's next one.
	const ticks, after = 8, 4
	for _, tt := range []struct {
		name  string
		topic string
		from  uint64 // the first tick that is left
		end   int64  // where the first owner takes the observations to end
		whole bool   // no tick is lost
	}{
		{"checkpoints", testConfig("a").checkpoints(), 1, 0, true},
		{"checkpoints, and retention took the first ticks", testConfig("a").checkpoints(), 3, 0, true},
		{"observations", testConfig("a").observations(), 1, 0, false},
		// Before Kafka 4.0 producers know topics by name alone.
		{"observations, which the owner has not noticed", "", 1, 1000, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, opts, cfg := fakeLog(t)
			admin := kadm.NewClient(newClient(t, opts))
			names := policies(2, cfg.Shards, 12)
			first, ms := openShard(t, cfg, opts, 2)
			first.end = tt.end
			want := map[string]map[uint64]uint64{} // the states by policy and tick, of those that know what is left
			for i := range uint64(ticks) {
				if i+1 == tt.from {
					clear(ms)
				}
				if err := first.Append(t.Context(), ms.tick(first, t0.Add(time.Duration(i)*time.Second), names...)); err != nil {
					t.Fatal(err)
				}
				for _, p := range names {
					if want[p] == nil {
						want[p] = map[uint64]uint64{}
					}
					want[p][i+1] = ms[p].sum
				}
			}
			gone := kadm.Offsets{}
			gone.AddOffset(cfg.observations(), 2, int64(tt.from-1)*int64(len(names)+1), -1) // each tick ends with a marker
			if deleted, err := admin.DeleteRecords(t.Context(), gone); err != nil || deleted.Error() != nil {
				t.Fatal(err, deleted.Error())
			}
			if tt.topic != "" {
				if _, err := admin.DeleteTopics(t.Context(), tt.topic); err != nil {
					t.Fatal(err)
				}
				ensure(t, cfg, opts)
			}
			second, recovered := openShard(t, cfg, opts, 2)
			for _, p := range names {
				if last := second.Next(p) - 1; recovered[p] == nil || recovered[p].sum != want[p][last] || last <= ticks-uint64(cfg.CheckpointTicks) || tt.whole && last != ticks {
					t.Fatalf("policy %s: goes on after tick %d with the state %v, want that of the tick: %v", p, last, recovered[p], want[p])
				}
			}
			// The first tick that is read is one whose number an older decision has too.
			slices.SortFunc(names, func(a, b string) int { return cmp.Compare(second.Next(a), second.Next(b)) })
			for i := range after {
				if err := second.Append(t.Context(), recovered.tick(second, t0.Add(time.Minute+time.Duration(i)*time.Second), names...)); err != nil {
					t.Fatal(err)
				}
			}
			third, again := openShard(t, cfg, opts, 2)
			for _, p := range names {
				if third.Next(p) != second.Next(p) || again[p] == nil || again[p].sum != recovered[p].sum {
					t.Errorf("policy %s: the next owner goes on at tick %d with %v, want tick %d and %v", p, third.Next(p), again[p], second.Next(p), recovered[p])
				}
			}
			if third.Term != 3 {
				t.Errorf("term: got %d, want 3", third.Term)
			}
			if r, err := Check(t.Context(), newClient(t, opts), cfg, nil); err != nil || r.ViolationCount > 0 {
				t.Errorf("the log is no longer one line: %v, %v", err, r.Violations)
			}
		})
	}
}

// TestAHandoverLetsTheAppendEnd: what is begun is in the log before the next owner reads it; of a shard that is lost nothing is awaited.
func TestAHandoverLetsTheAppendEnd(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cause error
		next  uint64
	}{{"handover", ErrHandover, 3}, {"lost", ErrLost, 2}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, opts, cfg := fakeLog(t)
				name := policies(0, cfg.Shards, 1)[0]
				first, ms := openShard(t, cfg, opts, 0)
				if err := first.Append(t.Context(), ms.tick(first, t0, name)); err != nil {
					t.Fatal(err)
				}
				ctx, end := context.WithCancelCause(t.Context())
				fake.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
					end(tt.cause)
					synctest.Wait() // until the writer has heard of it
					return nil, nil, false
				})
				err := first.Append(ctx, ms.tick(first, t0.Add(time.Second), name))
				if (err == nil) != errors.Is(tt.cause, ErrHandover) || err != nil && !errors.Is(err, tt.cause) {
					t.Errorf("append: %v", err)
				}
				if second, _ := openShard(t, cfg, opts, 0); second.Next(name) != tt.next {
					t.Errorf("the next owner goes on at tick %d, want %d", second.Next(name), tt.next)
				}
			})
		})
	}
}

func TestARemovedPolicyIsForgottenOnceItsObservationsAreGone(t *testing.T) {
	_, opts, cfg := fakeLog(t)
	names := policies(0, cfg.Shards, 2)
	removed, kept := names[0], names[1]
	first, ms := openShard(t, cfg, opts, 0)
	at := t0
	tick := func(s *Shard, names ...string) {
		t.Helper()
		at = at.Add(time.Second)
		if err := s.Append(t.Context(), ms.tick(s, at, names...)); err != nil {
			t.Fatal(err)
		}
	}
	for range 7 {
		tick(first, removed, kept)
	}
	// A replica that does not know the policy must leave it alone: another one may.
	if got := first.Forgettable(at.Add(cfg.Retention)); len(got) > 0 {
		t.Errorf("within the retention: got %v", got)
	}
	at = at.Add(cfg.Retention + 2*forgetMargin)
	tick(first, kept)
	if got := first.Forgettable(at); !slices.Equal(got, []string{removed}) {
		t.Fatalf("got %v, want %s alone", got, removed)
	}
	if err := first.Forget(t.Context(), first.Forgettable(at)); err != nil {
		t.Fatal(err)
	}
	second, recovered := openShard(t, cfg, opts, 0)
	if _, known := second.Known(removed); known || recovered[removed] != nil {
		t.Errorf("the removed policy is known after the take-over")
	}
	if got := second.Next(kept); got != 9 {
		t.Errorf("the other's next tick: got %d, want 9", got)
	}
	// One of the same name begins anew.
	delete(ms, removed)
	tick(second, removed)
	if got := second.Next(removed); got != 2 {
		t.Errorf("the next tick of a policy that came back: got %d, want 2", got)
	}
	third, again := openShard(t, cfg, opts, 0)
	if got := third.Next(removed); got != 2 || again[removed].sum != ms[removed].sum {
		t.Errorf("after another take-over: next tick %d, state %v, want 2 and %v", got, again[removed], ms[removed])
	}
}

func TestAppendRefusesWhatWouldBreakTheLine(t *testing.T) {
	_, opts, cfg := fakeLog(t)
	mine, other := policies(0, cfg.Shards, 1)[0], policies(1, cfg.Shards, 1)[0]
	for _, tt := range []struct {
		name   string
		policy string
		at     time.Time
	}{
		{"another shard's policy", other, t0.Add(time.Hour)},
		{"the same time again", mine, t0},
		{"an earlier time", mine, t0.Add(-time.Second)},
	} {
		s, ms := openShard(t, cfg, opts, 0)
		if last, known := s.Known(mine); !known {
			if err := s.Append(t.Context(), ms.tick(s, t0, mine)); err != nil {
				t.Fatal(err)
			}
		} else if !last.Equal(t0) {
			t.Fatalf("last tick at %s", last)
		}
		if err := s.Append(t.Context(), []Entry{{Policy: tt.policy, At: tt.at}}); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
}

// TestOwnersShareTheShards runs two owners in one group on the fake broker, with a follower beside them.
func TestOwnersShareTheShards(t *testing.T) {
	_, opts := fakeKafka(t)
	var mu sync.Mutex
	served := map[string][]int32{}
	decided := make(chan Decision, 1000)
	run := func(name string) (stop func()) {
		cfg := testConfig(name)
		cfg.SessionTimeout, cfg.Heartbeat = 3*time.Second, 200*time.Millisecond
		cfg.Protocol = ProtocolClassic
		o, err := NewOwner(cfg, opts, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- o.Run(ctx, recovered(func(ctx context.Context, s *Shard, ms machines) error {
				mu.Lock()
				served[name] = append(served[name], s.Number)
				mu.Unlock()
				p := policies(s.Number, cfg.Shards, 1)[0]
				if err := s.Append(ctx, ms.tick(s, t0.Add(time.Duration(s.Next(p))*time.Second), p)); err != nil {
					return err
				}
				<-ctx.Done()
				if cause := context.Cause(ctx); !errors.Is(cause, ErrHandover) {
					t.Errorf("cause: got %v, want a hand-over", cause)
				}
				return nil
			}))
		}()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("owner %s: %v", name, err)
			}
		}
	}
	wait := func(what string, cond func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				mu.Lock()
				defer mu.Unlock()
				t.Fatalf("%s: not within 30s; served: %v", what, served)
			}
		}
	}
	count := func(name string) int {
		mu.Lock()
		defer mu.Unlock()
		return len(served[name])
	}
	next := func() Decision {
		t.Helper()
		select {
		case d := <-decided:
			return d
		case <-time.After(30 * time.Second):
			t.Fatal("no decision within 30s")
			return Decision{}
		}
	}
	stopA := run("a")
	wait("a owns all", func() bool { return count("a") == 3 })

	f, err := NewFollower(testConfig("f"), opts, func(d Decision) { decided <- d }, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	f.cfg.FollowerLookback = 10 * 365 * 24 * time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	followed := make(chan error, 1)
	go func() { followed <- f.Run(ctx) }()
	for range 3 {
		if d := next(); d.Seq != 1 || d.Writer != "a" {
			t.Errorf("first decision: got %+v", d.Stamp)
		}
	}
	wait("the follower is ready", func() bool { return f.Ready() == nil })
	stopB := run("b")
	wait("b owns one", func() bool { return count("b") == 1 })
	stopA()
	wait("b owns all", func() bool { return count("b") == 3 })
	stopB()
	for range 3 {
		if d := next(); d.Seq != 2 || d.Writer != "b" || d.Term != 2 {
			t.Errorf("second decision: got %+v", d.Stamp)
		}
	}
	now := time.Now()
	if err := f.Current("test/policy-0", now, time.Minute); err != nil {
		t.Errorf("current: %v", err)
	}
	var behind *BehindError
	if err := f.Current("test/policy-0", now.Add(time.Hour), time.Minute); !errors.As(err, &behind) {
		t.Errorf("an hour later: got %v, want a BehindError", err)
	}
	cancel()
	if err := <-followed; err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(served["b"])
	if !slices.Equal(served["b"], []int32{0, 1, 2}) {
		t.Errorf("b served %v", served["b"])
	}
}

// TestTopicsThatAreDeletedAreMadeAgain: owner and follower go on by themselves, also where the numbers begin again.
func TestTopicsThatAreDeletedAreMadeAgain(t *testing.T) {
	for _, deleted := range [][]string{{"decisions"}, {"observations"}, {"checkpoints"}, {"observations", "checkpoints", "decisions"}} {
		t.Run(strings.Join(deleted, ","), func(t *testing.T) {
			t.Parallel()
			_, opts, cfg := fakeLog(t)
			opts = append(opts, kgo.MaxVersions(kversion.V3_8_0())) // kfake takes topics whose ids it does not know for one
			cfg.Protocol, cfg.AppendTimeout = ProtocolClassic, 3*time.Second
			o, err := NewOwner(cfg, opts, slog.New(slog.DiscardHandler), nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			defer running.Wait()
			defer cancel()
			decided := make(chan Decision, 1000)
			running.Go(func() {
				err := o.Run(ctx, recovered(func(ctx context.Context, s *Shard, ms machines) error {
					p := policies(s.Number, cfg.Shards, 1)[0]
					for sleep(ctx, 50*time.Millisecond) == nil {
						if err := s.Append(ctx, ms.tick(s, time.Now(), p)); err != nil {
							return err
						}
					}
					return nil
				}))
				if err != nil {
					t.Error(err)
				}
			})
			f, err := NewFollower(cfg, opts, func(d Decision) { decided <- d }, slog.New(slog.DiscardHandler), nil)
			if err != nil {
				t.Fatal(err)
			}
			running.Go(func() {
				if err := f.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			wait := func(what string, is func(Decision) bool) {
				t.Helper()
				for late := time.After(30 * time.Second); ; {
					select {
					case d := <-decided:
						if is(d) {
							return
						}
					case <-late:
						t.Fatalf("no decision %s within 30s", what)
					}
				}
			}
			wait("before", func(d Decision) bool { return d.Seq == 10 })
			for i := range deleted {
				deleted[i] = cfg.Prefix + "." + deleted[i]
			}
			if _, err := kadm.NewClient(newClient(t, opts)).DeleteTopics(t.Context(), deleted...); err != nil {
				t.Fatal(err)
			}
			after := time.Now()
			if wait("after", func(d Decision) bool { return d.At.After(after.Add(200 * time.Millisecond)) }); len(deleted) == 3 {
				wait("with a number that was there before", func(d Decision) bool { return d.At.After(after) && d.Seq < 10 })
			}
		})
	}
}

// TestAnOwnerThatCannotWriteSaysWhy, as where its right to the transactional id is withdrawn, until it can again.
func TestAnOwnerThatCannotWriteSaysWhy(t *testing.T) {
	fake, opts, cfg := fakeLog(t)
	cfg.Protocol = ProtocolClassic
	var denied atomic.Bool
	denied.Store(true)
	fake.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode = kerr.TransactionalIDAuthorizationFailed.Code
		return resp, nil, denied.Load()
	})
	o, err := NewOwner(cfg, opts, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	policy := policies(0, cfg.Shards, 1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- o.Run(ctx, recovered(func(ctx context.Context, s *Shard, ms machines) error {
			p := policies(s.Number, cfg.Shards, 1)[0]
			if err := s.Append(ctx, ms.tick(s, t0, p)); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}))
	}()
	wait := func(what string, is func(error) bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !is(o.Failing(policy)); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: got %v", what, o.Failing(policy))
			}
		}
	}
	wait("denied", func(err error) bool { return errors.Is(err, kerr.TransactionalIDAuthorizationFailed) })
	denied.Store(false)
	wait("allowed again", func(err error) bool { return err == nil })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := o.Failing(policy); err != nil {
		t.Errorf("no owner any more: got %v", err)
	}
}

// TestAnOwnerWhoseTimeIsRefusedLetsGo: of two owners one has a clock that is a day ahead. The other decides for all policies, and the
// one says why it does not.
func TestAnOwnerWhoseTimeIsRefusedLetsGo(t *testing.T) {
	fake, opts, cfg := fakeLog(t)
	cfg.Protocol, cfg.Heartbeat = ProtocolClassic, 200*time.Millisecond
	// As brokers do by default: message.timestamp.after.max.ms is an hour.
	fake.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		refuse := false
		response := request.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range request.(*kmsg.ProduceRequest).Topics {
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
			for _, partition := range topic.Partitions {
				var batch kmsg.RecordBatch
				refuse = refuse || batch.ReadFrom(partition.Records) == nil && time.UnixMilli(batch.FirstTimestamp).After(time.Now().Add(time.Hour))
				one := kmsg.NewProduceResponseTopicPartition()
				one.Partition, one.ErrorCode = partition.Partition, kerr.InvalidTimestamp.Code
				answer.Partitions = append(answer.Partitions, one)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, refuse
	})
	var mu sync.Mutex
	wrote := map[int32]bool{}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	run := func(ahead time.Duration) *Owner {
		o, err := NewOwner(cfg, opts, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			err := o.Run(ctx, recovered(func(ctx context.Context, s *Shard, ms machines) error {
				if err := s.Append(ctx, ms.tick(s, time.Now().Add(ahead), policies(s.Number, cfg.Shards, 1)[0])); err != nil {
					return err
				}
				mu.Lock()
				wrote[s.Number] = true
				mu.Unlock()
				<-ctx.Done()
				return nil
			}))
			if err != nil {
				t.Error(err)
			}
		})
		return o
	}
	wrong := run(24 * time.Hour)
	right := run(0)
	name := policies(0, cfg.Shards, 1)[0]
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		all := len(wrote) == cfg.Shards
		mu.Unlock()
		if err := wrong.Failing(name); all && errors.Is(err, errClock) && right.Failing(name) == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 30s %d of %d shards are written; the one says %v, the other %v", len(wrote), cfg.Shards, wrong.Failing(name), right.Failing(name))
		}
	}
}
