//go:build integration

package kafka

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/metrics/collector"
)

// TestRights holds what doc.go says of ACLs to be true: with exactly these rights all works, and with one missing the
// result says which.
func TestRights(t *testing.T) {
	r := newRig(t, kafka.Options{Authorizer: true, Users: []kafka.User{{Name: "prescale", Password: "correct horse"}}})
	const name = "guarded"
	r.create(name, 1, nil)
	// The record is older than any sample, so that only its batch tells its age.
	old := &kgo.Record{Topic: name, Value: []byte("x"), Timestamp: time.Now().Add(-72 * time.Hour)}
	r.must(r.client.ProduceSync(r.context(), old, &kgo.Record{Topic: name, Value: []byte("y")}).FirstErr())
	r.commit(name, name, map[int32]int64{0: 0})

	describeGroup := kadm.NewACLs().Allow("User:prescale").AllowHosts().Groups(name).Operations(kadm.OpDescribe)
	describeTopic := kadm.NewACLs().Allow("User:prescale").AllowHosts().Topics(name).Operations(kadm.OpDescribe)
	readTopic := kadm.NewACLs().Allow("User:prescale").AllowHosts().Topics(name).Operations(kadm.OpRead)

	for _, tt := range []struct {
		name    string
		grant   []*kadm.ACLBuilder
		lag     bool
		seconds bool
		says    string
	}{
		{"all", []*kadm.ACLBuilder{describeGroup, describeTopic, readTopic}, true, true, ""},
		{"no Read on the topic", []*kadm.ACLBuilder{describeGroup, describeTopic}, true, false, "needs Read on topic guarded"},
		{"nothing on the topic", []*kadm.ACLBuilder{describeGroup}, false, false, "needs Describe on topic guarded"},
		{"nothing on the group", []*kadm.ACLBuilder{describeTopic, readTopic}, false, false, "needs Describe on group guarded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &rig{t: t, cluster: r.cluster, client: r.client, admin: r.admin}
			for _, acl := range []*kadm.ACLBuilder{describeGroup, describeTopic, readTopic} {
				_, err := r.admin.DeleteACLs(r.context(), acl.ResourcePatternType(kadm.ACLPatternLiteral))
				r.must(err)
			}
			for _, acl := range tt.grant {
				created, err := r.admin.CreateACLs(r.context(), acl.ResourcePatternType(kadm.ACLPatternLiteral))
				r.must(err)
				for _, one := range created {
					r.must(one.Err)
				}
			}
			auth := scram.Auth{User: "prescale", Pass: "correct horse"}
			own, err := kgo.NewClient(kgo.SeedBrokers(r.cluster.Addresses(kafka.SASL)...), kgo.SASL(auth.AsSha256Mechanism()))
			r.must(err)
			t.Cleanup(own.Close)
			r.own = own
			c := r.collector()
			c.SetTargets([]collector.Target{{Policy: "test/p", Cluster: "main", Group: name, Topics: []string{name}}})
			r.observe(c, tt.name, func(result collector.Result) error {
				o := result.Observation
				said := strings.Join(o.Problems, "; ")
				if result.Err != nil {
					said += result.Err.Error()
				}
				switch {
				case o.LagRecords.Known() != tt.lag:
					return fmt.Errorf("lag: got %v; %s", o.LagRecords, said)
				case o.LagSeconds.Known() != tt.seconds:
					return fmt.Errorf("lag seconds: got %v; %s", o.LagSeconds, said)
				case !strings.Contains(said, tt.says):
					return fmt.Errorf("got %q, want %q", said, tt.says)
				case tt.says == "" && said != "":
					return errors.New(said)
				case tt.seconds && (o.LagSeconds.Or(0) < 72*3600 || o.LagSeconds.Or(0) > 73*3600):
					return fmt.Errorf("lag seconds: got %v, want 72 hours", o.LagSeconds)
				}
				return nil
			})
		})
	}
}
