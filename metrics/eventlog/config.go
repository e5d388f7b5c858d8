package eventlog

import (
	"errors"
	"fmt"
	"time"
)

// Config is what all parts of one event log share. Every replica of a daemon must use the same one.
type Config struct {
	// Prefix starts the names of the topics, the consumer group and the transactional ids. Default "prescale".
	Prefix string
	// Shards is the number of partitions of each topic, and so how many replicas can share the work. It cannot be changed
	// afterwards: policies would move between shards and leave their history behind. Default 12.
	Shards int
	// Replication is the replication factor of topics that are created; 0 means 3, or as many as there are brokers.
	Replication int
	// Retention is how long observations, and decisions that have newer ones, are kept. Default 8 days: a week to
	// replay, and a day to notice.
	Retention time.Duration

	// CheckpointTicks is how many ticks of a policy lie between two checkpoints: a take-over replays at most that many a
	// policy. Default 40: ten minutes at 15s.
	CheckpointTicks int
	// AnchorTicks is how many ticks lie between two copies of the state beside the observations themselves, which live as
	// long as these and let a replay start in the middle. Default 5760: a day at 15s. 0 means none.
	AnchorTicks int
	// FollowerLookback is how far back a follower starts to read decisions. It must be longer than any policy's age
	// limit. Default 1h.
	FollowerLookback time.Duration

	// SessionTimeout is how long an owner may be silent before its shards go to others; Heartbeat how often it speaks.
	// Defaults 6s (the least that a broker accepts unless told otherwise) and 1s.
	SessionTimeout time.Duration
	Heartbeat      time.Duration
	// AppendTimeout bounds one transaction: an owner that cannot commit for so long lets go of its shard and starts
	// again from the log. Default 10s.
	AppendTimeout time.Duration
	// Protocol chooses how the group is kept: auto, consumer (KIP-848) or classic (cooperative-sticky). Default auto:
	// consumer where the broker has it and lets the group have SessionTimeout, else classic.
	Protocol Protocol
	// Instance names this process in the log and in the group. It must not be empty.
	Instance string
}

// Protocol is a consumer group protocol.
type Protocol string

// The protocols.
const (
	ProtocolAuto     Protocol = "auto"
	ProtocolConsumer Protocol = "consumer"
	ProtocolClassic  Protocol = "classic"
)

// DefaultConfig returns the defaults; only Instance has none.
func DefaultConfig() Config {
	return Config{
		Prefix:           "prescale",
		Shards:           12,
		Retention:        8 * 24 * time.Hour,
		CheckpointTicks:  40,
		AnchorTicks:      5760,
		FollowerLookback: time.Hour,
		SessionTimeout:   6 * time.Second,
		Heartbeat:        time.Second,
		AppendTimeout:    10 * time.Second,
		Protocol:         ProtocolAuto,
	}
}

// maxShards keeps the number of producers and transactional ids of one process within reason.
const maxShards = 256

// Validate reports every problem, each with the field's key.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Prefix != "", "prefix: empty: want a name such as prescale")
	check(c.Shards >= 1 && c.Shards <= maxShards, "shards: %d: want 1 to %d", c.Shards, maxShards)
	check(c.Replication >= 0, "replication: %d: want 0 (choose) or more", c.Replication)
	check(c.Retention >= time.Hour, "retention: %v: want at least 1h", c.Retention)
	check(c.CheckpointTicks >= 1, "checkpointTicks: %d: want 1 or more", c.CheckpointTicks)
	check(c.AnchorTicks >= 0, "anchorTicks: %d: want 0 (none) or more", c.AnchorTicks)
	check(c.FollowerLookback > 0, "followerLookback: %v: want a positive duration such as 1h", c.FollowerLookback)
	check(c.Heartbeat > 0, "heartbeatInterval: %v: want a positive duration such as 1s", c.Heartbeat)
	check(c.SessionTimeout >= 3*c.Heartbeat, "sessionTimeout: %v: want at least three heartbeats, which are %v", c.SessionTimeout,
		3*c.Heartbeat)
	check(c.AppendTimeout >= time.Second, "appendTimeout: %v: want at least 1s", c.AppendTimeout)
	switch c.Protocol {
	case ProtocolAuto, ProtocolConsumer, ProtocolClassic:
	default:
		check(false, "protocol: %q: want auto, consumer or classic", c.Protocol)
	}
	check(c.Instance != "", "instance: empty: want a name for this process, such as the pod's")
	return errors.Join(errs...)
}

// The names of the topics, of the consumer group that shares the shards, and of a shard's transactional id.
func (c Config) observations() string { return c.Prefix + ".observations" }
func (c Config) checkpoints() string  { return c.Prefix + ".checkpoints" }
func (c Config) decisions() string    { return c.Prefix + ".decisions" }
func (c Config) group() string        { return c.Prefix + ".owners" }
func (c Config) transactionalID(shard int32) string {
	return fmt.Sprintf("%s.shard-%d", c.Prefix, shard)
}

// ShardOf returns the shard of a policy. It is Kafka's own default partitioning (murmur2 of the key), so that any Kafka
// client finds a policy's records where it looks for their key.
func ShardOf(policy string, shards int) int32 {
	return int32(murmur2([]byte(policy))&0x7fffffff) % int32(shards)
}

// murmur2 is the hash of Kafka's default partitioner: Austin Appleby's MurmurHash2, 32 bits, with Kafka's seed
// (org.apache.kafka.common.utils.Utils.murmur2).
func murmur2(b []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := uint32(seed) ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(b[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
