package eventlog

import (
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// Version is the version of the records that this code writes. Bump it only when a reader of the present version would
// misread the new record: a new field that may be ignored is no reason.
const Version = 1

// Stamp says which tick a record belongs to and who wrote it.
type Stamp struct {
	// Policy is "namespace/name", the record's key.
	Policy string
	// Seq numbers the policy's ticks from 1 without a gap.
	Seq uint64
	// At is the time of the tick: the only clock that the decision saw. It rises strictly with Seq.
	At time.Time
	// Origin is the Seq of the first tick that the decider's state has seen: 1, unless the state was started anew.
	Origin uint64
	// Spec is a fingerprint of the policy's configuration at the tick.
	Spec uint64
	// Term counts the take-overs of the shard and Writer names who wrote in it.
	Term   uint64
	Writer string
}

// Tick is a record of the topic of observations.
type Tick struct {
	Stamp
	Observation series.Observation
	// Anchor, mostly nil, is the decider's state after this tick.
	Anchor []byte
	// Seed is the decider's state before this tick where its state begins with the tick (Origin is Seq) and yet knows
	// something: what an imported history taught, or what it had learned under another configuration. It makes the import, or
	// the change, part of the log, whole or not at all.
	Seed []byte
	// Configuration is the policy's, of which Spec is the fingerprint, as the decider's maker writes it. It stands where it
	// begins to hold, where the state begins, and beside an Anchor; else nil.
	Configuration []byte
}

// Decision is a record of the topic of decisions: the outcome of the Tick with the same Policy and Seq.
type Decision struct {
	Stamp
	// Observation is the Tick's, without its values per partition.
	Observation series.Observation
	// DesiredReplicas and Reason repeat what Payload says, for readers that cannot read it.
	DesiredReplicas int
	Reason          string
	// Payload is the decision as its maker wrote it (JSON).
	Payload []byte
}

// Checkpoint is a record of the topic of checkpoints.
type Checkpoint struct {
	Stamp
	// ReplayFrom is an offset in the shard's observations: every tick after this one lies at it or beyond.
	ReplayFrom int64
	// State is the decider's state after the tick. Empty means that the state begins with this very tick: there is
	// nothing to restore, and the tick itself is to be replayed.
	State []byte
	// Counted is up to where arrivals are counted at the tick.
	Counted series.Counted
}

// Entry is one policy's part of an Append.
type Entry struct {
	Policy string
	// At is the time of the tick. It must be later than the policy's last, or, where SetBack, before it.
	At          time.Time
	SetBack     bool
	Observation series.Observation
	// Spec is a fingerprint of Configuration.
	Spec          uint64
	Configuration []byte
	// Fresh says that the decider was new when it saw this observation: it knows of no tick before but by its Seed.
	Fresh bool
	// Seed, where Fresh, is the state that the decider began with; nil where it knew nothing at all.
	Seed []byte

	DesiredReplicas int
	Reason          string
	Payload         []byte
	// State is the decider's state after this tick, nil unless a checkpoint is wanted (Shard.CheckpointDue) or welcome.
	State []byte
	// Counted is up to where arrivals are counted after this tick; it goes with State.
	Counted series.Counted
}
