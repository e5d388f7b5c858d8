package eventlog

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// TestInspect changes one thing at a time of a good log on three brokers.
func TestInspect(t *testing.T) {
	alter := func(topic func(Config) string, key, value string) func(*testing.T, *kadm.Client, *Config) {
		return func(t *testing.T, adm *kadm.Client, cfg *Config) {
			t.Helper()
			if _, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: key, Value: &value}}, topic(*cfg)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *kadm.Client, *Config)
		want   []string // one a problem
	}{
		{"good", nil, nil},
		{"not there yet", func(_ *testing.T, _ *kadm.Client, cfg *Config) { cfg.Prefix = "new" }, nil},
		{"shards", func(_ *testing.T, _ *kadm.Client, cfg *Config) { cfg.Shards = 4 },
			[]string{"observations: it has 3 partitions, the configuration says 4 shards; set eventLog.shards to 3", "checkpoints: it has", "decisions: it has"}},
		{"cleanup", alter(Config.decisions, "cleanup.policy", "delete"),
			[]string{`topic prescale.decisions: cleanup.policy is "delete", it must be "compact"; run kafka-configs.sh --alter --entity-type topics --entity-name prescale.decisions --add-config cleanup.policy=compact`}},
		{"retention", alter(Config.observations, "retention.ms", "3600000"), []string{"topic prescale.observations: retention.ms is 3600000, it must be at least 691200000"}},
		{"retention by size", alter(Config.observations, "retention.bytes", "1000"), []string{"topic prescale.observations: retention.bytes is 1000, so that records may go before they are 192h0m0s old"}},
		{"all in sync", alter(Config.checkpoints, "min.insync.replicas", "3"), []string{"topic prescale.checkpoints: min.insync.replicas is 3 of 3: nothing can be written while one broker is away"}},
		{"one in sync", alter(Config.checkpoints, "min.insync.replicas", "1"), []string{"topic prescale.checkpoints: min.insync.replicas is 1 of 3: a tick that was written may be lost"}},
		{"replication", func(t *testing.T, adm *kadm.Client, cfg *Config) {
			t.Helper()
			cfg.Prefix, cfg.Replication = "single", 1
			for _, spec := range cfg.topics() {
				if err := create(t.Context(), adm, *cfg, spec, false); err != nil {
					t.Fatal(err)
				}
			}
			cfg.Replication = 0
		}, []string{"topic single.observations: the replication factor is 1, 3 are wanted", "topic single.checkpoints: the", "topic single.decisions: the"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, opts, cfg := fakeLog(t)
			client := newClient(t, opts)
			if tt.change != nil {
				tt.change(t, kadm.NewClient(client), &cfg)
			}
			problems, err := Inspect(t.Context(), client, cfg)
			if err != nil || len(problems) != len(tt.want) {
				t.Fatalf("got %v, %v; want %q", problems, err, tt.want)
			}
			for i, p := range problems {
				if !strings.Contains(p.Error(), tt.want[i]) {
					t.Errorf("got %q, want %q", p, tt.want[i])
				}
			}
		})
	}
}

// TestInspectDisturbsNoOwner: the shard's writer goes on where it was.
func TestInspectDisturbsNoOwner(t *testing.T) {
	_, opts, cfg := fakeLog(t)
	s, ms := openShard(t, cfg, opts, 1)
	for i := range 3 {
		if err := s.Append(t.Context(), ms.tick(s, t0.Add(time.Duration(i)*15*time.Second), policies(1, cfg.Shards, 2)...)); err != nil {
			t.Fatal(err)
		}
		if problems, err := Inspect(t.Context(), newClient(t, opts), cfg); err != nil || len(problems) > 0 {
			t.Fatalf("got %v, %v", problems, err)
		}
	}
}
