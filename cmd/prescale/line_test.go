package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
