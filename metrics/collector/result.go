// Package collector defines what every collector takes and returns, whatever its source: the Target that a policy names, and
// the Result of one tick for it. The packages below it collect: kafka from a cluster, latency from headers and endpoints.
package collector

import (
	"net/netip"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// Target names what is collected for one policy.
type Target struct {
	// Policy is "namespace/name".
	Policy string
	// Cluster names the Kafka cluster; Group the consumer group; Topics the topics, sorted. No topics means every topic
	// that the group has committed to or is assigned.
	Cluster string
	Group   string
	Topics  []string
	// Reset is where the group starts on a partition it has never committed: the consumer's auto.offset.reset. Empty
	// means ResetEarliest.
	Reset Reset
	// ReadCommitted says that the consumers read committed records only, so that lag counts to the last stable offset.
	ReadCommitted bool
	// ByHost asks for Result.Hosts.
	ByHost bool
	// Counted is up to where another process has counted the target's arrivals, for a collector that takes it over: the next
	// count begins there, and not where this collector may have left off. Zero goes on from what the collector knows.
	Counted series.Counted
}

// Reset is a consumer's reset policy.
type Reset string

// The reset policies. A consumer with ResetLatest starts at the end, so what it never committed is not behind.
const (
	ResetEarliest Reset = "earliest"
	ResetLatest   Reset = "latest"
)

// Result is one tick's outcome for one target. Err is set when nothing could be observed; a partly failed tick has an
// Observation whose missing values are Missing and whose Problems say why.
type Result struct {
	Observation series.Observation
	// Members is how many members the consumer group has: the replicas, where nobody knows better. Missing when not known.
	Members series.Value
	// Starting is how many of them joined lately and have not committed yet though there is work for them: replicas that were
	// asked for and are no help so far. Missing when Members is.
	Starting series.Value
	Group    Group
	// Hosts says what the members on each client host did, where Target.ByHost asks for it; nil at a tick that tells of none. A host
	// that is not in it has no member, as far as brokers see its address.
	Hosts map[netip.Addr]HostCount
	Err   error
}

// HostCount is what the members of a group on one host did during an observation's interval.
type HostCount struct {
	// Records is how many they committed. It is missing where they have no partition of the target, one of theirs has changed its
	// member meanwhile, or a position is not known.
	Records series.Value
	// Behind says that each of their partitions had records waiting at both ends of the interval, and all together more than they
	// do in seconds: they worked throughout.
	Behind bool
}

// Group is what a tick learned about a target's consumer group itself.
type Group struct {
	// Type is "classic", "consumer" (KIP-848), "share" (KIP-932), "streams" (KIP-1071), or "" when not known.
	Type string
	// State is the broker's word for it ("Stable", "Empty", "PreparingRebalance"), "Absent" for a group that is not on the
	// cluster, or "" when not known.
	State string
	// Absence is the one of Observation.Problems that says that the group is not on the cluster, "" where it is, has commits left, or
	// that is not known.
	Absence string
	// Assigned is how many members have at least one partition, missing when not known.
	Assigned series.Value
	// Rebalances counts the rebalances seen since collecting began.
	Rebalances int
	// LastPause is how long the latest finished rebalance kept the group from committing anywhere, as far as ticks can
	// tell; 0 before the first.
	LastPause time.Duration
	// Starts lists the members whose first commit after joining was seen at this tick.
	Starts []Start
}

// Start is one member's way from joining to its first commit, as seen by ticks: each time may be late by one tick.
type Start struct {
	Member        string
	JoinedAt      time.Time
	FirstCommitAt time.Time
}
