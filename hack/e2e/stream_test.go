//go:build integration

package e2e

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// stream is a topic with a consumer group of its name whose members are played: records come and commits follow at set rates,
// so that a policy has something to decide on without any pod that consumes.
type stream struct {
	name       string
	partitions int32
	// rates returns how many records come to a partition a second, and how many its consumer can take; second counts from the
	// start.
	rates func(second int, partition int32) (arrive, consume int64)
}

// play makes the topic and the group, and plays until the returned stop. A second in which Kafka does not answer is made up for
// when it does.
func (s stream) play(t testing.TB, bootstrap []string) (stop func()) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(-1))
	if err != nil {
		t.Fatal(err)
	}
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(t.Context(), s.partitions, 1, nil, s.name); err != nil {
		t.Fatal(err)
	}
	at, end := make([]int64, s.partitions), make([]int64, s.partitions)
	commit := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		offsets := kadm.Offsets{}
		for p := range s.partitions {
			offsets.AddOffset(s.name, p, at[p], -1)
		}
		return admin.CommitAllOffsets(ctx, s.name, offsets)
	}
	eventually(t, "the first commits of group "+s.name, func() error { return commit(t.Context()) })
	ctx, cancel := context.WithCancel(context.Background())
	var playing sync.WaitGroup
	playing.Go(func() {
		defer client.Close()
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for second := 0; ; second++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			for p := range s.partitions {
				arrive, consume := s.rates(second, p)
				for range arrive {
					client.Produce(ctx, &kgo.Record{Topic: s.name, Partition: p, Value: []byte("x")}, nil)
				}
				end[p] += arrive
				at[p] = min(at[p]+consume, end[p])
			}
			if client.Flush(ctx) == nil {
				_ = commit(ctx) // the next one says all that this one would have
			}
		}
	})
	return sync.OnceFunc(func() { cancel(); playing.Wait() })
}
