package pipeline

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// wave is a collector whose observations depend on the time and the policy alone.
type wave struct{ targets []collector.Target }

func (w *wave) SetTargets(t []collector.Target) { w.targets = t }

func (w *wave) Collect(_ context.Context, now time.Time) ([]collector.Result, error) {
	results := make([]collector.Result, len(w.targets))
	for i, t := range w.targets {
		n := float64(now.Unix()/15%97) + float64(len(t.Policy))
		results[i] = collector.Result{Observation: series.Observation{
			Interval: 15 * time.Second, ArrivalRecords: series.Of(150 * n), ConsumedRecords: series.Of(149 * n),
			LagRecords: series.Of(n), LagSeconds: series.Of(n / 10), Partitions: series.Of(24),
		}, Members: series.Of(3)}
	}
	return results, nil
}

// TestTheLogInMemoryIsAReplayOfItself feeds what the log got to autoscalers of its own: they decide the same.
func TestTheLogInMemoryIsAReplayOfItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policies := []Policy{policy("ai/a"), policy("ai/bb"), policy("ai/ccc")}
		// The bubble begins at midnight UTC.
		policies[1].Model.Events = []forecaster.Event{{Name: "sale", Span: forecaster.Span{Start: "5 0 * * *", Duration: 3 * time.Minute}, Factor: 3}}
		store := readmodel.NewStore(time.Now)
		publisher := NewPublisher(store)
		publisher.SetPolicies(policies)
		var mu sync.Mutex
		logged := map[string][]eventlog.Decision{}
		lc := eventlog.DefaultConfig()
		lc.Instance, lc.Shards = "test", 4
		memory, err := eventlog.NewMemory(lc, func(d eventlog.Decision) {
			mu.Lock()
			defer mu.Unlock()
			logged[d.Policy] = append(logged[d.Policy], d)
			publisher.Publish(d)
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := New(Config{
			Policies:     policies,
			CollectorFor: func(string, time.Duration) (Collector, error) { return &wave{}, nil },
			Store:        store,
			Logger:       slog.New(slog.DiscardHandler),
			Log:          memory,
			Shards:       lc.Shards,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute+time.Second)
		defer cancel()
		go func() {
			time.Sleep(5*time.Minute + time.Second)
			// Asked between two ticks, so the newest entry is of the newest decision.
			e, err := store.Get("ai/a")
			explained, ok := p.Explain(ctx, "ai/a")
			if err != nil || !ok || !explained.Decision.At.Equal(e.At) || explained.Decision.DesiredReplicas != e.Decision.DesiredReplicas || len(explained.WhatIf) < 5 {
				t.Errorf("explain: got %+v, %v, want what would change %+v", explained, ok, e.Decision)
			}
			if e.Writer != lc.Instance {
				t.Errorf("writer: got %q, want %q", e.Writer, lc.Instance)
			}
			if _, ok := p.Explain(ctx, "ai/nobody"); ok {
				t.Error("a policy that is not there was explained")
			}
		}()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if _, ok := p.Explain(ctx, "ai/a"); ok {
			t.Error("explained without a shard")
		}
		again, err := newDeciders(policies)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range policies {
			ticks := logged[p.Name()]
			if len(ticks) < 40 {
				t.Fatalf("%s: %d ticks in ten minutes, want 40", p.Name(), len(ticks))
			}
			for _, d := range ticks {
				got, err := json.Marshal(record{Decision: again.all[p.Name()].autoscaler.Tick(d.At, d.Observation)})
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != string(d.Payload) {
					t.Fatalf("%s tick %d:\ngot  %s\nwant %s", p.Name(), d.Seq, got, d.Payload)
				}
			}
			e, err := store.Get(p.Name())
			if err != nil {
				t.Errorf("%s: %v", p.Name(), err)
			}
			if last := ticks[len(ticks)-1]; !e.At.Equal(last.At) || e.Decision.DesiredReplicas != last.DesiredReplicas || e.Interval != 15*time.Second {
				t.Errorf("%s: the store has %+v, want tick %d", p.Name(), e, last.Seq)
			}
		}
	})
}

