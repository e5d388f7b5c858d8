package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/trace"
	"github.com/prescale/prescale/inference/event"
)

// probe watches the workloads from outside, as a client would: it reads the committed predictions and the outcomes.
type probe struct {
	opts     []kgo.Opt
	clock    trace.Clock
	service  time.Duration
	meter    *meter
	accuracy *accuracy
	// swapped is told when a new version's first prediction is seen.
	swapped func(at time.Time, version int64)
	logger  *slog.Logger
}

// Run reads until the context ends, and then returns nil.
func (p *probe) Run(ctx context.Context) error {
	client, err := kgo.NewClient(append(p.opts,
		kgo.ConsumeTopics(event.TopicPredictions, event.TopicOutcomes),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond),
	)...)
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		now := p.clock.At(time.Now())
		fetches.EachRecord(func(r *kgo.Record) {
			if err := p.take(r, now); err != nil {
				p.logger.Error("an event cannot be read", "topic", r.Topic, "offset", r.Offset, "error", err)
			}
		})
	}
}

func (p *probe) take(r *kgo.Record, now time.Time) error {
	if r.Topic == event.TopicOutcomes {
		o, err := event.DecodeOutcome(r.Value)
		if err == nil {
			p.accuracy.observe(o)
		}
		return err
	}
	i, err := strconv.Atoi(string(r.Key))
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	p.meter.answer(i, now)
	p.meter.work(p.clock.WallSpan(p.service))
	prediction, err := event.DecodePrediction(r.Value)
	if err == nil && p.accuracy.predict(prediction) {
		p.swapped(now, prediction.ModelVersion)
	}
	return err
}
