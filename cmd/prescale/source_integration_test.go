//go:build integration

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/hack/kafka"
)

// entry returns the newest entry of a policy as the daemon's own API tells it; nil before the first.
func (d *daemon) entry(policy string) *readmodel.Entry {
	response, err := http.Get("http://" + d.web + "/api/v1/policies/" + namespace + "/" + policy)
	if err != nil {
		return nil // Not serving yet.
	}
	defer response.Body.Close()
	var message readmodel.StatusMessage
	if err := json.NewDecoder(response.Body).Decode(&message); err != nil {
		d.t.Fatal(err)
	}
	return message.Entry
}

// TestServeMeasuresLatency gives the daemon one policy whose latency is in record headers and one whose replica serves a
// histogram, and reads both back through the log on Kafka, from the metrics API.
func TestServeMeasuresLatency(t *testing.T) {
	cluster := kafka.ForTest(t, kafka.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Bootstrap()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, serveTopic); err != nil {
		t.Fatal(err)
	}
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 2, 1, nil, "answers"); err != nil {
		t.Fatal(err)
	}
	// Every answer comes 400 ms after its request.
	produced := make(chan struct{})
	go func() {
		defer close(produced)
		for ticker := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				return
			case now := <-ticker.C:
				client.Produce(ctx, &kgo.Record{Topic: "answers", Timestamp: now, Value: []byte("x"), Headers: []kgo.RecordHeader{
					{Key: "requested-at-ms", Value: strconv.AppendInt(nil, now.Add(-400*time.Millisecond).UnixMilli(), 10)},
				}}, nil)
			}
		}
	}()
	defer func() { cancel(); <-produced }()
	// The replica answers ten requests a second, each within 100 to 200 ms, and works half of the time.
	began := time.Now()
	replica := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		seconds := time.Since(began).Seconds()
		n := int(10 * seconds)
		fmt.Fprintf(w, "# TYPE busy_seconds_total counter\nbusy_seconds_total %f\n# TYPE answer_seconds histogram\n", seconds/2)
		fmt.Fprintf(w, "answer_seconds_bucket{le=\"0.1\"} 0\nanswer_seconds_bucket{le=\"0.2\"} %d\nanswer_seconds_bucket{le=\"+Inf\"} %d\nanswer_seconds_count %d\nanswer_seconds_sum 1\n", n, n, n)
	}))
	defer replica.Close()

	policy := func(name, sources string) string {
		return strings.Replace(policyYAML(name, "first"), "objective: {lagSeconds: 30}",
			"objective: {lagSeconds: 30, latencySeconds: 1}\n    sources: "+sources, 1)
	}
	d := startDaemonWith(t, cluster.Bootstrap(), "kafka",
		policy("a", "{headers: {topic: answers, header: requested-at-ms}}")+
			policy("b", fmt.Sprintf("{latencyQuantile: 0.5, prometheus: {urls: [%q], latencyHistogram: answer_seconds, busyCounter: busy_seconds_total}}", replica.URL))+
			policy("c", "{headers: {topic: nowhere, header: requested-at-ms}}"))
	within := func(low, high float64) func(answer) bool {
		return func(a answer) bool { return low <= a.value && a.value <= high }
	}
	// Bins are 4.4 % wide; the histogram's quantile is interpolated in its one filled bucket.
	d.wantValue("prescale_inference_latency_seconds", "a", within(0.38, 0.42))
	d.wantValue("prescale_inference_latency_seconds", "b", within(0.149, 0.151))
	eventually(t, "busy ratio of b", func() (bool, string) {
		e := d.entry("b")
		if e == nil {
			return false, "no entry"
		}
		x, known := e.Observation.BusyRatio.Get()
		return known && 0.3 < x && x < 0.7 && e.LatencyQuantile == 0.5, fmt.Sprint(e.Observation.BusyRatio)
	})
	eventually(t, "why c has no latency", func() (bool, string) {
		e := d.entry("c")
		if e == nil {
			return false, "no entry"
		}
		said := strings.Join(e.Observation.Problems, "; ")
		return !e.Observation.LatencySeconds.Known() && strings.Contains(said, "topic nowhere: UNKNOWN_TOPIC_OR_PARTITION"), said
	})
}

// TestServeTimesStartUpsByTheGroup lets a consumer join late: without an orchestrator a member is a replica that starts until
// it commits, and one that works from then on.
func TestServeTimesStartUpsByTheGroup(t *testing.T) {
	cluster := kafka.ForTest(t, kafka.Options{})
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Bootstrap()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, serveTopic); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: serveTopic, Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, cluster.Bootstrap(), policyYAML("a", "first"))
	replicas := func(ready, starting float64) {
		t.Helper()
		eventually(t, fmt.Sprintf("%v replicas ready, %v starting", ready, starting), func() (bool, string) {
			e := d.entry("a")
			if e == nil {
				return false, "no entry"
			}
			o := e.Observation
			return o.ReadyReplicas.NaN() == ready && o.StartingReplicas.NaN() == starting,
				fmt.Sprintf("%v ready, %v starting", o.ReadyReplicas, o.StartingReplicas)
		})
	}
	replicas(0, 0)
	member, err := kgo.NewClient(kgo.SeedBrokers(cluster.Bootstrap()...), kgo.ConsumerGroup("first"), kgo.ConsumeTopics(serveTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	fetches := member.PollFetches(t.Context())
	replicas(0, 1)
	if err := member.CommitRecords(t.Context(), fetches.Records()...); err != nil {
		t.Fatal(err)
	}
	replicas(1, 0)
}
