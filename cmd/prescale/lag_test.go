package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/command"
)

// lagCluster is an in-memory Kafka with a group that is 60 records behind on one partition of two and has never
// committed on the other, and a group of which nothing is known.
func lagCluster(t *testing.T) string {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "requests"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range 100 {
		client.Produce(t.Context(), &kgo.Record{Topic: "requests", Value: fmt.Append(nil, i)}, nil)
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset("requests", 0, 40, -1)
	if err := kadm.NewClient(client).CommitAllOffsets(t.Context(), "inference", offsets); err != nil {
		t.Fatal(err)
	}
	return cluster.ListenAddrs()[0]
}

func lag(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	err := run(context.Background(), append([]string{"lag"}, args...), &out, &errs)
	return out.String(), err
}

// TestLagJSON holds the shape that scripts read: every key is there, and what is not known is null with a reason.
func TestLagJSON(t *testing.T) {
	address := lagCluster(t)
	text, err := lag(t, "--brokers", address, "--interval", "100ms", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var report []map[string]any
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if len(report) != 1 {
		t.Fatalf("got %d entries, want 1: %s", len(report), text)
	}
	for _, key := range []string{"cluster", "group", "type", "state", "topic", "lagRecords", "lagSeconds",
		"arrivalRecordsPerSecond", "consumedRecordsPerSecond", "partitions"} {
		if _, ok := report[0][key]; !ok {
			t.Errorf("key %s is missing", key)
		}
	}
	if got := report[0]["lagRecords"]; got != 60.0 {
		t.Errorf("lagRecords: got %v, want 60", got)
	}
	partitions := report[0]["partitions"].([]any)
	second := partitions[1].(map[string]any)
	for _, key := range []string{"partition", "committed", "start", "end", "lagRecords", "lagSeconds", "state"} {
		if _, ok := second[key]; !ok {
			t.Errorf("key partitions[1].%s is missing", key)
		}
	}
	if second["committed"] != nil || second["state"] != "never-committed" {
		t.Errorf("a partition that was never committed: got %v", second)
	}
	for i, p := range partitions {
		p := p.(map[string]any)
		if (p["lagRecords"] == nil || p["lagSeconds"] == nil) && p["reason"] == nil {
			t.Errorf("partition %d: a null without a reason: %v", i, p)
		}
	}
}

func TestLagTable(t *testing.T) {
	address := lagCluster(t)
	text, err := lag(t, "--brokers", address, "--interval", "100ms")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"GROUP", "inference", "classic", "requests", " 60 ", "never-committed"} {
		if !strings.Contains(text, part) {
			t.Errorf("the table does not say %q:\n%s", part, text)
		}
	}
	none, err := lag(t, "--brokers", address, "--interval", "100ms", "--group", "feed.*")
	if err != nil || !strings.Contains(none, "no groups") {
		t.Errorf("groups that do not match: got %q, %v", none, err)
	}
	some, err := lag(t, "--brokers", address, "--interval", "100ms", "--group", "inf.*")
	if err != nil || !strings.Contains(some, "inference") {
		t.Errorf("groups that match: got %q, %v", some, err)
	}
}

func TestLagRefuses(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "--brokers"},
		{[]string{"--brokers", "kafka"}, 2, "brokers[0]"},
		{[]string{"--brokers", "kafka:9092", "-o", "xml"}, 2, "--output"},
		{[]string{"--brokers", "kafka:9092", "--group", "("}, 2, "--group"},
		{[]string{"--brokers", "kafka:9092", "--reset", "middle"}, 2, "--reset"},
		{[]string{"--brokers", "127.0.0.1:1"}, 1, "127.0.0.1:1"},
	} {
		_, err := lag(t, tt.args...)
		if got := command.ExitCode(err); got != tt.code || !strings.Contains(fmt.Sprint(err), tt.says) {
			t.Errorf("%s: got code %d, %v; want %d and %q", slices.Concat(tt.args), got, err, tt.code, tt.says)
		}
	}
}
