package kafka

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/prescale/prescale/metrics/collector"
)

// stateTally gathers what must be said of a topic's partitions, so that a thousand partitions with one trouble make one
// sentence.
type stateTally struct {
	partitions, never, expired int
	reasons                    map[string][]int
}

func (s *stateTally) add(p int, at *partitionLag) {
	s.partitions++
	switch at.state {
	case StateNeverCommitted:
		s.never++
	case StateExpired:
		s.expired++
	case StateCurrent, StateTruncated, StateResidue, StateUnknown: // where something is wrong, the reason says so
	}
	if at.reason == "" {
		return
	}
	if s.reasons == nil {
		s.reasons = map[string][]int{}
	}
	if len(s.reasons) < 4 || s.reasons[at.reason] != nil {
		s.reasons[at.reason] = append(s.reasons[at.reason], p)
	}
}

func (s *stateTally) report(topic string, reset collector.Reset, problems *problemList) {
	if s.never > 0 {
		problems.add("%s: %d of %d partitions were never committed: their lag counts from where the reset policy (%s) starts",
			topic, s.never, s.partitions, reset)
	}
	if s.expired > 0 {
		problems.add(
			"%s: retention deleted records that were not consumed yet in %d of %d partitions: lag counts from the start of the log",
			topic, s.expired, s.partitions)
	}
	for reason, partitions := range s.reasons {
		problems.add("%s: partitions %s: %s", topic, compress(partitions), reason)
	}
}

// compress writes rising numbers as ranges, "0-3,7", cut after a few.
func compress(numbers []int) string {
	var parts []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		if len(parts) == 8 {
			return strings.Join(parts, ",") + ",…"
		}
		if i == j {
			parts = append(parts, fmt.Sprint(numbers[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", numbers[i], numbers[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// problemList gathers sentences.
type problemList []string

func (l *problemList) add(format string, args ...any) { *l = append(*l, fmt.Sprintf(format, args...)) }

func (l problemList) sorted() []string {
	slices.SortFunc(l, cmp.Compare[string])
	return slices.Compact(l)
}