// TestPoliciesThatStayGoOnWithoutALog changes the set of policies half-way: what stays as it was decides as if nothing had
// happened, what was changed or has come back begins anew.
func TestPoliciesThatStayGoOnWithoutALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		logged := map[string][]eventlog.Decision{}
		lc := eventlog.DefaultConfig()
		lc.Instance, lc.Shards = "test", 2
		memory, err := eventlog.NewMemory(lc, func(d eventlog.Decision) {
			mu.Lock()
			defer mu.Unlock()
			logged[d.Policy] = append(logged[d.Policy], d)
		})
		if err != nil {
			t.Fatal(err)
		}
		stays, changes, returns := policy("ai/a"), policy("ai/bb"), policy("ai/ccc")
		changed := changes
		changed.Scaler.MaxReplicas = 3
		p, err := New(Config{
			Policies: []Policy{stays, changes, returns}, CollectorFor: func(string, time.Duration) (Collector, error) { return &wave{}, nil },
			Store: readmodel.NewStore(time.Now), Logger: slog.New(slog.DiscardHandler), Log: memory, Shards: lc.Shards,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		then := func(policies ...Policy) {
			t.Helper()
			time.Sleep(5*time.Minute + time.Second) // between two ticks
			if err := p.SetPolicies(policies); err != nil {
				t.Fatal(err)
			}
		}
		then(stays, changed)
		mu.Lock()
		changedAt, removedAt := len(logged["ai/bb"]), len(logged["ai/ccc"])
		mu.Unlock()
		then(stays, changed, returns)
		time.Sleep(5 * time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			policy Policy
			from   int
		}{{stays, 0}, {changed, changedAt}, {returns, removedAt}} {
			fresh, err := newDeciders([]Policy{tt.policy})
			if err != nil {
				t.Fatal(err)
			}
			ticks := logged[tt.policy.Name()][tt.from:]
			if len(ticks) < 20 {
				t.Fatalf("%s: only %d ticks", tt.policy.Name(), len(ticks))
			}
			for i, d := range ticks {
				got, err := json.Marshal(record{Decision: fresh.all[tt.policy.Name()].autoscaler.Tick(d.At, d.Observation)})
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != string(d.Payload) {
					t.Fatalf("%s, tick %d after it began:\ngot  %s\nwant %s", tt.policy.Name(), i, got, d.Payload)
				}
			}
		}
	})
}

