//go:build integration

package eventlog

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/prescale/prescale/hack/kafka"
)

// TestRights holds what doc.go says of ACLs to be true: with exactly these rights an Owner works, with one missing it does not, and
// Inspect says which.
func TestRights(t *testing.T) {
	broker := kafka.ForTest(t, kafka.Options{Authorizer: true, Users: []kafka.User{{Name: "prescale", Password: "correct horse"}}})
	admin := kadm.NewClient(newClient(t, []kgo.Opt{kgo.SeedBrokers(broker.Bootstrap()...)}))
	auth := scram.Auth{User: "prescale", Pass: "correct horse"}
	opts := []kgo.Opt{kgo.SeedBrokers(broker.Addresses(kafka.SASL)...), kgo.SASL(auth.AsSha256Mechanism())}
	client := newClient(t, opts)
	cfg := testConfig("a")
	cfg.Protocol = ProtocolClassic // which has no right to ask for

	rights := map[string]*kadm.ACLBuilder{
		"group": kadm.NewACLs().Groups(cfg.group()).Operations(kadm.OpRead).ResourcePatternType(kadm.ACLPatternLiteral),
		"id":    kadm.NewACLs().TransactionalIDs(cfg.Prefix + ".shard-").Operations(kadm.OpWrite).ResourcePatternType(kadm.ACLPatternPrefixed),
	}
	for name, op := range map[string]kadm.ACLOperation{"create": kadm.OpCreate, "read": kadm.OpRead, "write": kadm.OpWrite, "configs": kadm.OpDescribeConfigs} {
		rights[name] = kadm.NewACLs().Topics(cfg.Prefix + ".").Operations(op).ResourcePatternType(kadm.ACLPatternPrefixed)
	}
	// grant gives the user all rights but those.
	grant := func(t *testing.T, without ...string) {
		t.Helper()
		for name, acl := range rights {
			acl.Allow("User:prescale").AllowHosts()
			change := func() error { _, err := admin.DeleteACLs(t.Context(), acl); return err }
			if !slices.Contains(without, name) {
				change = func() error { _, err := admin.CreateACLs(t.Context(), acl); return err }
			}
			if err := change(); err != nil {
				t.Fatal(err)
			}
		}
	}
	// inspect waits until Inspect says so (brokers learn of ACLs a moment later); empty means nothing.
	inspect := func(t *testing.T, want string) {
		t.Helper()
		var said string
		for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			problems, err := Inspect(t.Context(), client, cfg)
			if err != nil {
				t.Fatal(err)
			}
			said = ""
			for _, p := range problems {
				said += p.Error() + "\n"
			}
			if want == "" && said == "" || want != "" && strings.Contains(said, want) {
				return
			}
		}
		t.Fatalf("Inspect said %q, want %q", said, want)
	}
	// works reports whether an Owner writes to each shard within the time. One that is empty needs no Read.
	works := func(t *testing.T, patience time.Duration) bool {
		t.Helper()
		o, err := NewOwner(cfg, opts, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		wrote := make(chan struct{}, cfg.Shards)
		done := make(chan struct{})
		go func() {
			defer close(done)
			// How it ended does not matter: whether it wrote does.
			_ = o.Run(ctx, recovered(func(ctx context.Context, s *Shard, ms machines) error {
				if err := s.Append(ctx, ms.tick(s, time.Now(), policies(s.Number, cfg.Shards, 1)...)); err != nil {
					return err
				}
				wrote <- struct{}{}
				<-ctx.Done()
				return nil
			}))
		}()
		for range cfg.Shards {
			select {
			case <-wrote:
			case <-done: // The Owner gave up, or the time is over.
				return false
			}
		}
		cancel()
		<-done
		return true
	}

	grant(t, "create")
	inspect(t, "topic prescale.decisions: it does not exist and may not be created")
	if works(t, 3*time.Second) {
		t.Error("topics were created without the right to")
	}
	grant(t)
	inspect(t, "")
	if !works(t, time.Minute) {
		t.Fatal("an Owner with all rights does not work")
	}
	for _, tt := range []struct{ without, says string }{
		{"group", "group prescale.owners: this user may not Read it; run kafka-acls.sh --add --allow-principal User:NAME --operation Read --group prescale.owners"},
		{"id", "transactional id prescale.shard-0: this user may not Write with it; run"},
		{"write", "topic prescale.observations: this user may not Write; run kafka-acls.sh --add --allow-principal User:NAME --operation Write --topic prescale.observations"},
		{"read", "topic prescale.observations: this user may not Read"},
		{"configs", "topic prescale.checkpoints: this user may not DescribeConfigs"},
	} {
		t.Run("no "+tt.without, func(t *testing.T) {
			grant(t, tt.without)
			inspect(t, tt.says)
			if works(t, 3*time.Second) {
				t.Error("an Owner works without")
			}
		})
	}
	t.Run("nothing", func(t *testing.T) {
		grant(t, "group", "id", "create", "read", "write", "configs")
		inspect(t, "topic prescale.observations: this user may not Describe it; run kafka-acls.sh --add --allow-principal User:NAME --operation Read --operation Write")
	})
	// The protocol of KIP-848 works without, with sessions as long as brokers like.
	t.Run("no timeouts", func(t *testing.T) {
		grant(t)
		cfg.Protocol = ProtocolConsumer
		defer func() { cfg.Protocol = ProtocolClassic }()
		inspect(t, "group prescale.owners: this user may not AlterConfigs of it, so it keeps the brokers' session timeout")
		acl := kadm.NewACLs().Groups(cfg.group()).Operations(kadm.OpAlterConfigs).ResourcePatternType(kadm.ACLPatternLiteral).Allow("User:prescale").AllowHosts()
		if _, err := admin.CreateACLs(t.Context(), acl); err != nil {
			t.Fatal(err)
		}
		inspect(t, "group prescale.owners: the brokers do not let it have a session timeout of "+cfg.SessionTimeout.String())
		cfg := cfg
		cfg.SessionTimeout, cfg.Heartbeat = 50*time.Second, 5*time.Second
		if problem, err := maySetTimeouts(t.Context(), client, cfg); problem != nil || err != nil {
			t.Errorf("with the right, and longer than the brokers' least: %v, %v", problem, err)
		}
		// It was asked, not done.
		req := kmsg.NewPtrDescribeConfigsRequest()
		resource := kmsg.NewDescribeConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, cfg.group()
		req.Resources = append(req.Resources, resource)
		described, err := req.RequestWith(t.Context(), newClient(t, []kgo.Opt{kgo.SeedBrokers(broker.Bootstrap()...)}))
		if err != nil || len(described.Resources) != 1 || len(described.Resources[0].Configs) == 0 {
			t.Fatalf("the group's settings: %+v, %v", described, err)
		}
		for _, c := range described.Resources[0].Configs {
			if c.Value != nil && *c.Value == "50000" {
				t.Errorf("%s was set", c.Name)
			}
		}
	})
	// Who reads needs no more than Read on the topics.
	t.Run("reading", func(t *testing.T) {
		grant(t, "group", "id", "create", "write", "configs")
		inspect(t, "this user may not Write or DescribeConfigs")
		if report, err := Check(t.Context(), client, cfg, nil); err != nil || report.Ticks == 0 || report.ViolationCount > 0 {
			t.Errorf("check: %v, %+v", err, report)
		}
	})
	// To look is not to disturb: the owner of a shard writes on.
	t.Run("beside an owner", func(t *testing.T) {
		grant(t)
		inspect(t, "")
		s, ms := openShard(t, cfg, opts, 1)
		for range 2 {
			if err := s.Append(t.Context(), ms.tick(s, time.Now(), policies(1, cfg.Shards, 1)...)); err != nil {
				t.Fatal(err)
			}
			inspect(t, "")
		}
	})
}
