package kafka

import (
	"errors"
	"fmt"
	"time"
)

// Config tunes a Collector.
type Config struct {
	// Cluster is the name used in results, messages and metrics.
	Cluster string
	// Security is how the client authenticates, in words for messages: "SCRAM-SHA-512 over TLS". It may be empty.
	Security string
	// RequestTimeout bounds each round of requests of a tick; a broker that does not answer in time leaves its values
	// missing. Default 4 s; it should stay below the tick's period.
	RequestTimeout time.Duration
	// GroupInterval is how often groups are listed and described: members, states, coordinators. Default 5 s.
	GroupInterval time.Duration
	// MetadataInterval is how often topics' partitions and leaders are read without cause; an error reads them at once.
	// Default 30 s: partitions that were added count at the latest then.
	MetadataInterval time.Duration
	// StartInterval is how often the starts of the logs are read. Default 15 s: lag may be overstated by what retention
	// deleted since.
	StartInterval time.Duration
	// GroupsPerRequest is how many groups share an OffsetFetch. Default 10; more make the broker's answers larger and
	// fewer.
	GroupsPerRequest int
	// Samples is how many end offsets are kept of each partition, four bytes each. The newest twelve are consecutive
	// ticks; the older ones spread so that each step is the same fraction of its age. Default 40, which over a day is a
	// fraction of about 0.3.
	Samples int
	// SampleAge is how far back samples reach. Default 24 h.
	SampleAge time.Duration
	// ExactChecks is how many partitions a tick may look up by fetching a batch, for the age of a record that the samples
	// do not tell well. Default 200; 0 turns exact checks off, for example where the right to read topics is not given.
	ExactChecks int
	// ExactAbove is the error bound from which an exact check is worth a request. Default 1 s.
	ExactAbove time.Duration
	// Clock is the time that Collect's argument is of, where that is not the wall's: recorded traffic may be replayed
	// faster. Nil is the wall's.
	Clock Clock
}

// Clock maps the wall's time, which record timestamps are of, to that of the ticks.
type Clock interface {
	// At returns the clock's time when the wall's is `wall`, and Wall the reverse.
	At(wall time.Time) time.Time
	Wall(at time.Time) time.Time
}

type wallClock struct{}

func (wallClock) At(wall time.Time) time.Time { return wall }
func (wallClock) Wall(at time.Time) time.Time { return at }

// recentSamples is how many of the newest samples are consecutive ticks.
const recentSamples = 12

// DefaultConfig returns the defaults, for a cluster named "default".
func DefaultConfig() Config {
	return Config{
		Cluster:          "default",
		RequestTimeout:   4 * time.Second,
		GroupInterval:    5 * time.Second,
		MetadataInterval: 30 * time.Second,
		StartInterval:    15 * time.Second,
		GroupsPerRequest: 10,
		Samples:          40,
		SampleAge:        24 * time.Hour,
		ExactChecks:      200,
		ExactAbove:       time.Second,
	}
}

// Validate returns every problem, each with its field in the form of a key path.
func (c Config) Validate() error {
	var problems []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	add(c.Cluster == "", "cluster: is empty; give the cluster a name")
	for _, span := range []struct {
		key   string
		value time.Duration
	}{
		{"requestTimeout", c.RequestTimeout}, {"groupInterval", c.GroupInterval},
		{"metadataInterval", c.MetadataInterval}, {"startInterval", c.StartInterval},
		{"sampleAge", c.SampleAge}, {"exactAbove", c.ExactAbove},
	} {
		add(span.value <= 0, "%s: %v is not a span above zero", span.key, span.value)
	}
	add(c.GroupsPerRequest < 1, "groupsPerRequest: %d is below 1", c.GroupsPerRequest)
	add(c.Samples < recentSamples+4 || c.Samples > 250, "samples: %d is not between %d and 250", c.Samples, recentSamples+4)
	add(c.ExactChecks < 0, "exactChecks: %d is below 0; 0 turns exact checks off", c.ExactChecks)
	return errors.Join(problems...)
}
