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
