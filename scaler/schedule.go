package scaler

import (
	"time"

	"github.com/prescale/prescale/forecaster"
)

// compiledSchedule is a Schedule ready to be asked.
type compiledSchedule struct {
	span     *forecaster.Recurrence
	replicas int
}

func compileSchedules(schedules []Schedule) ([]compiledSchedule, error) {
	var compiled []compiledSchedule
	for _, s := range schedules {
		span, err := s.Span.Compile()
		if err != nil {
			return nil, err
		}
		compiled = append(compiled, compiledSchedule{span, s.MinReplicas})
	}
	return compiled, nil
}

func (s *compiledSchedule) active(at time.Time) bool {
	on, _ := s.span.On(at)
	return on
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
