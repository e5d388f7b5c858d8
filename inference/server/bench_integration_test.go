//go:build integration

package server

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
)

// BenchmarkReplicaOnARealBroker lets one replica work off requests that are all there.
func BenchmarkReplicaOnARealBroker(b *testing.B) {
	const requests = 40_000
	cluster := kafka.ForTest(b, kafka.Options{})
	m, err := model.Load("m", registry.File(weights(1), registry.Lineage{}))
	if err != nil {
		b.Fatal(err)
	}
	opts := []kgo.Opt{kgo.SeedBrokers(cluster.Bootstrap()...)}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	created, err := kadm.NewClient(client).CreateTopics(b.Context(), partitions, -1, nil, event.TopicRequests, event.TopicPredictions, event.TopicDeadLetters)
	if err == nil {
		err = created.Error()
	}
	if err != nil {
		b.Fatal(err)
	}
	for i := range requests {
		id := fmt.Sprintf("r-%d", i)
		value := event.Request{ID: id, RequestedAt: time.Now(), Features: []float32{1.25, 7.5, 3.375}}.Append(nil)
		client.Produce(b.Context(), &kgo.Record{Topic: event.TopicRequests, Key: []byte(id), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
	if err := client.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{512, 4096} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			for i := range b.N {
				c := DefaultConfig()
				c.Batch.Instance = "bench"
				c.Batch.Group = fmt.Sprintf("bench-%d-%d-%d", size, b.N, i)
				c.Batch.BatchRecords = size
				c.Entry = &registry.Entry{Name: "default", Version: 1, Model: m}
				s, err := New(c, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), opts...)
				if err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(b.Context())
				done := make(chan error, 1)
				go func() { done <- s.Run(ctx) }()
				for s.loop.Status().Answered == 0 { // joining the group is not what is measured
					time.Sleep(time.Millisecond)
				}
				first, started := s.loop.Status().Answered, time.Now()
				for s.loop.Status().Answered < requests {
					time.Sleep(time.Millisecond)
				}
				b.ReportMetric(float64(requests-first)/time.Since(started).Seconds(), "requests/s")
				cancel()
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
