package main

import (
	"cmp"
	"math"
	"slices"
)

// Summary is what was achieved, side by side. Everything in it can be computed from the lines that -o json prints: see Side.
type Summary struct {
	// ObjectiveSeconds is the promise; WarmUpSeconds of the start are left out.
	ObjectiveSeconds float64 `json:"objectiveSeconds"`
	WarmUpSeconds    float64 `json:"warmUpSeconds"`
	Sides            []Side  `json:"sides"`
}

// Side is one contestant's part of the summary, over the ticks that begin after the warm-up.
type Side struct {
	Name string `json:"name"`
	// Records is how many delays count: those of the ticks' delaySeconds and of the end's unansweredSeconds.
	Records int `json:"records"`
	// Late is how many of them exceed the promise; InTimeRatio the share of those that do not, null without records.
	Late        int      `json:"late"`
	InTimeRatio *float64 `json:"inTimeRatio"`
	// P50Seconds and P99Seconds are the nearest-rank percentiles: the smallest delay that at least that share does not exceed.
	P50Seconds *float64 `json:"p50Seconds"`
	P99Seconds *float64 `json:"p99Seconds"`
	// ReplicaHours is the ticks' replicaSeconds over 3,600: replicas that were starting are paid for.
	ReplicaHours float64 `json:"replicaHours"`
	// Unanswered is how many requests had no answer at the end; they count with what they had waited by then.
	Unanswered int `json:"unanswered"`
	// AnsweredTwice must be 0.
	AnsweredTwice int `json:"answeredTwice"`
}

// sideSum adds up one side as the run goes on.
type sideSum struct {
	name           string
	delays         []float64
	replicaSeconds float64
	unanswered     int
	twice          int
}

func (s *sideSum) side(objectiveSeconds float64) Side {
	out := Side{
		Name: s.name, Records: len(s.delays), ReplicaHours: s.replicaSeconds / 3600, Unanswered: s.unanswered, AnsweredTwice: s.twice,
	}
	slices.Sort(s.delays)
	firstLate, _ := slices.BinarySearchFunc(s.delays, objectiveSeconds, func(x, limit float64) int {
		if x > limit {
			return 1
		}
		return -1
	})
	out.Late = len(s.delays) - firstLate
	if len(s.delays) > 0 {
		ratio := float64(firstLate) / float64(len(s.delays))
		p50, p99 := percentile(s.delays, 0.5), percentile(s.delays, 0.99)
		out.InTimeRatio, out.P50Seconds, out.P99Seconds = &ratio, &p50, &p99
	}
	return out
}

// percentile returns the nearest-rank percentile of sorted, which is not empty; p is in (0, 1].
func percentile[T cmp.Ordered](sorted []T, p float64) T {
	return sorted[max(0, int(math.Ceil(p*float64(len(sorted))))-1)]
}
