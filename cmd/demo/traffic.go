package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/trace"
	"github.com/prescale/prescale/inference/event"
)

// outcomeDelay is the least time after which the world tells what a request's class was; half come within three times that.
const outcomeDelay = 20 * time.Second

// traffic sends the trace's requests as they fall due, and their outcomes later.
type traffic struct {
	clock  trace.Clock
	trace  *trace.Trace
	stream *stream
	client *kgo.Client
	meters []*meter
	seed   uint64
}

// sendRequests produces until the trace or the context ends, and returns once the broker has it all.
func (t *traffic) sendRequests(ctx context.Context) error {
	failed := make(chan error, 1)
	err := trace.Play(ctx, t.clock, t.trace, func(i int, at time.Time, a trace.Arrival) error {
		select {
		case err := <-failed:
			return err
		default:
		}
		for _, m := range t.meters {
			m.arrive(i, at)
		}
		features, _ := t.stream.example(i, a.Offset)
		id := strconv.Itoa(i)
		request := event.Request{ID: id, RequestedAt: t.clock.Wall(at).Round(0), Features: features}
		t.send(ctx, &kgo.Record{Topic: event.TopicRequests, Key: []byte(id), Value: request.Append(nil)}, failed)
		return nil
	})
	if flushErr := t.client.Flush(ctx); err == nil {
		err = flushErr
	}
	return err
}

// sendOutcomes produces until the last outcome is told or the context ends.
func (t *traffic) sendOutcomes(ctx context.Context) error {
	random := rand.New(rand.NewPCG(t.seed, 2))
	type outcome struct{ request, class int }
	late := &trace.Trace{}
	told := map[trace.Arrival][]outcome{}
	for i, a := range t.trace.Arrivals {
		_, class := t.stream.example(i, a.Offset)
		due := trace.Arrival{Offset: a.Offset + outcomeDelay + time.Duration(random.ExpFloat64()*2.9*float64(outcomeDelay))}
		if len(told[due]) == 0 {
			late.Arrivals = append(late.Arrivals, due)
		}
		told[due] = append(told[due], outcome{i, class})
	}
	slices.SortFunc(late.Arrivals, func(a, b trace.Arrival) int { return int(a.Offset - b.Offset) })
	failed := make(chan error, 1)
	return trace.Play(ctx, t.clock, late, func(_ int, at time.Time, a trace.Arrival) error {
		for _, o := range told[a] {
			id := strconv.Itoa(o.request)
			e := event.Outcome{ID: id, ObservedAt: t.clock.Wall(at).Round(0), Class: o.class}
			t.send(ctx, &kgo.Record{Topic: event.TopicOutcomes, Key: []byte(id), Value: e.Append(nil)}, failed)
		}
		select {
		case err := <-failed:
			return err
		default:
			return nil
		}
	})
}

func (t *traffic) send(ctx context.Context, r *kgo.Record, failed chan<- error) {
	t.client.Produce(ctx, r, func(r *kgo.Record, err error) {
		if err != nil && ctx.Err() == nil {
			select {
			case failed <- fmt.Errorf("produce to %s: %w", r.Topic, err):
			default:
			}
		}
	})
}
