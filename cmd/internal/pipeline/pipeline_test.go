package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// scripted is a collector whose answer the test changes.
type scripted struct {
	results func(now time.Time, targets []collector.Target) ([]collector.Result, error)

	mu      sync.Mutex
	targets []collector.Target
	times   []time.Time
}

func (s *scripted) SetTargets(t []collector.Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.targets = t
}

func (s *scripted) Collect(_ context.Context, now time.Time) ([]collector.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times = append(s.times, now)
	return s.results(now, s.targets)
}

// ticks returns the times at which it was asked.
func (s *scripted) ticks() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.times)
}

func policy(name string) Policy {
	cfg := scaler.DefaultConfig()
	cfg.Policy = name
	cfg.MaxReplicas = 8
	return NewPolicy(collector.Target{Policy: name, Cluster: "main", Group: "g", Topics: []string{"t"}}, cfg, nil)
}

func newPipeline(t *testing.T, source *scripted, policies ...Policy) (*Pipeline, *readmodel.Store) {
	t.Helper()
	store := readmodel.NewStore(time.Now)
	p, err := New(Config{
		Policies:     policies,
		CollectorFor: func(string, time.Duration) (Collector, error) { return source, nil },
		Store:        store,
		Logger:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, store
}

func observed(lag float64) collector.Result {
	return collector.Result{
		Observation: series.Observation{Interval: 15 * time.Second, LagRecords: series.Of(lag), Partitions: series.Of(4)},
		Members:     series.Of(2),
	}
}

func TestTicksFallOnTheIntervalAndOutagesAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &scripted{}
		var broken atomic.Bool
		source.results = func(now time.Time, targets []collector.Target) ([]collector.Result, error) {
			if broken.Load() {
				return nil, errors.New("dial kafka:9092: connection refused")
			}
			results := make([]collector.Result, len(targets))
			for i := range targets {
				results[i] = observed(float64(10 * (i + 1)))
			}
			return results, nil
		}
		p, store := newPipeline(t, source, policy("ai/b"), policy("ai/a"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()

		time.Sleep(40 * time.Second)
		for i, at := range source.ticks() {
			if i > 0 && at.Sub(at.Truncate(15*time.Second)) != 0 {
				t.Errorf("tick %d at %v, want a multiple of 15s", i, at)
			}
		}
		a, err := store.Get("ai/a")
		if err != nil || a.Observation.LagRecords != series.Of(10) {
			t.Fatalf("ai/a: got %v, %v, want lag 10: targets are in the order of names", a.Observation.LagRecords, err)
		}
		if a.Observation.ReadyReplicas != series.Of(2) {
			t.Errorf("ready replicas: got %v, want the two members", a.Observation.ReadyReplicas)
		}

		broken.Store(true)
		time.Sleep(35 * time.Second)
		if _, err := store.Get("ai/a"); err != nil {
			t.Errorf("within three ticks: %v", err)
		}
		time.Sleep(25 * time.Second)
		var stale *readmodel.StaleError
		if _, err := store.Get("ai/a"); !errors.As(err, &stale) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("after three ticks without the broker: got %v, want stale with its cause", err)
		}
		broken.Store(false)
		time.Sleep(15 * time.Second)
		if _, err := store.Get("ai/a"); err != nil {
			t.Errorf("after the broker came back: %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestAnEntryHasTheForecastThatItWasDecidedWith: of every step and level, for the page; and all know of the policy before its first.
func TestAnEntryHasTheForecastThatItWasDecidedWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &scripted{results: func(now time.Time, targets []collector.Target) ([]collector.Result, error) {
			return (&wave{targets}).Collect(t.Context(), now)
		}}
		p, store := newPipeline(t, source, policy("ai/a"))
		var notReady *readmodel.NotReadyError
		if _, err := store.Get("ai/a"); !errors.As(err, &notReady) {
			t.Errorf("before the first tick: got %v, want not ready", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		e, err := store.Get("ai/a")
		if err != nil {
			t.Fatal(err)
		}
		d := &e.Decision
		if len(d.ArrivalForecast) == 0 || len(e.Ahead) != d.HorizonSteps*len(d.ArrivalForecast) {
			t.Fatalf("%d values ahead, want those of %d steps at %d levels", len(e.Ahead), d.HorizonSteps, len(d.ArrivalForecast))
		}
		for i, highest := range d.ArrivalForecast {
			for step := range d.HorizonSteps {
				if one := e.Ahead[step*len(d.ArrivalForecast)+i]; one > highest.Value*(1+1e-9) {
					t.Errorf("step %d, level %v: %v, and the highest of all is %v", step+1, highest.Level, one, highest.Value)
				}
			}
		}
	})
}

func TestLabels(t *testing.T) {
	p := policy("ai/a")
	if got, want := p.Labels(), map[string]string{"cluster": "main", "group": "g", "topic": "t"}; !maps.Equal(got, want) {
		t.Errorf("of one topic: got %v, want %v", got, want)
	}
	p.Target.Topics = []string{"t", "u"}
	if got, want := p.Labels(), map[string]string{"cluster": "main", "group": "g"}; !maps.Equal(got, want) {
		t.Errorf("of two topics: got %v, want %v", got, want)
	}
}

func TestOneBadTargetDoesNotTouchTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &scripted{results: func(_ time.Time, targets []collector.Target) ([]collector.Result, error) {
			return []collector.Result{{Err: errors.New("group g: not authorized")}, observed(7)}, nil
		}}
		p, store := newPipeline(t, source, policy("ai/a"), policy("ai/b"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Run(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		var notReady *readmodel.NotReadyError
		if _, err := store.Get("ai/a"); !errors.As(err, &notReady) || !strings.Contains(err.Error(), "not authorized") {
			t.Errorf("ai/a: got %v, want not ready with its cause", err)
		}
		if b, err := store.Get("ai/b"); err != nil || b.Observation.LagRecords != series.Of(7) {
			t.Errorf("ai/b: got %v, %v", b.Observation.LagRecords, err)
		}
	})
}

// TestAPresentCountIsNoAnswerWhereNothingIsKnown: after a tick of which neither arrivals nor backlog are known, or that keeps a count
// that is not known, nothing is served; of three replicas none would be left but the least that is allowed.
func TestAPresentCountIsNoAnswerWhereNothingIsKnown(t *testing.T) {
	paused := policy("ai/a")
	paused.Scaler.Paused = true
	observing := policy("ai/a")
	observing.Scaler.Observe = true
	problems := []string{"topic t: partition 3 has no leader"}
	nothing := series.Observation{Interval: 15 * time.Second, Partitions: series.Of(4), Problems: problems}
	members := series.Observation{Interval: 15 * time.Second, Partitions: series.Of(4), LagRecords: series.Of(7), ArrivalRecords: series.Of(100)}
	for _, tt := range []struct {
		name   string
		policy Policy
		result collector.Result
		want   string // "" where there is an answer
	}{
		{"nothing known", policy("ai/a"), collector.Result{Observation: nothing, Members: series.Of(3)}, "neither arrivals nor backlog are known: topic t"},
		{"nothing known, paused", paused, collector.Result{Observation: nothing, Members: series.Of(3)}, "neither arrivals nor backlog are known"},
		{"nothing known, nor how many", policy("ai/a"), collector.Result{Observation: nothing}, "neither arrivals nor backlog are known"},
		{"how many is not known", policy("ai/a"), collector.Result{Observation: members}, "how many replicas there are is not known"},
		{"how many is not known, paused", paused, collector.Result{Observation: members}, "how many replicas there are is not known"},
		{"how many is not known, observing", observing, collector.Result{Observation: members}, "how many replicas there are is not known"},
		{"all known", policy("ai/a"), collector.Result{Observation: members, Members: series.Of(3)}, ""},
		{"all known, paused", paused, collector.Result{Observation: members, Members: series.Of(3)}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			source := &scripted{results: func(time.Time, []collector.Target) ([]collector.Result, error) {
				return []collector.Result{tt.result}, nil
			}}
			p, store := newPipeline(t, source, tt.policy)
			ctx, cancel := context.WithTimeout(t.Context(), 31*time.Second)
			defer cancel()
			if err := p.Run(ctx); err != nil {
				t.Fatal(err)
			}
			e, err := store.Get("ai/a")
			switch {
			case tt.want == "" && (err != nil || e.Decision.DesiredReplicas != 3):
				t.Errorf("%s: got %d, %v, want the 3 that there are", tt.name, e.Decision.DesiredReplicas, err)
			case tt.want != "" && err == nil:
				t.Errorf("%s: got %d replicas because of %s as an answer, want none: %s", tt.name, e.Decision.DesiredReplicas, e.Decision.Reason, tt.want)
			case tt.want != "" && !strings.Contains(err.Error(), tt.want):
				t.Errorf("%s: got %v, want: %s", tt.name, err, tt.want)
			}
		})
	}
}

func TestAPolicyDefinedTwiceIsRefused(t *testing.T) {
	_, err := New(Config{
		Policies:     []Policy{policy("ai/a"), policy("ai/a")},
		CollectorFor: func(string, time.Duration) (Collector, error) { return &scripted{}, nil },
		Store:        readmodel.NewStore(time.Now),
	})
	if err == nil || !strings.Contains(err.Error(), "ai/a: defined twice") {
		t.Errorf("got %v", err)
	}
}

// fast passes twenty times as fast as the wall's time since start.
type fast struct{ start time.Time }

func (f fast) At(wall time.Time) time.Time               { return f.start.Add(20 * wall.Sub(f.start)) }
func (f fast) WallSpan(span time.Duration) time.Duration { return span / 20 }

func TestTicksFollowTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &scripted{results: func(_ time.Time, targets []collector.Target) ([]collector.Result, error) {
			return []collector.Result{observed(1)}, nil
		}}
		p, err := New(Config{
			Policies:     []Policy{policy("ai/a")},
			CollectorFor: func(string, time.Duration) (Collector, error) { return source, nil },
			Store:        readmodel.NewStore(time.Now),
			Logger:       slog.New(slog.DiscardHandler),
			Clock:        fast{time.Now()},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second+time.Millisecond)
		defer cancel()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		// 3 s are 60 s of the clock: one tick at once and four on multiples of 15 s.
		if len(source.ticks()) != 5 {
			t.Fatalf("ticks: got %v, want 5", source.ticks())
		}
		if got := source.ticks()[4].Sub(source.ticks()[1]); got != 45*time.Second {
			t.Errorf("three ticks took %v of the clock, want 45s", got)
		}
	})
}

func TestMembersCountAsReplicasOnceTheyCommit(t *testing.T) {
	result := observed(10)
	for _, tt := range []struct{ starting, ready, wantStarting series.Value }{
		{series.Of(0), series.Of(2), series.Of(0)},
		{series.Of(1), series.Of(1), series.Of(1)},
		{series.Missing, series.Of(2), series.Missing},
	} {
		result.Starting = tt.starting
		o := (&Config{}).sighted(time.Unix(0, 0), Policy{}, result).observation
		if o.ReadyReplicas != tt.ready || o.StartingReplicas != tt.wantStarting {
			t.Errorf("%v of 2 members starting: got %v ready and %v starting, want %v and %v",
				tt.starting, o.ReadyReplicas, o.StartingReplicas, tt.ready, tt.wantStarting)
		}
	}
}

// turned is a wall clock that can be set.
type turned struct {
	wallClock
	by atomic.Int64
}

func (c *turned) At(wall time.Time) time.Time { return wall.Add(time.Duration(c.by.Load())) }

// TestAClockThatIsSetBackHoldsUpNoTick: also where that happens in the midst of one.
func TestAClockThatIsSetBackHoldsUpNoTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &turned{}
		source := &scripted{results: func(_ time.Time, targets []collector.Target) ([]collector.Result, error) {
			clock.by.Store(-int64(time.Hour))
			return make([]collector.Result, len(targets)), nil
		}}
		p, _ := newPipeline(t, source, policy("ai/a"))
		for _, r := range p.runners {
			r.Clock = clock
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Second)
		defer cancel()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if got := len(source.ticks()); got < 4 {
			t.Errorf("%d ticks in a minute, want one every 15 s", got)
		}
	})
}

// TestTheCollectorIsGivenBothClocks: by the monotonic one it tells a span over which the wall's was set. What goes on has the
// wall's alone.
func TestTheCollectorIsGivenBothClocks(t *testing.T) {
	source := &scripted{results: func(time.Time, []collector.Target) ([]collector.Result, error) {
		return []collector.Result{observed(1)}, nil
	}}
	p, store := newPipeline(t, source, policy("ai/a"))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	e, err := store.Get("ai/a")
	for ; err != nil && ctx.Err() == nil; e, err = store.Get("ai/a") {
		runtime.Gosched()
	}
	stop()
	running.Wait()
	now := source.ticks()[0]
	if now == now.Round(0) {
		t.Error("the collector was given the wall's time alone")
	}
	if want := now.Round(0).UTC(); e.Decision.At != want || e.Observation.At != want {
		t.Errorf("decided at %v on what was seen at %v, want %v", e.Decision.At, e.Observation.At, want)
	}
}