// TestACollectorThatIsNotNeededLetsGo: where the last policy of a cluster goes, nobody asks its collector any more, and what it and the
// metrics tell of the policy goes too. When one comes back it has a collector of its own.
func TestACollectorThatIsNotNeededLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		made := map[string][]*wave{}
		lc := eventlog.DefaultConfig()
		lc.Instance, lc.Shards = "test", 2
		memory, err := eventlog.NewMemory(lc, func(eventlog.Decision) {})
		if err != nil {
			t.Fatal(err)
		}
		here, there := policy("ai/a"), policy("ai/bb")
		there.Target.Cluster = "west"
		metrics := NewMetrics(prometheus.NewRegistry())
		p, err := New(Config{
			Policies: []Policy{here, there}, CollectorFor: func(cluster string, _ time.Duration) (Collector, error) {
				mu.Lock()
				defer mu.Unlock()
				made[cluster] = append(made[cluster], &wave{})
				return made[cluster][len(made[cluster])-1], nil
			},
			Store: readmodel.NewStore(time.Now), Metrics: metrics, Logger: slog.New(slog.DiscardHandler), Log: memory, Shards: lc.Shards,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		wanted := func() (n []int) {
			time.Sleep(time.Minute)
			synctest.Wait()
			for _, w := range slices.Concat(made["main"], made["west"]) {
				n = append(n, len(w.targets))
			}
			return n
		}
		for _, tt := range []struct {
			policies []Policy
			want     []int
		}{
			{[]Policy{here, there}, []int{1, 1}},
			{[]Policy{here}, []int{1, 0}},
			{[]Policy{here, there}, []int{1, 0, 1}},
		} {
			if err := p.SetPolicies(tt.policies); err != nil {
				t.Fatal(err)
			}
			if got := wanted(); !slices.Equal(got, tt.want) {
				t.Errorf("%d policies: the collectors have %v targets, want %v", len(tt.policies), got, tt.want)
			}
			// Each policy has warmed up and then decided for one other reason.
			if got := testutil.CollectAndCount(metrics.decisions); got != 2*len(tt.policies) {
				t.Errorf("%d policies: %d reasons are counted, want two for each", len(tt.policies), got)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// setBack is a Clock that is set back at an instant.
type setBack struct {
	wallClock
	at time.Time
	by time.Duration
}

func (c setBack) At(wall time.Time) time.Time {
	if wall.Before(c.at) {
		return wall
	}
	return wall.Add(-c.by)
}

// TestAClockThatIsSetBack: by less than an answer may be ahead, and nothing is decided until it has caught up; by more, and decisions go
// on, for the answers that there are would be refused. Either is said once.
func TestAClockThatIsSetBack(t *testing.T) {
	for _, tt := range []struct {
		by    time.Duration
		ticks int // in 20 minutes
		steps int // back
		said  []string
	}{
		{40 * time.Second, 78, 0, []string{"passed over", "caught up with the log"}},
		{10 * time.Minute, 80, 1, []string{"decisions go on"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var said strings.Builder
			times := map[string][]time.Time{}
			lc := eventlog.DefaultConfig()
			lc.Instance, lc.Shards = "test", 1
			memory, err := eventlog.NewMemory(lc, func(d eventlog.Decision) { times[d.Policy] = append(times[d.Policy], d.At) })
			if err != nil {
				t.Fatal(err)
			}
			p, err := New(Config{
				Policies:     []Policy{policy("ai/a"), policy("ai/b")},
				CollectorFor: func(string, time.Duration) (Collector, error) { return &wave{}, nil },
				Store:        readmodel.NewStore(time.Now),
				Logger:       slog.New(slog.NewTextHandler(&said, nil)),
				Log:          memory,
				Shards:       lc.Shards,
				Clock:        setBack{at: time.Now().Add(5*time.Minute + time.Second), by: tt.by},
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
			defer cancel()
			if err := p.Run(ctx); err != nil {
				t.Fatal(err)
			}
			for name, at := range times {
				steps := 0
				for i := range len(at) - 1 {
					if !at[i+1].After(at[i]) {
						steps++
					}
				}
				if steps != tt.steps || len(at) < tt.ticks-1 || len(at) > tt.ticks+1 {
					t.Errorf("by %v: %d decisions for %s, %d times of a time before; want %d and %d", tt.by, len(at), name, steps, tt.ticks, tt.steps)
				}
			}
			if n := strings.Count(said.String(), "level=WARN"); n != 1 {
				t.Errorf("by %v: said %d warnings, want one:\n%s", tt.by, n, said.String())
			}
			for _, want := range tt.said {
				if !strings.Contains(said.String(), want) {
					t.Errorf("by %v: want %q in:\n%s", tt.by, want, said.String())
				}
			}
		})
	}
}

// TestATickUnderWayBringsNoMetricBack: the log may take a tick of a policy that has just gone.
func TestATickUnderWayBringsNoMetricBack(t *testing.T) {
	a, b := policy("ns/a"), policy("ns/b")
	m := NewMetrics(prometheus.NewRegistry())
	s := newShards(Config{Policies: []Policy{a, b}, Shards: 1, Metrics: m})
	decisions := []scaler.Decision{{Policy: "ns/a", Reason: scaler.ReasonHold}, {Policy: "ns/b", Reason: scaler.ReasonHold}}
	s.decided(decisions)
	if n := testutil.CollectAndCount(m.decisions); n != 2 {
		t.Errorf("%d series, want those of both policies", n)
	}
	s.set([]Policy{b})
	m.forget("ns/a")
	s.decided(decisions)
	if n := testutil.CollectAndCount(m.decisions); n != 1 {
		t.Errorf("%d series, want that of the policy that stays", n)
	}
}
