package scaler

import (
	"math"

	"github.com/prescale/prescale/metrics/series"
)

// latencyReplicas returns the staffing of the square-root rule for an offered load of `load` replicas (arrival rate divided
// by capacity): load + β·√(load·(c_a² + c_s²)/2), with both coefficients of variation taken as 1 and β = margin.
//
// Halfin and Whitt, "Heavy-traffic limits for queues with many exponential servers", Operations Research 29 (1981); for
// general variation Whitt, "Understanding the efficiency of multi-server service systems", Management Science 38 (1992).
func latencyReplicas(load, margin float64) float64 {
	if load <= 0 {
		return 0
	}
	return load + margin*math.Sqrt(load)
}

// latencyMargin returns β for the share of requests that may wait: the Halfin-Whitt delay probability inverted by the
// normal tail, times the factor learned from the latencies that were seen.
func latencyMargin(violationRatio, learned float64) float64 {
	// A rational approximation of the normal quantile is not needed: √(2 ln(1/p)) bounds it from above within 15 % for
	// p below 0.05.
	return math.Sqrt(2*math.Log(1/max(min(violationRatio, 0.5), 1e-6))) * (0.5 + learned)
}

// observeLatency moves the learned factor: up fast while the latency objective is missed, down slowly while it is kept.
func (s *State) observeLatency(config *Config, o *series.Observation) {
	objective := config.ObjectiveLatency.Seconds()
	latency, ok := o.LatencySeconds.Get()
	if objective <= 0 || !ok {
		return
	}
	if latency > objective {
		s.LatencyMore = min(s.LatencyMore+0.05*min(latency/objective-1, 1)+0.02, 4)
	} else {
		s.LatencyMore = max(s.LatencyMore-0.001, -0.4)
	}
}
