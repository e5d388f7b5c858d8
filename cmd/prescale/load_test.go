package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/command"
)

// fake starts a broker with a topic of three partitions.
func fake(t *testing.T, topic string) string {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()[0]
}

func TestLoadSendsEveryRequestOnce(t *testing.T) {
	broker := fake(t, "requests")
	file := filepath.Join(t.TempDir(), "trace.csv")
	var rows strings.Builder
	rows.WriteString("t_s,context_tokens,generated_tokens\n")
	for i := range 300 {
		fmt.Fprintf(&rows, "%g,%d,%d\n", float64(i)/10, i, 2*i)
	}
	if err := os.WriteFile(file, []byte(rows.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), []string{"load", "--brokers", broker, "--topic", "requests", "--trace", file, "--speed", "1000", "-o", "json",
		"--value", "{id} {contextTokens} {generatedTokens}"}, &stdout, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	var result loaded
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		t.Fatal(err)
	}
	if result.Sent != 300 || result.Failed != 0 || result.Left != 0 {
		t.Errorf("got %+v, want 300 sent", result)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics("requests"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seen := map[string]string{}
	for len(seen) < 300 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("only %d records came", len(seen))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if _, again := seen[string(r.Key)]; again {
				t.Errorf("record %s came twice", r.Key)
			}
			seen[string(r.Key)] = string(r.Value)
		})
	}
	if got, want := seen["17"], "17 17 34"; got != want {
		t.Errorf("value of record 17: got %q, want %q", got, want)
	}
}

func TestLoadEndsCleanlyWhenInterrupted(t *testing.T) {
	broker := fake(t, "requests")
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics("requests"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		defer cancel() // as soon as the first of an hour's requests has come
		for ctx.Err() == nil && client.PollFetches(ctx).NumRecords() == 0 {
		}
	}()
	var stdout, stderr bytes.Buffer
	if err := run(ctx, []string{"load", "--brokers", broker, "--topic", "requests", "-o", "json"}, &stdout, &stderr); err != nil {
		t.Fatalf("got error %v, want a clean end", err)
	}
	var result loaded
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		t.Fatal(err)
	}
	if result.Sent+result.Left != 19366 || result.Sent == 0 || result.Left == 0 || result.Failed != 0 {
		t.Errorf("got %+v, want the bundled trace's 19,366 requests in sent and left", result)
	}
}

func TestLoadRefuses(t *testing.T) {
	broker := fake(t, "requests")
	for _, c := range []struct {
		args string
		want []string
		code int
	}{
		{"--brokers " + broker, []string{"--topic: is missing"}, 2},
		{"--topic requests --speed 0 --duration -1s -o xml", []string{"--speed: 0", "--duration: -1s", `--output: "xml"`, "--brokers, --config: want one"}, 2},
		{"--brokers " + broker + " --topic requests --trace missing.csv", []string{"--trace: open missing.csv"}, 2},
		{"--brokers " + broker + " --topic other", []string{`--topic: "other": the cluster has no such topic`}, 2},
		{"--brokers 127.0.0.1:1 --topic requests", []string{"127.0.0.1:1", "connection refused", "check the port, and whether the broker runs"}, 1},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err := run(ctx, append([]string{"load"}, strings.Fields(c.args)...), &bytes.Buffer{}, &bytes.Buffer{})
		cancel()
		if command.ExitCode(err) != c.code {
			t.Errorf("%s: got exit code %d (%v), want %d", c.args, command.ExitCode(err), err, c.code)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want it to say %q", c.args, err, want)
			}
		}
	}
}

// TestABrokerThatIsDownComesWithARemedy: whichever command asks it, and whether it refuses or says nothing.
func TestABrokerThatIsDownComesWithARemedy(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, tt := range []struct{ broker, want string }{
		{"127.0.0.1:1", "nothing listens there: check the port, and whether the broker runs"},
		{listener.Addr().String(), ": a listener that wants TLS or SASL does not answer without"},
	} {
		file := filepath.Join(t.TempDir(), "prescale.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, "clusters: {main: {brokers: [%q]}}\n", tt.broker), 0o600); err != nil {
			t.Fatal(err)
		}
		var asking sync.WaitGroup
		for _, args := range []string{
			"forecast --topic orders --brokers " + tt.broker,
			"backtest --from-kafka " + file + " --name shop/orders",
			"replay --config " + file,
			"load --topic orders --brokers " + tt.broker,
		} {
			asking.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				err := run(ctx, strings.Fields(args), &bytes.Buffer{}, &bytes.Buffer{})
				if err == nil || command.ExitCode(err) != 1 || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: got %v, want it to say %q", args, err, tt.want)
				}
			})
		}
		asking.Wait()
	}
}
