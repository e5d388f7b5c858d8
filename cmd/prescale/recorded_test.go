package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/metrics/series"
)

// TestWhatTheLogTells asks every command that reads the event log about a policy whose 100 ticks are in it.
func TestWhatTheLogTells(t *testing.T) {
	fake, err := kfake.NewCluster(kfake.GroupMinSessionTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	file := filepath.Join(t.TempDir(), "prescale.yaml")
	policies := `- metadata: {name: a, namespace: ai}
  spec: {kafka: {group: g, topics: [work]}, objective: {lagSeconds: 30}, replicas: {max: 8}}
`
	if err := os.WriteFile(file, fmt.Appendf(nil, `
clusters: {main: {brokers: [%s]}}
eventLog: {shards: 2, protocol: classic}
metricsAPI: {listen: "127.0.0.1:0"}
http: {listen: "127.0.0.1:0"}
policies:
%s`, strings.Join(fake.ListenAddrs(), ", "), policies), 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	record(t, file, evenly(start, 100))

	ask := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), append(args, file), &out, &out)
		return out.String(), err
	}
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"replay", "--config"}, []string{"100 ticks: 100 decided alike, 0 differently"}},
		{[]string{"replay", "--from", "2026-01-31T08:10:00Z", "--to", "2026-01-31T08:20:00Z", "--config"}, []string{"41 ticks: 41 decided alike"}},
		{[]string{"replay", "--check", "--config"}, []string{"1 policy, 100 ticks by 1 writer in 1 term, 100 decisions derived again"}},
		{[]string{"explain", "ai/a", "--at", "2026-01-31T08:10:07Z", "--config"}, []string{
			"tick 41 of 2026-01-31T08:10:00Z, recorded by test; the next one is of 2026-01-31T08:10:15Z", "replicas, because of", "what each rule asked for", "what would change it",
		}},
		{[]string{"explain", "ai/a", "--config"}, []string{"tick 100 of 2026-01-31T08:24:45Z, recorded by test; nothing later is in the log"}},
		{[]string{"backtest", "--name", "ai/a", "--start", "2026-01-31T08:00:00Z", "--quiet", "--from-kafka"}, []string{"ai/a"}},
		// The last of its ticks is that of 08:24:45, and the ends of ticks are no minutes.
		{[]string{"forecast", "--name", "ai/a", "--start", "2026-01-31T08:00:00Z", "--end", "2026-01-31T08:24:50Z", "--horizon", "1", "--from-kafka"}, []string{"\n1,2026-01-31T08:24:45Z,"}},
	} {
		got, err := ask(tt.args...)
		if err != nil {
			t.Errorf("%v: %v", tt.args, err)
		}
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("%v: no %q in:\n%s", tt.args, want, got)
			}
		}
	}
	for _, args := range [][]string{
		{"explain", "ai/a", "--at", "2026-01-31T07:00:00Z", "--config"}, {"explain", "ai/nobody", "--config"}, {"explain", "--config"},
		{"replay", "--policy", "ai/nobody", "--config"}, {"forecast", "--name", "ai/nobody", "--from-kafka"},
		{"explain", "ai/a", "--at", "noon", "--config"}, {"replay", "--from", "noon", "--config"}, {"backtest", "--from-kafka"},
	} {
		if got, err := ask(args...); command.ExitCode(err) != 2 {
			t.Errorf("%v: got %v, want the user's mistake; it said:\n%s", args, err, got)
		}
	}
}

// TestALogThatIsNotThere is told at once, by whatever would read it: what reads a log waits for it else, as a daemon must.
func TestALogThatIsNotThere(t *testing.T) {
	broker := fake(t, "work")
	silent := httptest.NewServer(http.NotFoundHandler())
	silent.Close() // and nothing listens at its address
	for _, tt := range []struct {
		broker, want string
		code         int
	}{
		{broker, "the event log on cluster main: topic prescale.observations: it does not exist; a daemon whose log is in Kafka creates it", 2},
		{silent.Listener.Addr().String(), "the event log on cluster main: reach " + silent.Listener.Addr().String(), 1},
	} {
		file := writeInput(t, "prescale.yaml", "clusters: {main: {brokers: [\""+tt.broker+"\"]}}\n")
		for _, args := range [][]string{
			{"replay", "--config"}, {"replay", "--check", "--config"}, {"explain", "ai/a", "--config"},
			{"backtest", "--name", "ai/a", "--from-kafka"}, {"forecast", "--name", "ai/a", "--from-kafka"},
		} {
			var out bytes.Buffer
			err := run(t.Context(), append(args, file), &out, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) || command.ExitCode(err) != tt.code || out.Len() > 0 {
				t.Errorf("%v: got %v, exit code %d and %q, want %q and %d", args, err, command.ExitCode(err), out.String(), tt.want, tt.code)
			}
		}
	}
}

