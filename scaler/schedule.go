package scaler

import (
	"time"

	"github.com/robfig/cron/v3"
)

// compiledSchedule is a Schedule ready to be asked.
type compiledSchedule struct {
	start    cron.Schedule
	zone     *time.Location
	duration time.Duration
	replicas int
}

func compileSchedules(schedules []Schedule) ([]compiledSchedule, error) {
	var compiled []compiledSchedule
	for _, s := range schedules {
		start, err := cron.ParseStandard(s.Start)
		if err != nil {
			return nil, err
		}
		zone, err := time.LoadLocation(s.TimeZone)
		if err != nil {
			return nil, err
		}
		compiled = append(compiled, compiledSchedule{start, zone, s.Duration, s.MinReplicas})
	}
	return compiled, nil
}

// active reports whether a span of s covers `at`: its start fired within the duration before.
func (s *compiledSchedule) active(at time.Time) bool {
	next := s.start.Next(at.In(s.zone).Add(-s.duration))
	return !next.IsZero() && !next.After(at)
}

// scheduledMin returns the highest lower bound that schedules ask for now or, so that replicas are there in time, at `soon`.
func scheduledMin(schedules []compiledSchedule, at, soon time.Time) int {
	highest := 0
	for i := range schedules {
		if s := &schedules[i]; s.replicas > highest && (s.active(at) || s.active(soon)) {
			highest = s.replicas
		}
	}
	return highest
}
