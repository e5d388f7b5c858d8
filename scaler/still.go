package scaler

import (
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// still watches whether the oldest record is the same from tick to tick: one that its consumer cannot get past, or that nobody reads.
type still struct {
	Came  time.Time // when the record came, by its age when it was new here; zero where none waits
	Since time.Time // when that was first seen
}

// stillLeast is for how long a record must have been the oldest to be told of, if the objective is no longer: a consumer that has died
// keeps its partitions for 45 s (session.timeout.ms), and one that works on a record for minutes is slow, not stuck.
const stillLeast = 5 * time.Minute

// observe learns from one tick, at intervals of `interval`; ages that are known roughly vary by about a hundredth.
func (s *still) observe(age series.Value, at time.Time, interval time.Duration) {
	x, ok := age.Get()
	if !ok {
		return
	}
	if x < paceAge {
		*s = still{}
		return
	}
	old := time.Duration(x * float64(time.Second))
	if came := at.Add(-old); s.Since.IsZero() || came.Sub(s.Came).Abs() > interval+old/100 {
		*s = still{came, at}
	}
}

// partitionStalled reports whether the oldest record stands still while those of other partitions are consumed.
func (s *State) partitionStalled(config *Config, o *series.Observation) bool {
	return !s.Still.Since.IsZero() && o.At.Sub(s.Still.Since) >= max(stillLeast, config.ObjectiveLag) && onFew(o, s.Arrivals.Level)
}
