package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/eventlog"
)

// openedLog is the event log as the daemon uses it: the owner of shards on the write side, the follower on the read side.
type openedLog struct {
	owner pipeline.Log
	// writer is the owner where the log is in Kafka.
	writer    *eventlog.Owner
	shards    int
	follower  *eventlog.Follower
	publisher *pipeline.Publisher
	store     *readmodel.Store

	mu       sync.Mutex
	policies []pipeline.Policy
}

// openLog makes the log that the configuration names. Nothing is asked of Kafka yet.
func openLog(cfg config.Config, store *readmodel.Store, registry prometheus.Registerer, logger *slog.Logger) (*openedLog, error) {
	lc, cluster := cfg.EventLogConfig()
	l := &openedLog{shards: lc.Shards, publisher: pipeline.NewPublisher(store), store: store}
	if cfg.Log == config.LogMemory {
		memory, err := eventlog.NewMemory(lc, l.publisher.Publish)
		l.owner = memory
		return l, err
	}
	opts := cfg.Clusters[cluster].Options()
	owner, err := eventlog.NewOwner(lc, opts, logger, registry)
	if err != nil {
		return nil, fmt.Errorf("open the event log on cluster %s: %w", cluster, err)
	}
	l.owner, l.writer = owner, owner
	if l.follower, err = eventlog.NewFollower(lc, opts, l.publisher.Publish, logger, registry); err != nil {
		return nil, fmt.Errorf("open the event log on cluster %s: %w", cluster, err)
	}
	return l, nil
}

// setPolicies says whose decisions go into the store.
func (l *openedLog) setPolicies(policies []pipeline.Policy) {
	l.publisher.SetPolicies(policies)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.policies = policies
}

// follow puts the decisions of all owners into the store until the context ends, and tells the store why, where a shard
// cannot be followed.
func (l *openedLog) follow(ctx context.Context) error {
	if l.follower == nil {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.follower.Run(ctx) })
	g.Go(func() error {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case now := <-ticker.C:
				l.explain(now)
			}
		}
	})
	return g.Wait()
}

// explain gives the store the cause, for each policy whose shard is not followed to its end, or cannot be written by this process, which
// owns it. The age limit alone keeps old answers from being served; this says why they are old.
func (l *openedLog) explain(now time.Time) {
	l.mu.Lock()
	policies := l.policies
	l.mu.Unlock()
	for _, p := range policies {
		err := l.follower.Current(p.Name(), now, p.Scaler.Interval)
		if err == nil {
			err = l.writer.Failing(p.Name())
		}
		if err != nil {
			l.store.Fail(p.Name(), err)
		}
	}
}
