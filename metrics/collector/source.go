package collector

import (
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// Source adds to an observation what offsets do not tell: replicas and their start-ups from an orchestrator, latency from
// record headers or from the pods' own metrics, how busy they are. The forecaster and the scaler read the outcome and
// need not know where it came from.
type Source interface {
	// Annotate fills in what is known of the observation's policy at now, and leaves the rest as it is. It must not
	// block: a Source that asks others does so in a loop of its own.
	Annotate(now time.Time, observation *series.Observation)
}

// StartupSeconds is the last resort for start-ups, where no orchestrator tells when a replica was asked for: the time
// from joining the group to the first commit. It leaves out scheduling, the image and the process's own start, so it is
// a lower bound; a lead time learned from it wants the configured one as a floor.
func (g *Group) StartupSeconds() []float64 {
	var all []float64
	for _, s := range g.Starts {
		all = append(all, s.FirstCommitAt.Sub(s.JoinedAt).Seconds())
	}
	return all
}
