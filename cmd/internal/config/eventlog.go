package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/prescale/prescale/metrics/eventlog"
)

// EventLog says how the log is kept where it is kept in Kafka. Every replica must say the same.
type EventLog struct {
	// Cluster names the Kafka cluster that holds it. Default: main, or the only one.
	Cluster string `json:"cluster"`
	// Prefix starts the names of topics, group and transactional ids. Default "prescale".
	Prefix string `json:"prefix"`
	// Shards is how many replicas can share the work at most. It cannot be changed afterwards. Default 12.
	Shards int `json:"shards"`
	// Replication is the replication factor of topics that are created; 0 means 3, or as many as there are brokers.
	Replication int `json:"replication"`
	// Retention is how long observations and past decisions are kept. Default 192h.
	Retention metav1.Duration `json:"retention"`
	// CheckpointTicks is how many ticks lie between two checkpoints of a policy. Default 40.
	CheckpointTicks int `json:"checkpointTicks"`
	// SessionTimeout is how long an owner may be silent before its shards go to others; HeartbeatInterval how often it
	// speaks; AppendTimeout how long one append may take. Defaults 6s, 1s, 10s.
	SessionTimeout    metav1.Duration `json:"sessionTimeout"`
	HeartbeatInterval metav1.Duration `json:"heartbeatInterval"`
	AppendTimeout     metav1.Duration `json:"appendTimeout"`
	// Protocol is the consumer group protocol: auto, consumer (KIP-848) or classic. Default auto.
	Protocol string `json:"protocol"`
	// Instance names this replica in the log. Default: the host's name and the process id.
	Instance string `json:"instance"`
}

func defaultEventLog() EventLog {
	d := eventlog.DefaultConfig()
	return EventLog{
		Prefix:            d.Prefix,
		Shards:            d.Shards,
		Retention:         metav1.Duration{Duration: d.Retention},
		CheckpointTicks:   d.CheckpointTicks,
		SessionTimeout:    metav1.Duration{Duration: d.SessionTimeout},
		HeartbeatInterval: metav1.Duration{Duration: d.Heartbeat},
		AppendTimeout:     metav1.Duration{Duration: d.AppendTimeout},
		Protocol:          string(d.Protocol),
	}
}

// EventLogConfig returns the log's settings in its own terms, and the name of the cluster that holds it.
func (c *Config) EventLogConfig() (eventlog.Config, string) {
	e := c.EventLog
	out := eventlog.DefaultConfig()
	out.Prefix = e.Prefix
	out.Shards = e.Shards
	out.Replication = e.Replication
	out.Retention = e.Retention.Duration
	out.CheckpointTicks = e.CheckpointTicks
	out.SessionTimeout = e.SessionTimeout.Duration
	out.Heartbeat = e.HeartbeatInterval.Duration
	out.AppendTimeout = e.AppendTimeout.Duration
	out.Protocol = eventlog.Protocol(e.Protocol)
	out.Instance = e.Instance
	if out.Instance == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		out.Instance = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	if slowest := c.slowestInterval(); out.FollowerLookback < 10*slowest {
		out.FollowerLookback = 10 * slowest
	}
	cluster := e.Cluster
	if cluster == "" {
		cluster = "main"
		if names := slices.Sorted(maps.Keys(c.Clusters)); len(names) == 1 {
			cluster = names[0]
		}
	}
	return out, cluster
}

func (c *Config) slowestInterval() time.Duration {
	var slowest time.Duration
	for i := range c.Policies {
		if interval := c.Policies[i].Spec.Interval; interval != nil {
			slowest = max(slowest, interval.Duration)
		}
	}
	return slowest
}

func (c *Config) validateEventLog() error {
	if c.Log != LogKafka {
		return nil
	}
	cfg, cluster := c.EventLogConfig()
	errs := []error{prefixEach("eventLog.", cfg.Validate())}
	if _, ok := c.Clusters[cluster]; !ok && len(c.Clusters) > 0 {
		errs = append(errs, fmt.Errorf("eventLog.cluster: %q: not among clusters: %v", cluster, slices.Sorted(maps.Keys(c.Clusters))))
	}
	return errors.Join(errs...)
}
