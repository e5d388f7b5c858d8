package eventlog

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
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

// TestInspectTellsOfLostLeaders: a broker's directory that is full or broken takes the leaders with it where nobody else has
// the partitions.
func TestInspectTellsOfLostLeaders(t *testing.T) {
	spec := testConfig("a").topics()[0]
	partitions := []kmsg.MetadataResponseTopicPartition{{Partition: 2, Leader: -1}, {Partition: 1, Leader: 3}, {Partition: 0, Leader: -1}}
	found := inspectLeaders(spec, partitions)
	if len(found) != 1 || !strings.Contains(found[0].Error(), spec.name+": partitions [0 2] of 3 have no leader") {
		t.Errorf("got %v", found)
	}
	if found := inspectLeaders(spec, partitions[1:2]); len(found) > 0 {
		t.Errorf("with all leaders: got %v", found)
	}
}

// TestInspectKeepsWhatItFound where Kafka does not answer all that it is asked.
func TestInspectKeepsWhatItFound(t *testing.T) {
	fake, opts, cfg := fakeLog(t)
	fake.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		return nil, errors.New("cut off"), true
	})
	cfg.Shards = 4
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	problems, err := Inspect(ctx, newClient(t, opts), cfg)
	if err == nil || !strings.Contains(err.Error(), "__transaction_state") || len(problems) != 3 {
		t.Errorf("got %v and %v, want three topics with another number of partitions and the error", problems, err)
	}
}
