//go:build integration

package e2e

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
)

// traceFile is recorded traffic of a chat service (Azure, CC-BY 4.0; see the notice beside it): 58 minutes.
const traceFile = "../../cmd/internal/trace/data/azure_llm_conv_2023.csv.gz"

// readTrace returns when the trace's requests came, since its start.
func readTrace(t testing.TB) []time.Duration {
	t.Helper()
	f, err := os.Open(traceFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows := csv.NewReader(unzipped)
	if _, err := rows.Read(); err != nil { // the header
		t.Fatal(err)
	}
	var offsets []time.Duration
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return offsets
		}
		if err != nil {
			t.Fatal(err)
		}
		seconds, err := strconv.ParseFloat(row[0], 64)
		if err != nil {
			t.Fatal(err)
		}
		offsets = append(offsets, time.Duration(seconds*float64(time.Second)))
	}
}

// replay writes requests into Kafka as they came in the trace.
type replay struct {
	client *kgo.Client
	sent   atomic.Int64 // requests given to the client: r-0 to r-(sent-1)
	failed atomic.Int64 // of these, those that Kafka refused for good
}

// play replays what came in the trace between two offsets, speed times as fast, until ctx ends.
func (r *replay) play(ctx context.Context, offsets []time.Duration, from, to time.Duration, speed float64) {
	began := time.Now()
	for _, offset := range offsets {
		if offset < from || offset >= to {
			continue
		}
		due := began.Add(time.Duration(float64(offset-from) / speed))
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
		}
		n := r.sent.Add(1) - 1
		id := fmt.Sprintf("r-%d", n)
		request := event.Request{ID: id, RequestedAt: time.Now(), Features: []float32{float32(n % 10), float32(n % 7), 1}}
		r.client.Produce(context.WithoutCancel(ctx), &kgo.Record{Topic: event.TopicRequests, Key: []byte(id), Value: request.Append(nil)}, func(_ *kgo.Record, err error) {
			if err != nil {
				r.failed.Add(1)
			}
		})
	}
}

// publishModel makes a first model champion, as the trainer does later.
func publishModel(t testing.TB, client *kgo.Client) {
	t.Helper()
	weights := model.NewWeights(model.Architecture{Inputs: 3, Hidden: []int{8}, Classes: 2}, rand.New(rand.NewPCG(1, 2)))
	err := client.ProduceSync(t.Context(),
		registry.VersionRecord(registry.Topic, registry.DefaultName, 1, registry.File(weights, registry.Lineage{})),
		registry.ChampionRecord(registry.Topic, registry.DefaultName, registry.Champion{Version: 1, At: time.Now()}),
	).FirstErr()
	if err != nil {
		t.Fatalf("publish the first model: %v", err)
	}
}

// createTopics makes what the test writes before anything else is there to make it.
func createTopics(t testing.TB, client *kgo.Client) {
	t.Helper()
	admin := kadm.NewClient(client)
	compact := "compact"
	for topic, partitions := range map[string]int32{event.TopicRequests: 12, event.TopicPredictions: 12, event.TopicOutcomes: 12, registry.Topic: 1} {
		var config map[string]*string
		if topic == registry.Topic {
			config = map[string]*string{"cleanup.policy": &compact}
		}
		if _, err := admin.CreateTopic(t.Context(), partitions, 1, config, topic); err != nil {
			t.Fatalf("create topic %s: %v", topic, err)
		}
	}
}

// predictions reads every committed prediction and returns how many there are of each request.
func predictions(t testing.TB, bootstrap []string) map[string]int {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap...), kgo.ConsumeTopics(event.TopicPredictions),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	counts := map[string]int{}
	// Quiet for five seconds means read to the end: the topic is not written to any more.
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		fetches := client.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 {
			return counts
		}
		fetches.EachRecord(func(record *kgo.Record) { counts[string(record.Key)]++ })
	}
}

// checkExactlyOnce fails the test unless every request has exactly one prediction.
func checkExactlyOnce(t testing.TB, sent int64, counts map[string]int) {
	t.Helper()
	missing, doubled := 0, 0
	for i := range sent {
		switch n := counts[fmt.Sprintf("r-%d", i)]; {
		case n == 0:
			missing++
		case n > 1:
			doubled++
		}
	}
	if missing > 0 || doubled > 0 || int64(len(counts)) != sent {
		t.Errorf("of %d requests %d have no prediction and %d more than one; %d were predicted in all", sent, missing, doubled, len(counts))
	}
}
