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

// latencyLoop learns how much more than the square-root rule's margin a latency objective takes, or that no margin keeps it.
type latencyLoop struct {
	More   float64 // factor on the margin, beside a half
	Recent float64 // running mean of the latency, in seconds
	// From is More at the beginning of a trial, Highest the highest Recent since, until there are the replicas that it asks for, and
	// Proof for how many ticks in a row there have been.
	From, Highest float64
	Proof         int
	// Within counts ticks in a row within the objective.
	Within int
	// Unreachable says that a trial lowered the latency by next to nothing: it is not queueing that takes it.
	Unreachable bool
}

const (
	// A trial is over when More has grown by latencyTrial and the replicas have been there for latencyProof ticks: where queueing
	// made the latency, so many more have all but ended that. It helped where the latency fell below latencyHelped of what it was.
	latencyTrial  = 1.0
	latencyProof  = 10
	latencyHelped = 0.9
	// mostLatencyMore bounds the factor.
	mostLatencyMore = 4.0
	// So many ticks in a row within the objective, or a latency that many times what it was, say that things have changed since.
	latencyWithin  = 10
	latencyChanged = 1.5
	latencyMean    = 5 // ticks of the running mean
)

// observe moves More: up fast while the objective is missed, down slowly while it is kept. staffed tells whether there are as many
// replicas as a margin of so much asks for.
func (l *latencyLoop) observe(latency, objective float64, staffed func(more float64) bool) {
	if l.Recent == 0 {
		l.Recent = latency
	}
	l.Recent += (latency - l.Recent) / latencyMean
	if latency <= objective {
		l.Within++
		l.More = max(l.More-0.001, -0.4)
		if l.Within >= latencyWithin {
			l.Unreachable = false
			l.begin()
		}
		return
	}
	l.Within = 0
	if l.Unreachable {
		if l.Recent < latencyChanged*l.Highest {
			return
		}
		l.Unreachable = false
		l.begin()
	}
	end := min(l.From+latencyTrial, mostLatencyMore)
	if l.From == end {
		return // each trial helped, and there is none left
	}
	l.More = min(l.More+0.05*min(latency/objective-1, 1)+0.02, end)
	if l.More < end || !staffed(l.More) {
		l.Highest, l.Proof = max(l.Highest, l.Recent), 0
		return
	}
	if l.Proof++; l.Proof < latencyProof {
		return
	}
	if l.Recent > latencyHelped*l.Highest {
		l.More, l.Unreachable, l.Highest = l.From, true, l.Recent
		return
	}
	l.begin()
}

// begin begins a trial.
func (l *latencyLoop) begin() {
	l.From, l.Highest, l.Proof = l.More, l.Recent, 0
}

// observeLatency learns from the latency that the ready replicas had.
func (s *State) observeLatency(config *Config, o *series.Observation, ready float64) {
	objective := config.ObjectiveLatency.Seconds()
	latency, ok := o.LatencySeconds.Get()
	if objective <= 0 || !ok {
		return
	}
	s.Latency.observe(latency, objective, func(more float64) bool {
		return ready >= math.Ceil(latencyReplicas(s.load(), latencyMargin(config.ViolationRatio, more)))-1
	})
}

// forLatency returns the count that the latency objective asks for under a load of so many replicas' work; 0 where there is none.
func (d decider) forLatency(load float64, highest int) int {
	if d.config.ObjectiveLatency <= 0 {
		return 0
	}
	latency := &d.state.Latency
	if latency.Unreachable {
		d.verdict(VerdictLatencyUnreachable)
	}
	n := int(math.Ceil(latencyReplicas(load, latencyMargin(d.config.ViolationRatio, latency.More)) - 1e-9))
	n = min(n, highest)
	if count := d.state.Partitions.Count; count > 0 {
		n = min(n, count)
	}
	d.term("latency", n, load)
	return n
}
