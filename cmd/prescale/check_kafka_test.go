package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/prescale/prescale/cmd/internal/command"
)

func TestCheckConnects(t *testing.T) {
	fake, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(2, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer fake.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	at := kadm.Offsets{}
	at.AddOffset("orders", 0, 0, -1)
	at.AddOffset("orders", 1, 0, -1)
	if err := adm.CommitAllOffsets(t.Context(), "workers", at); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, policy, rest string
		code               int
		want               []string
	}{
		{"all is well", "kafka: {group: workers, topics: [orders]}", "", 0, []string{"CLUSTER  FOUND\nmain     ok\n"}},
		{"a group that is not there", "kafka: {group: nobody, topics: [orders]}", "", 1, []string{"main     policy shop/orders: group nobody is not on cluster main", "; start the group's consumers"}},
		{"a topic that is not there", "kafka: {group: workers, topics: [odrers]}", "", 1, []string{"main     policy shop/orders: ", "topic odrers does not exist; create it, or mend kafka.topics\n"}},
		{"neither group nor topic", "kafka: {group: nobody, topics: [odrers]}", "", 1, []string{"topic odrers does not exist; create it", "mend kafka.group\n"}},
		{"two policies of a group that is not there", "kafka: {group: nobody, topics: [orders]} | rush: kafka: {group: nobody, topics: [orders]}", "", 1,
			[]string{"main     policies shop/orders, shop/rush: group nobody is not on cluster main"}},
		{"headers of no topic", "kafka: {group: workers, topics: [orders]}, sources: {headers: {topic: answers, header: at}}", "", 1,
			[]string{"main     topic answers: it does not exist, so the latency of policy shop/orders is not known; create it"}},
		{"other shards than the log's", "kafka: {group: workers, topics: [orders]}", "eventLog: {prefix: old, shards: 4}", 1,
			[]string{"main     topic old.observations: it has 3 partitions, the configuration says 4 shards; set eventLog.shards to 3"}},
		{"a log in memory needs no topics", "kafka: {group: workers, topics: [orders]}", "log: memory\neventLog: {prefix: old, shards: 4}", 0, []string{"main     ok"}},
		{"a Prometheus server that is not there", "kafka: {group: workers, topics: [orders]}", "prometheus: {main: {url: 'http://127.0.0.1:1'}}", 1,
			[]string{"main             ok\nprometheus.main  server: query http://127.0.0.1:1: "}},
		{"a cluster that is down", "kafka: {group: workers, topics: [orders]}", "", 1, []string{"down     brokers: ", "nothing listens there"}},
	} {
		if tt.rest != "" {
			if _, err := adm.CreateTopic(t.Context(), 3, 3, nil, "old.observations"); err != nil && !strings.Contains(err.Error(), "TOPIC_ALREADY_EXISTS") {
				t.Fatal(err)
			}
		}
		clusters := fmt.Sprintf("main: {brokers: [%q]}", fake.ListenAddrs()[0])
		if strings.Contains(tt.name, "down") {
			clusters += ", down: {brokers: ['127.0.0.1:1']}"
			tt.rest = "eventLog: {cluster: main}"
		}
		file := filepath.Join(t.TempDir(), "prescale.yaml")
		content := fmt.Sprintf("clusters: {%s}\n%s\npolicies: [", clusters, tt.rest)
		for _, policy := range strings.Split(tt.policy, " | ") {
			name := "orders"
			if strings.HasPrefix(policy, "rush: ") {
				name, policy = "rush", strings.TrimPrefix(policy, "rush: ")
			}
			content += fmt.Sprintf("{metadata: {name: %s, namespace: shop}, spec: {%s, objective: {lagSeconds: 3}, replicas: {max: 4}}}, ", name, policy)
		}
		content += "]\n"
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), []string{"check", "--config", file, "--connect"}, &stdout, &stderr)
		if code := command.ExitCode(err); code != tt.code {
			t.Errorf("%s: exit code %d, want %d: %v\n%s", tt.name, code, tt.code, err, stdout.String())
		}
		for _, want := range tt.want {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("%s: want %q in:\n%s", tt.name, want, stdout.String())
			}
		}
		if n := strings.Count(stdout.String(), "topic odrers"); n > 1 {
			t.Errorf("%s: the topic is named %d times:\n%s", tt.name, n, stdout.String())
		}
		if n := strings.Count(stdout.String(), "group nobody is not on"); n > 1 {
			t.Errorf("%s: the group is named %d times:\n%s", tt.name, n, stdout.String())
		}
		if tt.name != "headers of no topic" {
			continue
		}
		stdout.Reset()
		_ = run(t.Context(), []string{"check", "--config", file, "--connect", "-o", "json"}, &stdout, &stderr)
		var report struct{ Kafka []finding }
		if err := json.Unmarshal(stdout.Bytes(), &report); err != nil || len(report.Kafka) != 1 || report.Kafka[0].Subject != "topic answers" || report.Kafka[0].Remedy == "" {
			t.Errorf("as JSON: %v, %s", err, stdout.String())
		}
	}
	// Nothing was created.
	topics, err := adm.ListTopics(t.Context())
	if err != nil || topics.Has("prescale.observations") || topics.Has("answers") {
		t.Errorf("topics: %v, %v", topics.Names(), err)
	}
}

// TestCheckNotesTheClassicProtocol, which is nothing wrong: brokers take shorter sessions than their least in the classic protocol alone.
func TestCheckNotesTheClassicProtocol(t *testing.T) {
	fake, err := kfake.NewCluster(kfake.SeedTopics(1, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer fake.Close()
	refuse := kerr.InvalidConfig.Code
	fake.ControlKey(int16(kmsg.IncrementalAlterConfigs), func(request kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		response := request.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
		for _, r := range request.(*kmsg.IncrementalAlterConfigsRequest).Resources {
			response.Resources = append(response.Resources, kmsg.IncrementalAlterConfigsResponseResource{ResourceType: r.ResourceType, ResourceName: r.ResourceName, ErrorCode: refuse})
		}
		return response, nil, true
	})
	file := writeInput(t, "prescale.yaml", fmt.Sprintf("clusters: {main: {brokers: [%q]}}\n", fake.ListenAddrs()[0]))
	var out bytes.Buffer
	if err := run(t.Context(), []string{"check", "--config", file, "--connect"}, &out, &out); err != nil {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"main     group prescale.owners: it uses the classic protocol: ", "; no remedy is needed; for that of KIP-848 set group.consumer.min", "main     ok\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q in:\n%s", want, out.String())
		}
	}
}
