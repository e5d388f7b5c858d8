// Package collector says what collecting means, apart from where from: the Target that a policy names and the Result of one
// tick for it. The packages below it collect, from Kafka and from latency sources.
package collector

import "github.com/prescale/prescale/metrics/series"

// Target names what is collected for one policy.
type Target struct {
	// Policy is "namespace/name".
	Policy string
	// Cluster names the Kafka cluster; Group the consumer group; Topics the topics, sorted.
	Cluster string
	Group   string
	Topics  []string
	// Reset is where the group starts on a partition it has never committed: the consumer's auto.offset.reset.
	Reset Reset
	// ReadCommitted says that the consumers read committed records only, so that lag counts to the last stable offset.
	ReadCommitted bool
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
	// Members is how many members the consumer group has: the replicas, where nobody knows better.
	Members series.Value
	Err     error
}