// TestALogOfAClockThatWasAhead by ten minutes for ten ticks: nothing is lost, and what stood at a time is the last that was decided then.
func TestALogOfAClockThatWasAhead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "prescale.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
clusters: {main: {brokers: [%q]}}
eventLog: {shards: 2, protocol: classic}
policies: [{metadata: {name: a, namespace: ai}, spec: {kafka: {group: g, topics: [work]}, objective: {lagSeconds: 30}, replicas: {max: 8}}}]
`, fake(t, "work")), 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 31, 8, 10, 0, 0, time.UTC)
	record(t, file, slices.Concat(evenly(start, 10), evenly(start.Add(-10*time.Minute), 20)))
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"replay", "--check"}, []string{"30 ticks by 1 writer in 1 term, 30 decisions derived again", "1 tick is of a time before the one before"}},
		{[]string{"explain", "ai/a", "--at", "2026-01-31T08:03:07Z"}, []string{"tick 23 of 2026-01-31T08:03:00Z", "the next one is of 2026-01-31T08:03:15Z", "what would change it"}},
		{[]string{"explain", "ai/a", "--at", "2026-01-31T08:08:00Z"}, []string{"tick 30 of 2026-01-31T08:04:45Z", "nothing later is in the log"}},
		{[]string{"forecast", "--name", "ai/a", "--start", "2026-01-31T08:00:00Z", "--end", "2026-01-31T08:05:00Z", "--from-kafka"}, []string{"\n1,2026-01-31T08:04:45Z,"}},
	} {
		var out bytes.Buffer
		args := append(tt.args, "--config", file)
		if slices.Contains(args, "--from-kafka") {
			args = append(tt.args, file)
		}
		if err := run(t.Context(), args, &out, &out); err != nil {
			t.Errorf("%v: %v", args, err)
		}
		for _, want := range tt.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%v: no %q in:\n%.1500s", args, want, out.String())
			}
		}
	}
}

// evenly returns times 15 s apart.
func evenly(start time.Time, n int) []time.Time {
	times := make([]time.Time, n)
	for i := range times {
		times[i] = start.Add(time.Duration(i) * 15 * time.Second)
	}
	return times
}

// record writes ticks of the configured policies to the log, as the daemon does.
func record(t *testing.T, file string, times []time.Time) {
	t.Helper()
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	lc, cluster := cfg.EventLogConfig()
	lc.Instance = "test"
	owner, err := eventlog.NewOwner(lc, cfg.Clusters[cluster].Options(), slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &cfg.Policies[0]
	sc, err := p.ScalerConfig()
	if err != nil {
		t.Fatal(err)
	}
	a, err := newAutoscaler(p, sc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := owner.Run(ctx, func(ctx context.Context, s *eventlog.Shard) error {
		if s.Number != eventlog.ShardOf(p.PolicyName(), lc.Shards) {
			<-ctx.Done()
			return nil
		}
		if err := s.Recover(ctx, nobody{}); err != nil {
			return err
		}
		for i, at := range times {
			o := series.Observation{
				Policy: p.PolicyName(), At: at, Interval: sc.Interval, ArrivalRecords: series.OfInt(int64(1000 + i)), ConsumedRecords: series.OfInt(1000),
				LagRecords: series.OfInt(int64(i)), LagSeconds: series.Of(1), ReadyReplicas: series.OfInt(2), StartingReplicas: series.OfInt(0), Partitions: series.OfInt(6),
			}
			d := a.Tick(at, o)
			payload, err := json.Marshal(map[string]any{"decision": d})
			if err != nil {
				return err
			}
			if err := s.Append(ctx, []eventlog.Entry{{
				Policy: p.PolicyName(), At: at, SetBack: i > 0 && at.Before(times[i-1]), Observation: o, Fresh: i == 0, DesiredReplicas: d.DesiredReplicas, Reason: string(d.Reason), Payload: payload,
			}}); err != nil {
				return err
			}
		}
		cancel()
		<-ctx.Done()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// nobody is an eventlog.Recovery of an empty log.
type nobody struct{}

func (nobody) Restore(eventlog.Checkpoint) error { return nil }
func (nobody) Observe(eventlog.Tick, bool)       {}

func TestRecordedArrivalsInEvenSteps(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	// Seconds after the start, the span before it, and arrivals: one tick late, an outage of 30s counted at its end, and one
	// of 15s of which nothing is known.
	rows := []struct{ at, interval, count float64 }{
		{0, 0, math.NaN()}, {15, 15, 150}, {30.5, 15.5, 155}, {45, 14.5, 145}, {75, 30, 600}, {90, 15, math.NaN()}, {105, 15, 75},
	}
	ticks := func(yield func(eventlog.Tick, error) bool) {
		for _, r := range rows {
			o := series.Observation{At: start.Add(time.Duration(r.at * 1e9)), Interval: time.Duration(r.interval * 1e9)}
			if !math.IsNaN(r.count) {
				o.ArrivalRecords = series.Of(r.count)
			}
			if !yield(eventlog.Tick{Observation: o}, nil) {
				return
			}
		}
	}
	h, err := evenSteps(ticks, 0)
	if err != nil {
		t.Fatal(err)
	}
	if h.Step != 15*time.Second || !h.Times[0].Equal(start) {
		t.Errorf("step %v from %v, want 15s from %v", h.Step, h.Times[0], start)
	}
	want := []float64{150, 150, 150, 300, 300, math.NaN(), 75}
	if len(h.Values) != len(want) {
		t.Fatalf("got %v, want %v", h.Values, want)
	}
	for i := range want {
		if got := h.Values[i]; math.Abs(got-want[i]) > 1e-6 || math.IsNaN(got) != math.IsNaN(want[i]) {
			t.Errorf("step %d: got %v, want %v", i, got, want[i])
		}
	}
}
