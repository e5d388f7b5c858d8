package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/metrics/collector/kafka"
	"github.com/prescale/prescale/metrics/series"
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

// lag runs the command; what it writes on standard error while it runs fails the test.
func lag(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	err := run(context.Background(), append([]string{"lag"}, args...), &out, &errs)
	if errs.Len() > 0 {
		t.Errorf("on standard error: %s", &errs)
	}
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

// twoClusters is a configuration file of a cluster that answers and, before it, one that does not.
func twoClusters(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "prescale.yaml")
	content := fmt.Sprintf("clusters: {down: {brokers: ['127.0.0.1:1']}, main: {brokers: ['%s']}}\n", lagCluster(t))
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLagWithAClusterDown shows the others, names the one with its reason, and fails.
func TestLagWithAClusterDown(t *testing.T) {
	text, err := lag(t, "--config", twoClusters(t), "--interval", "100ms", "-o", "json")
	if code := command.ExitCode(err); code != 1 {
		t.Errorf("exit code: got %d, want 1", code)
	}
	for _, part := range []string{"cluster down", "127.0.0.1:1", "nothing listens there"} {
		if got := fmt.Sprint(err); strings.Count(got, part) != 1 {
			t.Errorf("got %q, want it to say %q once", got, part)
		}
	}
	var report []struct {
		Cluster                             string
		LagRecords, ArrivalRecordsPerSecond float64
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if len(report) != 1 || report[0].Cluster != "main" || report[0].LagRecords != 60 {
		t.Errorf("got %+v, want the group of the cluster that is up", report)
	}
}

// TestLagWithoutALeader: groups that no broker can list are told of, whether or not others are.
func TestLagWithoutALeader(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(50, "__consumer_offsets"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cluster.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "__consumer_offsets", Partitions: []int32{3}, Err: kerr.LeaderNotAvailable, Count: -1},
		kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Group: "g", Err: kerr.CoordinatorNotAvailable, Count: -1},
	)
	for _, tt := range []struct {
		args []string
		out  string // of standard output
		says string // "" where nothing is wrong
	}{
		{nil, "no groups are known\n", "1 of 50 partitions of __consumer_offsets have no leader"},
		{[]string{"-o", "json"}, "[]\n", "1 of 50 partitions of __consumer_offsets have no leader"},
		{[]string{"--group", "g", "-o", "json"}, `"lagRecords": null`, "groups kept there, g among them"},
		{[]string{"--group", "g"}, "partition 3 of __consumer_offsets, where it is kept, has no leader", "groups kept there, g among them"},
		{[]string{"--group", "h"}, "no groups\n", ""},
	} {
		text, err := lag(t, append([]string{"--brokers", cluster.ListenAddrs()[0], "--interval", "100ms"}, tt.args...)...)
		if want := min(len(tt.says), 1); command.ExitCode(err) != want || !strings.Contains(fmt.Sprint(err), tt.says) && err != nil {
			t.Errorf("%q: exit code %d, %v; want %d and %q", tt.args, command.ExitCode(err), err, want, tt.says)
		}
		if !strings.Contains(text, tt.out) {
			t.Errorf("%q: got %s, want %q in it", tt.args, text, tt.out)
		}
	}
}

// cancelAfter ends a watch at its second picture.
type cancelAfter struct {
	bytes.Buffer
	cancel context.CancelFunc
}

func (w *cancelAfter) Write(b []byte) (int, error) {
	n, err := w.Buffer.Write(b)
	if bytes.Count(w.Bytes(), []byte("\n")) == 2 {
		w.cancel()
	}
	return n, err
}

