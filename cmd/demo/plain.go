package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/trace"
	"github.com/prescale/prescale/inference/event"
)

// plainGroup is the consumer group that the plain HPA scales.
const plainGroup = "plain-hpa"

// batchRecords is how many records a replica takes at once, on both sides.
const batchRecords = 8

// plainReplica returns replicas of the side that is compared with: they read the same topic in a group of their own and work
// as long on each record as an inference replica, but have no model and answer nothing.
func plainReplica(opts func(id string) []kgo.Opt, clock trace.Clock, service time.Duration, m *meter) replica {
	return func(ctx context.Context, id int, ready func()) error {
		name := fmt.Sprintf("%s-%d", plainGroup, id)
		client, err := kgo.NewClient(append(append(opts(name), memberOpts()...),
			kgo.ConsumerGroup(plainGroup),
			kgo.ConsumeTopics(event.TopicRequests),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.DisableAutoCommit(),
			kgo.BlockRebalanceOnPoll(),
			kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { ready() }),
		)...)
		if err != nil {
			return err
		}
		defer client.CloseAllowingRebalance()
		for {
			fetches := client.PollRecords(ctx, batchRecords)
			if ctx.Err() != nil {
				return nil
			}
			if records := fetches.Records(); len(records) > 0 {
				// A batch that has begun is finished, as a pod does within its grace period.
				work := clock.WallSpan(time.Duration(len(records)) * service)
				time.Sleep(work)
				m.work(work)
				if client.CommitRecords(context.WithoutCancel(ctx), records...) == nil {
					answered(m, records, clock.At(time.Now()))
				}
			}
			client.AllowRebalance()
		}
	}
}

// answered tells the meter which requests are done with; their keys are their numbers.
func answered(m *meter, requests []*kgo.Record, now time.Time) {
	for _, r := range requests {
		if i, err := strconv.Atoi(string(r.Key)); err == nil {
			m.answer(i, now)
		}
	}
}
