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
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/collector"
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

// TestAChangeOfPoliciesLeavesTheGroupAlone changes the policies of a running daemon as a cluster does: it must stay a member of the
// owners, and what the log then holds must suffice to decide all of it again and to explain it, without a policy in any file.
func TestAChangeOfPoliciesLeavesTheGroupAlone(t *testing.T) {
	fake, err := kfake.NewCluster(kfake.GroupMinSessionTimeout(time.Second), kfake.SeedTopics(2, "work"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	var joins, leaves atomic.Int32
	for key, count := range map[kmsg.Key]*atomic.Int32{kmsg.JoinGroup: &joins, kmsg.LeaveGroup: &leaves} {
		fake.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
			fake.KeepControl()
			count.Add(1)
			return nil, nil, false
		})
	}
	file := filepath.Join(t.TempDir(), "prescale.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
clusters: {main: {brokers: [%s]}}
eventLog: {shards: 2, protocol: classic, heartbeatInterval: 200ms}
metricsAPI: {listen: "127.0.0.1:0"}
http: {listen: "127.0.0.1:0"}
`, strings.Join(fake.ListenAddrs(), ", ")), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	registry, logger := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	clusters, err := openClusters(cfg, registry, logger)
	if err != nil {
		t.Fatal(err)
	}
	defer clusters.close()
	store := readmodel.NewStore(time.Now)
	line := newLine(cfg, clusters, store, registry, logger)
	policy := func(name string, most int) pipeline.Policy {
		sc := scaler.DefaultConfig()
		sc.Policy, sc.MaxReplicas, sc.Interval = name, most, time.Second
		return pipeline.NewPolicy(collector.Target{Policy: name, Cluster: "main", Group: "g", Topics: []string{"work"}}, sc, nil)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- line.run(ctx, []pipeline.Policy{policy("ai/a", 8)}) }()
	// decided waits for a decision of the policy whose tick is at a time or later.
	decided := func(name string, from time.Time) {
		t.Helper()
		watching, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		for {
			if e, err := store.Get(name); err == nil && !e.At.Before(from) {
				return
			}
			select {
			case <-watching.Done():
				_, err := store.Get(name)
				t.Fatalf("%s is not decided within a minute: %v", name, err)
			case err := <-done:
				t.Fatalf("the line ended: %v", err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	decided("ai/a", time.Time{})
	joinedAt := joins.Load()
	line.set([]pipeline.Policy{policy("ai/a", 8), policy("ai/b", 8)})
	decided("ai/b", time.Time{})
	line.set([]pipeline.Policy{policy("ai/a", 4), policy("ai/b", 8)})
	decided("ai/a", time.Now())
	decided("ai/a", time.Now())
	line.set([]pipeline.Policy{policy("ai/a", 4)})
	decided("ai/a", time.Now())
	if joins.Load() != joinedAt || leaves.Load() != 0 {
		t.Errorf("%d joins of the group and %d leaves while policies changed, want none", joins.Load()-joinedAt, leaves.Load())
	}
	if _, err := store.Get("ai/b"); err == nil {
		t.Error("a policy that was removed is answered")
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"replay", "--check"}, `"violationCount":0`},
		{[]string{"replay"}, `"differ":0,"differInReplicas":0,"notReplayed":0,"otherConfiguration":0`},
		{[]string{"explain", "ai/b", "--at", "0s"}, `"whatIf"`},
	} {
		var out bytes.Buffer
		if err := run(t.Context(), append(tt.args, "-o", "json", "--config", file), &out, &out); err != nil || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%v: %v; no %s in:\n%s", tt.args, err, tt.want, out.String())
		}
		var report struct{ Ticks, Derived int }
		if json.Unmarshal(out.Bytes(), &report) == nil && tt.args[len(tt.args)-1] == "--check" && (report.Ticks == 0 || report.Derived != report.Ticks) {
			t.Errorf("%d of %d decisions were derived again", report.Derived, report.Ticks)
		}
	}
}
