package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/metrics/series"
)

// remembered is a history of a day: the load that wave goes on with. It fails so many times first.
type remembered struct {
	mu       sync.Mutex
	failures int
	reads    int
}

func (r *remembered) Read(_ context.Context, s history.Source, now time.Time, step time.Duration) (*history.Series, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads++
	if r.reads <= r.failures {
		return nil, errors.New(`history.prometheus: query http://p:9090: connection refused`)
	}
	out := &history.Series{Name: "a day", Step: step, Dated: true}
	for at := now.Truncate(step).Add(-24 * time.Hour); at.Before(now.Truncate(step)); at = at.Add(step) {
		out.Times = append(out.Times, at)
		out.Values = append(out.Values, 150*(float64(at.Unix()/15%97)+4))
	}
	return out, nil
}

func withHistory(name string) Policy {
	p := policy(name)
	p.History = history.Source{Span: 48 * time.Hour, Server: "http://p:9090", Query: "q"}
	return p
}

// TestAnImportIsPartOfTheLog gives one policy its history before its first tick and another after ten ticks of its own. A
// take-over must have the same state to the last bit without any history, and a replay derive each decision again.
func TestAnImportIsPartOfTheLog(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	opts := []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...)}
	lc := eventlog.DefaultConfig()
	lc.Instance, lc.Shards, lc.Replication = "test", 1, 1
	policies := []Policy{withHistory("ai/early"), withHistory("ai/late"), policy("ai/none")}
	reader := &remembered{}
	now := time.Date(2026, 1, 2, 3, 4, 15, 0, time.UTC)
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)

	// once runs f with the shard and its recovered deciders.
	once := func(f func(ctx context.Context, s *shards, log *eventlog.Shard, d *deciders)) {
		t.Helper()
		owner, err := eventlog.NewOwner(lc, opts, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err = owner.Run(ctx, func(ctx context.Context, log *eventlog.Shard) error {
			defer cancel()
			s := newShards(Config{Policies: policies, Shards: 1, Histories: reader, Clock: standing{now}, Metrics: metrics, Logger: slog.New(slog.DiscardHandler)})
			d, err := newDeciders(policies)
			if err != nil {
				return err
			}
			if err := log.Recover(ctx, d); err != nil {
				return err
			}
			f(ctx, s, log, d)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	states := func(d *deciders) map[string][]byte {
		all := map[string][]byte{}
		for name, one := range d.all {
			all[name] = one.autoscaler.AppendCheckpoint(nil)
		}
		return all
	}
	give := func(ctx context.Context, s *shards, d *deciders, p Policy) {
		past, err := s.importHistory(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		s.imported(d, imported{policy: p.Name(), past: past})
	}
	ticks := func(ctx context.Context, s *shards, log *eventlog.Shard, d *deciders, n int) {
		for range n {
			now = now.Add(15 * time.Second)
			seen := sightings{now: now}
			for _, p := range policies {
				result, err := (&wave{[]collector.Target{p.Target}}).Collect(ctx, now)
				if err != nil {
					t.Fatal(err)
				}
				seen.policies = append(seen.policies, s.cfg.sighted(now, p, result[0]))
			}
			if err := s.tick(ctx, log, d, seen); err != nil {
				t.Fatal(err)
			}
		}
	}

	var before map[string][]byte
	once(func(ctx context.Context, s *shards, log *eventlog.Shard, d *deciders) {
		give(ctx, s, d, policies[0])
		ticks(ctx, s, log, d, 10)
		give(ctx, s, d, policies[1])
		ticks(ctx, s, log, d, 3)
		before = states(d)
	})
	again := 0
	check := func(ctx context.Context, s *shards, log *eventlog.Shard, d *deciders) {
		again++
		for name, state := range states(d) {
			if !bytes.Equal(state, before[name]) {
				t.Errorf("take-over %d: %s has another state than its owner before", again, name)
			}
		}
		for i, want := range []int{5760, 5760, 0} {
			decider := d.all[policies[i].Name()]
			if got := decider.autoscaler.State().HistorySamples; got != want || decider.young() != 0 {
				t.Errorf("take-over %d: %s has %d samples of history and is young for %v, want %d and never again", again, policies[i].Name(), got, decider.young(), want)
			}
		}
		ticks(ctx, s, log, d, 60) // beyond a checkpoint
		before = states(d)
	}
	once(check)
	once(check)
	if reader.reads != 2 {
		t.Errorf("histories were read %d times, want once each", reader.reads)
	}
	for _, p := range policies[:2] {
		if got := testutil.ToFloat64(metrics.imports.WithLabelValues(p.Name(), "imported")); got != 1 {
			t.Errorf("%s: %v histories imported, want 1", p.Name(), got)
		}
	}
	if got := testutil.CollectAndCount(metrics.imports); got != 2 {
		t.Errorf("%d kinds of outcomes, want the two imported histories alone", got)
	}

	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	report, err := eventlog.Check(t.Context(), client, lc, NewReplayer(policies))
	if err != nil {
		t.Fatal(err)
	}
	if report.Ticks != 3*133 || report.Derived != report.Ticks || report.ViolationCount > 0 {
		t.Errorf("the replay: %d ticks, %d derived, %d violations: %s", report.Ticks, report.Derived, report.ViolationCount, strings.Join(report.Violations, "\n"))
	}
}

// standing is a clock that stands still.
type standing struct{ at time.Time }

func (s standing) At(time.Time) time.Time                    { return s.at }
func (s standing) WallSpan(span time.Duration) time.Duration { return span }

// slowWave takes a moment to observe, so that what happens at the same instant has happened before its tick.
type slowWave struct{ wave }

func (w *slowWave) Collect(ctx context.Context, now time.Time) ([]collector.Result, error) {
	time.Sleep(time.Millisecond)
	return w.wave.Collect(ctx, now)
}

// TestAFailingImportStopsNothing has a server that answers at the third try only: the policy decides all the while, says why it
// has no history and when it is tried again, and then has one.
func TestAFailingImportStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := &remembered{failures: 2}
		var mu sync.Mutex
		var logged []eventlog.Decision
		lc := eventlog.DefaultConfig()
		lc.Instance, lc.Shards = "test", 1
		memory, err := eventlog.NewMemory(lc, func(d eventlog.Decision) {
			mu.Lock()
			defer mu.Unlock()
			logged = append(logged, d)
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := New(Config{
			Policies: []Policy{withHistory("ai/a")}, CollectorFor: func(string, time.Duration) (Collector, error) { return &slowWave{}, nil },
			Store: readmodel.NewStore(time.Now), Logger: slog.New(slog.DiscardHandler), Log: memory, Shards: 1, Histories: reader,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute+time.Second)
		defer cancel()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		// The first try fails at once, the next after 30 s, the third after another 60 s succeeds.
		imported := 0
		for i, d := range logged {
			decision, err := RecordedDecision(&d)
			if err != nil {
				t.Fatal(err)
			}
			if decision.HistorySamples > 0 {
				if imported == 0 {
					imported = i
				}
				if len(d.Observation.Problems) > 0 || decision.HistorySamples != 5760 {
					t.Errorf("tick %d: imported %d samples, and yet %q", i, decision.HistorySamples, d.Observation.Problems)
				}
			} else if got := fmt.Sprint(d.Observation.Problems); !strings.Contains(got, HistoryProblem+"history.prometheus: query http://p:9090: connection refused; tried again at 2000-01-01T00:0") {
				t.Errorf("tick %d says %s", i, got)
			}
		}
		if len(logged) < 12 || imported < 6 || imported > 8 || reader.reads != 3 {
			t.Errorf("%d ticks, imported before number %d, after %d reads; want 12, after the one at 1m30s, 3", len(logged), imported, reader.reads)
		}
	})
}

// TestAHistoryMustReachIntoItsSpan: an old file is told to be too old, and one that holds less than was seen is passed over.
func TestAHistoryMustReachIntoItsSpan(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 15, 0, time.UTC)
	old := &history.Series{Name: "old.csv", Step: time.Minute, Dated: true, Times: []time.Time{now.AddDate(0, 0, -3), now.AddDate(0, 0, -3).Add(time.Minute)}, Values: []float64{1, math.NaN()}}
	p := withHistory("ai/a")
	s := newShards(Config{Policies: []Policy{p}, Shards: 1, Histories: fixed{old}, Clock: standing{now}, Logger: slog.New(slog.DiscardHandler)})
	if _, err := s.importHistory(t.Context(), p); err == nil || !strings.Contains(err.Error(), "old.csv holds no value of the last 48h0m0s: want a longer history.span") {
		t.Errorf("a history of three days ago: %v", err)
	}
	p.History.Span = 96 * time.Hour
	past, err := s.importHistory(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDeciders([]Policy{p})
	if err != nil {
		t.Fatal(err)
	}
	decider := d.all["ai/a"]
	for i := range 5 {
		decider.autoscaler.Tick(now.Add(time.Duration(i)*15*time.Second), series.Observation{At: now.Add(time.Duration(i) * 15 * time.Second)})
	}
	s.imported(d, imported{policy: "ai/a", past: past})
	// A minute of history is four samples.
	if seed := s.begin(decider); seed != nil || decider.autoscaler.State().HistorySamples != 0 {
		t.Errorf("four samples were taken for five ticks: %d bytes", len(seed))
	}
}

type fixed struct{ series *history.Series }

func (f fixed) Read(context.Context, history.Source, time.Time, time.Duration) (*history.Series, error) {
	return f.series, nil
}