// TestLagWatchesOnWithAClusterDown names it with each picture.
func TestLagWatchesOnWithAClusterDown(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := cancelAfter{cancel: cancel}
	var errs bytes.Buffer
	if err := run(ctx, []string{"lag", "--config", twoClusters(t), "--interval", "100ms", "-o", "json", "--watch"}, &out, &errs); err != nil {
		t.Errorf("got %v, want nil after a watch that was ended", err)
	}
	if got := strings.Count(errs.String(), "cluster down"); got != 2 {
		t.Errorf("the cluster is named %d times for 2 pictures: %s", got, &errs)
	}
	if got := strings.Count(out.String(), `"cluster":"main"`); got != 2 {
		t.Errorf("got %d pictures, want 2: %s", got, &out)
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

// Where the groups are of several clusters, the table says of which.
func TestLagTableNamesClustersWhereThereAreSeveral(t *testing.T) {
	for _, tt := range []struct {
		clusters []string
		told     bool
	}{
		{[]string{"east"}, false},
		{[]string{"east", "east"}, false},
		{[]string{"east", "west"}, true},
	} {
		var report []kafka.GroupLag
		for _, cluster := range tt.clusters {
			report = append(report, kafka.GroupLag{Cluster: cluster, Group: "g"})
		}
		var out strings.Builder
		if err := lagTable(&out, report); err != nil {
			t.Fatal(err)
		}
		if told := strings.Contains(out.String(), "CLUSTER") && strings.Contains(out.String(), "east"); told != tt.told {
			t.Errorf("%v: got\n%s", tt.clusters, out.String())
		}
	}
}

// A rough age carries its bound; one that is well known does not.
func TestBehindShowsWhatIsRough(t *testing.T) {
	for _, tt := range []struct {
		seconds, bound series.Value
		want           string
	}{
		{series.Missing, series.Missing, "?"},
		{series.Of(0), series.Of(0), "0.0s"},
		{series.Of(0.4), series.Of(0.9), "0.4s"},
		{series.Of(7.5), series.Of(7.5), "7.5s±7.5s"},
		{series.Of(300), series.Of(40), "5m0s"},
		{series.Of(300), series.Of(80), "5m0s±1m20s"},
	} {
		if got := behind(tt.seconds, tt.bound); got != tt.want {
			t.Errorf("%v ± %v: got %s, want %s", tt.seconds, tt.bound, got, tt.want)
		}
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

// TestOwnersOfALogAreNotBehind: the group by which daemons share the log's shards commits nothing, and stands last without a reproach.
func TestOwnersOfALogAreNotBehind(t *testing.T) {
	never := []kafka.PartitionLag{{State: kafka.StateNeverCommitted}}
	var out bytes.Buffer
	err := lagTable(&out, []kafka.GroupLag{
		{Group: "prescale.owners", Topic: "prescale.observations", LagRecords: series.Of(900), LagSeconds: series.Of(900), Members: series.Of(1), ConsumedRecordsPerSecond: series.Of(0), ArrivalRecordsPerSecond: series.Of(1), Partitions: never},
		{Group: "shop.owners", Topic: "orders", LagRecords: series.Of(3), LagSeconds: series.Of(1), Partitions: never},
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if !strings.Contains(lines[1], "shop.owners") || !strings.Contains(lines[2], "prescale serve, never commits") || strings.Contains(out.String(), "prescale.owners prescale.observations:") || !strings.Contains(out.String(), "shop.owners orders: 1 of 1") {
		t.Errorf("got\n%s", out.String())
	}
}

func TestThePartitionThatStandsOutIsNamed(t *testing.T) {
	at := func(seconds ...float64) []kafka.PartitionLag {
		var out []kafka.PartitionLag
		for i, x := range seconds {
			p := kafka.PartitionLag{Partition: int32(i), Committed: series.OfInt(100 + i), Owner: "consumer-7"}
			if x >= 0 {
				p.LagSeconds = series.Of(x)
			}
			out = append(out, p)
		}
		return out
	}
	free := at(1, 600)
	free[1].Owner = ""
	for _, tt := range []struct {
		partitions []kafka.PartitionLag
		want       string
	}{
		{at(0, 1, 749, 2), "partition 2 is 12m29s behind, half of them at most 1.0s: it waits from offset 102 on, for consumer-7"},
		{at(-1, 200, 749, 200), "partition 2 is 12m29s behind, half of them at most 3m20s: it waits from offset 102 on, for consumer-7"},
		{free, "partition 1 is 10m0s behind, half of them at most 1.0s: it waits from offset 101 on, for nobody"},
		{at(400, 749, 500), ""},
		{at(0, 9, 0), ""},
		{at(749), ""}, // the group's own line says it
		{at(-1, 749), ""},
		{nil, ""},
	} {
		if got := standsOut(tt.partitions); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.partitions, got, tt.want)
		}
	}
	var out bytes.Buffer
	if err := lagTable(&out, []kafka.GroupLag{{Group: "g", Topic: "orders", Partitions: at(0, 1, 749)}}); err != nil || !strings.Contains(out.String(), "\n  g orders: partition 2 is 12m29s behind") {
		t.Errorf("%v, got\n%s", err, out.String())
	}
}

func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		lag, arrival, consumed, members series.Value
		want                            string
	}{
		{series.Missing, series.Of(1), series.Of(1), series.Of(1), "unknown"},
		{series.Of(0), series.Of(0), series.Of(0), series.Of(1), "idle"},
		{series.Of(0), series.Of(5), series.Of(5), series.Of(1), "caught up"},
		{series.Of(9), series.Missing, series.Of(5), series.Of(1), "unknown"},
		{series.Of(9), series.Of(5), series.Of(0), series.Of(0), "nobody consumes"},
		{series.Of(9), series.Of(5), series.Of(0), series.Of(1), "not committing"},
		{series.Of(90), series.Of(5), series.Of(8), series.Of(1), "caught up in 30s"},
		{series.Of(10), series.Of(5), series.Of(6), series.Of(1), "keeping up"},
		{series.Of(10), series.Of(5), series.Of(5), series.Of(1), "keeping up"}, // the records of two seconds
		{series.Of(11), series.Of(5), series.Of(5), series.Of(1), "falling behind"},
	} {
		g := kafka.GroupLag{LagRecords: tt.lag, ArrivalRecordsPerSecond: tt.arrival, ConsumedRecordsPerSecond: tt.consumed, Members: tt.members}
		if got := verdict(&g); got != tt.want {
			t.Errorf("lag %v, arriving %v, consumed %v, members %v: got %q, want %q", tt.lag, tt.arrival, tt.consumed, tt.members, got, tt.want)
		}
	}
}
