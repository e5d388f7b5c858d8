package main

import (
	"log/slog"
	"sync"
	"testing"

	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/cmd/internal/kafkaclient"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// TestPoliciesThatComeJustInTimeStay: the wait for the cluster's policies may be over while they are being taken.
func TestPoliciesThatComeJustInTimeStay(t *testing.T) {
	policy, err := v1alpha1.Parse([]byte("metadata: {name: p, namespace: ns}\nspec: {kafka: {group: g}, objective: {lagSeconds: 3}, replicas: {max: 4}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Clusters = map[string]kafkaclient.Config{"main": {Brokers: []string{"kafka:9092"}}}
	for range 2000 {
		k := &inKubernetes{cfg: cfg, line: &line{changes: make(chan []pipeline.Policy, 1)}, logger: slog.New(slog.DiscardHandler)}
		var both sync.WaitGroup
		both.Go(func() { k.withoutCRD(t.Context()) })
		both.Go(func() { k.apply(t.Context(), []*v1alpha1.ScalePolicy{policy}) })
		both.Wait()
		if got := <-k.line.changes; len(got) != 1 {
			t.Fatalf("got %d policies, want the cluster's one", len(got))
		}
	}
}
