package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// A configured policy is not ready before its pipeline runs; an empty answer would say that it does not exist.
func TestPoliciesAreKnownBeforeTheyRun(t *testing.T) {
	store := readmodel.NewStore(time.Now)
	logger := slog.New(slog.DiscardHandler)
	cfg := config.Config{Log: config.LogMemory}
	line := newLine(cfg, &clusters{}, store, prometheus.NewRegistry(), logger)
	policies := []pipeline.Policy{{Target: collector.Target{Policy: "ns/p", Cluster: "main"}, Scaler: scaler.Config{Policy: "ns/p", Interval: time.Minute}}}
	everything := func(map[string]string) bool { return true }
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nothing is to run
	if err := line.run(ctx, policies); err == nil {
		t.Error("a policy without a cluster was run")
	}
	var notReady *readmodel.NotReadyError
	if values, err := store.Query("ns", readmodel.DesiredReplicas, everything, nil); !errors.As(err, &notReady) {
		t.Errorf("got %v, %v, want that the policy is not ready", values, err)
	}
}

// lineRig is a fake Kafka with the topic "work" and the configuration of a daemon that has no policies of its own.
type lineRig struct {
	t     *testing.T
	fake  *kfake.Cluster
	file  string
	store *readmodel.Store
}

func newLineRig(t *testing.T) *lineRig {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.GroupMinSessionTimeout(time.Second), kfake.SeedTopics(2, "work"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	r := &lineRig{t: t, fake: fake, file: filepath.Join(t.TempDir(), "prescale.yaml")}
	if err := os.WriteFile(r.file, fmt.Appendf(nil, `
clusters: {main: {brokers: [%s]}}
eventLog: {shards: 2, protocol: classic, heartbeatInterval: 200ms}
metricsAPI: {listen: "127.0.0.1:0"}
http: {listen: "127.0.0.1:0"}
`, strings.Join(fake.ListenAddrs(), ", ")), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs a line as a new process does.
func (r *lineRig) start(policies ...pipeline.Policy) (l *line, stop func()) {
	r.t.Helper()
	cfg, err := config.Load(r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	registry, logger := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	clusters, err := openClusters(cfg, registry, logger)
	if err != nil {
		r.t.Fatal(err)
	}
	r.store = readmodel.NewStore(time.Now)
	l = newLine(cfg, clusters, r.store, registry, logger)
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- l.run(ctx, policies) }()
	return l, func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		clusters.close()
	}
}

// decided waits for a decision of the policy whose tick is at a time or later.
func (r *lineRig) decided(policy string, from time.Time) {
	r.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		e, err := r.store.Get(policy)
		if err == nil && !e.At.Before(from) {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s is not decided within a minute: %v", policy, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// everySecond returns a policy with at most so many replicas.
func everySecond(name string, most int) pipeline.Policy {
	sc := scaler.DefaultConfig()
	sc.Policy, sc.MaxReplicas, sc.Interval = name, most, time.Second
	return pipeline.NewPolicy(collector.Target{Policy: name, Cluster: "main", Group: "g", Topics: []string{"work"}}, sc, nil)
}

// TestAChangeOfPoliciesLeavesTheGroupAlone changes the policies of a running daemon as a cluster does: it must stay a member of the
// owners, and what the log then holds must suffice to decide all of it again and to explain it, without a policy in any file.
func TestAChangeOfPoliciesLeavesTheGroupAlone(t *testing.T) {
	r := newLineRig(t)
	var joins, leaves atomic.Int32
	for key, count := range map[kmsg.Key]*atomic.Int32{kmsg.JoinGroup: &joins, kmsg.LeaveGroup: &leaves} {
		r.fake.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
			r.fake.KeepControl()
			count.Add(1)
			return nil, nil, false
		})
	}
	line, stop := r.start(everySecond("ai/a", 8))
	r.decided("ai/a", time.Time{})
	joinedAt := joins.Load()
	line.set([]pipeline.Policy{everySecond("ai/a", 8), everySecond("ai/b", 8)})
	r.decided("ai/b", time.Time{})
	line.set([]pipeline.Policy{everySecond("ai/a", 4), everySecond("ai/b", 8)})
	r.decided("ai/a", time.Now())
	r.decided("ai/a", time.Now())
	line.set([]pipeline.Policy{everySecond("ai/a", 4)})
	r.decided("ai/a", time.Now())
	if joins.Load() != joinedAt || leaves.Load() != 0 {
		t.Errorf("%d joins of the group and %d leaves while policies changed, want none", joins.Load()-joinedAt, leaves.Load())
	}
	if _, err := r.store.Get("ai/b"); err == nil {
		t.Error("a policy that was removed is answered")
	}
	stop()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"replay", "--check"}, `"violationCount":0`},
		{[]string{"replay"}, `"differ":0,"differInReplicas":0,"notReplayed":0,"otherConfiguration":0`},
		{[]string{"explain", "ai/b", "--at", "0s"}, `"whatIf"`},
	} {
		var out bytes.Buffer
		if err := run(t.Context(), append(tt.args, "-o", "json", "--config", r.file), &out, &out); err != nil || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%v: %v; no %s in:\n%s", tt.args, err, tt.want, out.String())
		}
		var report struct{ Ticks, Derived int }
		if tt.args[len(tt.args)-1] != "--check" {
			continue
		}
		if err := json.Unmarshal(out.Bytes(), &report); err != nil || report.Ticks == 0 || report.Derived != report.Ticks {
			t.Errorf("%d of %d decisions were derived again: %v", report.Derived, report.Ticks, err)
		}
	}
}

// TestANewProcessCountsWhatArrivedWhileNobodyLooked stops a daemon, lets records arrive and starts another.
func TestANewProcessCountsWhatArrivedWhileNobodyLooked(t *testing.T) {
	r := newLineRig(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(r.fake.ListenAddrs()...), kgo.DefaultProduceTopic("work"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	produce := func(n int) {
		t.Helper()
		for range n {
			if err := client.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	produce(3)
	for _, arrived := range []int{0, 7, 4} { // what is there when the first begins has not arrived
		produce(arrived)
		_, stop := r.start(everySecond("ai/a", 8))
		r.decided("ai/a", time.Now())
		stop()
	}
	recorded, err := openRecorded(t.Context(), r.file)
	if err != nil {
		t.Fatal(err)
	}
	defer recorded.close()
	var term uint64
	var firsts []series.Value
	for tick, err := range eventlog.Observations(t.Context(), client, recorded.log, "ai/a", time.Time{}, time.Now()) {
		if err != nil {
			t.Fatal(err)
		}
		if tick.Term != term {
			term = tick.Term
			firsts = append(firsts, tick.Observation.ArrivalRecords)
		} else if tick.Observation.ArrivalRecords != series.Of(0) {
			t.Errorf("tick %d, not the first of term %d: %v arrived, want 0", tick.Seq, term, tick.Observation.ArrivalRecords)
		}
	}
	if want := []series.Value{series.Missing, series.Of(7), series.Of(4)}; !slices.Equal(firsts, want) {
		t.Errorf("arrivals of the first ticks: got %v, want %v", firsts, want)
	}
}
