//go:build integration

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/hack/kafka"
)

// scrape returns what the daemon tells Prometheus.
func (d *daemon) scrape() string {
	response, err := http.Get("http://" + d.web + "/metrics")
	if err != nil {
		return "" // Not serving yet.
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

// TestServeImportsHistories gives one new policy the timestamps of its topic and another a file that is not there. The first
// forecasts from its first ticks on, the second decides without and says why. A daemon after it reads no history, and the replay
// derives every decision again.
func TestServeImportsHistories(t *testing.T) {
	cluster := kafka.ForTest(t, kafka.Options{})
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Bootstrap()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(t.Context(), 2, 1, nil, serveTopic); err != nil {
		t.Fatal(err)
	}
	// Ten records a second for ten minutes.
	now := time.Now().Truncate(time.Second)
	for i := range 6000 {
		client.Produce(t.Context(), &kgo.Record{Topic: serveTopic, Timestamp: now.Add(-10*time.Minute + time.Duration(i)*100*time.Millisecond), Value: []byte("x")}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	with := func(policy, history string) string {
		return strings.Replace(policy, "    objective:", "    history: "+history+"\n    objective:", 1)
	}
	missing := filepath.Join(t.TempDir(), "past.csv")
	policies := with(policyYAML("a", "first"), "{topic: true, span: 30m}") + with(policyYAML("b", "first"), fmt.Sprintf("{file: {path: %s}}", missing))

	// A consumer keeps up with ten more a second.
	ctx, cancel := context.WithCancel(t.Context())
	consumer, err := kgo.NewClient(kgo.SeedBrokers(cluster.Bootstrap()...), kgo.ConsumerGroup("first"), kgo.ConsumeTopics(serveTopic), kgo.AutoCommitInterval(200*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	var live sync.WaitGroup
	live.Go(func() {
		for ctx.Err() == nil {
			consumer.PollFetches(ctx)
		}
		consumer.Close()
	})
	live.Go(func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-ticker.C:
				client.Produce(ctx, &kgo.Record{Topic: serveTopic, Timestamp: now, Value: []byte("x")}, nil)
			}
		}
	})
	defer func() { cancel(); live.Wait() }()

	first := startDaemonWith(t, cluster.Bootstrap(), "kafka", policies)
	const imported = `prescale_history_samples{namespace="ai",policy="a"} `
	samples := func(d *daemon) string {
		for line := range strings.Lines(d.scrape()) {
			if strings.HasPrefix(line, imported) {
				return strings.TrimSpace(strings.TrimPrefix(line, imported))
			}
		}
		return ""
	}
	var of string
	eventually(t, "the history of a", func() (bool, string) {
		of = samples(first)
		return of != "" && of != "0", of
	})
	// The topic begins in the middle of the span: what was before is no zero.
	if n, err := strconv.Atoi(of); err != nil || n < 600 || n >= 1800 {
		t.Errorf("%s samples were imported; want those since ten minutes before the records were made, and none of the 20 minutes before", of)
	}
	eventually(t, "a forecast of a", func() (bool, string) {
		e := first.entry("a")
		if e == nil || len(e.Decision.ArrivalForecast) == 0 {
			return false, "no forecast"
		}
		top := e.Decision.ArrivalForecast[len(e.Decision.ArrivalForecast)-1].Value
		return top >= 5 && top < 100, fmt.Sprint(e.Decision.ArrivalForecast)
	})
	eventually(t, "why b has none", func() (bool, string) {
		e := first.entry("b")
		if e == nil {
			return false, "no entry"
		}
		said := strings.Join(e.Observation.Problems, "; ")
		return strings.Contains(said, "no history imported: history.file: open "+missing+": no such file or directory; tried again at "), said
	})
	if text := first.scrape(); !strings.Contains(text, `prescale_history_imports_total{outcome="imported",policy="ai/a"} 1`) || !strings.Contains(text, `prescale_history_imports_total{outcome="failed",policy="ai/b"}`) {
		t.Errorf("the metrics do not tell the outcomes:\n%s", text)
	}
	first.stop()

	// The file comes between the two.
	if err := os.WriteFile(missing, fmt.Appendf(nil, "time,records\n%s,600\n%s,600\n", now.Add(-time.Hour).UTC().Format(time.RFC3339), now.Add(-59*time.Minute).UTC().Format(time.RFC3339)), 0o600); err != nil {
		t.Fatal(err)
	}
	second := startDaemonWith(t, cluster.Bootstrap(), "kafka", policies)
	eventually(t, "the history of a after a take-over", func() (bool, string) {
		got := samples(second)
		return got == of, got + ", was " + of
	})
	eventually(t, "the history of b", func() (bool, string) {
		e := second.entry("b")
		return e != nil && e.Decision.HistorySamples == 120 && !strings.Contains(fmt.Sprint(e.Observation.Problems), "history"), fmt.Sprintf("%+v", e)
	})
	if strings.Contains(second.scrape(), `prescale_history_imports_total{outcome="imported",policy="ai/a"}`) {
		t.Error("the history of a was read twice")
	}
	second.stop()

	var out bytes.Buffer
	if err := run(t.Context(), []string{"replay", "--check", "--config", second.config}, &out, &out); err != nil {
		t.Errorf("replay --check: %v", err)
	}
	t.Log(out.String())
}
