//go:build integration

package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/feedback/join"
	"github.com/prescale/prescale/feedback/streamtest"
	"github.com/prescale/prescale/feedback/train"
	"github.com/prescale/prescale/hack/await"
	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
)

// TestMain lets the test binary be the trainer itself, so that nothing need be built twice.
func TestMain(m *testing.M) {
	if os.Getenv("FEEDBACK_TEST_RUN_SERVICE") != "" {
		main()
	}
	os.Exit(m.Run())
}

// trainer starts one in a process of its own and returns it with its log.
func trainer(t *testing.T, brokers string) (*exec.Cmd, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	l.Close()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "--brokers", brokers, "--listen", listen, "--instance", "trainer", "--partitions", "3", "--batch-records", "40", "--seed", "7")
	cmd.Env = append(os.Environ(), "FEEDBACK_TEST_RUN_SERVICE=1")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		kill(cmd)
		if t.Failed() {
			t.Logf("trainer:\n%s", log.Bytes()[max(0, log.Len()-3000):])
		}
	})
	return cmd, listen
}

func kill(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		_ = cmd.Process.Kill() // SIGKILL
		_ = cmd.Wait()
	}
}

func ready(listen string) bool {
	response, err := http.Get("http://" + listen + "/readyz")
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// readAll reads the committed records of a topic to its end.
func readAll(t *testing.T, brokers, topic string) []*kgo.Record {
	t.Helper()
	return kafka.ReadCommitted(t, []string{topic}, kgo.SeedBrokers(brokers))
}

// TestAKilledTrainerRepeatsNothingAndLosesNothing kills the trainer with SIGKILL again and again while it joins and learns.
// Afterwards every prediction must be in exactly one example, and the registry must hold, byte for byte, what a trainer that
// was never killed makes of the same log.
func TestAKilledTrainerRepeatsNothingAndLosesNothing(t *testing.T) {
	cluster := kafka.ForTest(t, kafka.Options{})
	brokers := cluster.Bootstrap()[0]
	cmd, listen := trainer(t, brokers)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	await.Until(t, 90*time.Second, "topics", func() bool {
		topics, err := admin.ListTopics(t.Context(), event.TopicPredictions, event.TopicOutcomes, join.TopicExamples, registry.Topic)
		return err == nil && topics.Error() == nil
	})

	sea := streamtest.NewSEA(0.1, rand.New(rand.NewPCG(3, 3)))
	start := time.UnixMilli(1767225600000)
	sent := 0
	var late []*kgo.Record
	produce := func(r *kgo.Record) {
		client.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("produce: %v", err)
			}
		})
	}
	send := func(n int, threshold float64) {
		for range n {
			e := sea.Next(threshold)
			at := start.Add(time.Duration(sent) * 100 * time.Millisecond)
			p := event.Prediction{ID: fmt.Sprintf("r-%d", sent), RequestedAt: at, PredictedAt: at, Model: "default", ModelVersion: 1,
				Features: e.Features, Scores: []float32{0.5, 0.5}}
			o := event.Outcome{ID: p.ID, ObservedAt: at.Add(time.Minute), Class: e.Class}
			sent++
			produce(&kgo.Record{Topic: event.TopicPredictions, Key: []byte(p.ID), Value: p.Append(nil)})
			late = append(late, &kgo.Record{Topic: event.TopicOutcomes, Key: []byte(p.ID), Value: o.Append(nil)})
			if len(late) > 200 {
				produce(late[0])
				late = late[1:]
			}
		}
	}
	const kills = 6
	for round := range kills {
		send(500, streamtest.Wide[round/3])
		await.Until(t, 90*time.Second, "the trainer", func() bool { return ready(listen) })
		time.Sleep(time.Duration(100+200*round) * time.Millisecond) // at another point of its work each time
		kill(cmd)
		cmd, listen = trainer(t, brokers)
	}
	send(1000, streamtest.Wide[1])
	for _, r := range late {
		produce(r)
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for group, topics := range map[string]int{"feedback-join": 2, "feedback-train": 1} {
		kafka.AwaitNoLag(t, client, group, topics)
	}
	kill(cmd)

	examples := readAll(t, brokers, join.TopicExamples)
	seen := map[string]int{}
	for _, r := range examples {
		seen[string(r.Key)]++
	}
	for i := range sent {
		if id := fmt.Sprintf("r-%d", i); seen[id] != 1 {
			t.Errorf("%s is in %d examples", id, seen[id])
		}
	}
	if len(examples) != sent {
		t.Errorf("%d examples of %d predictions", len(examples), sent)
	}
	versions := compareWithReplay(t, readAll(t, brokers, registry.Topic), examples)
	t.Logf("%d predictions, %d kills, %d versions, equal to a replay", sent, kills, versions)
}

// compareWithReplay learns the examples again in this process, in one go, and compares what it publishes.
func compareWithReplay(t *testing.T, published, examples []*kgo.Record) (versions int) {
	t.Helper()
	c := train.DefaultConfig()
	c.Seed = 7
	c.Architecture, _ = model.ParseArchitecture("3-16-16-2")
	learner, err := train.New(c, train.Existing{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	first, err := learner.Start()
	if err != nil {
		t.Fatal(err)
	}
	then, err := learner.Process(examples)
	if err != nil {
		t.Fatal(err)
	}
	want := append(first.Records, then.Records...)
	if len(want) != len(published) {
		t.Errorf("%d records in the registry, a replay makes %d", len(published), len(want))
	}
	for i := range min(len(want), len(published)) {
		if !bytes.Equal(want[i].Key, published[i].Key) || !bytes.Equal(want[i].Value, published[i].Value) {
			t.Errorf("registry record %d: %s, a replay makes %s: %.200s against %.200s", i, published[i].Key, want[i].Key, published[i].Value, want[i].Value)
		}
		if strings.Contains(string(want[i].Key), "/") {
			versions++
		}
	}
	if versions < 3 {
		t.Errorf("only %d versions: nothing was learned", versions)
	}
	return versions
}
