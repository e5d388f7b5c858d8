package scaler

import "time"

// spending keeps what has been spent since midnight UTC.
type spending struct {
	Day          time.Time
	ReplicaHours float64
}

func (s *spending) observe(at time.Time, interval, replicas float64) {
	if day := at.Truncate(24 * time.Hour); !day.Equal(s.Day) {
		s.Day, s.ReplicaHours = day, 0
	}
	s.ReplicaHours += replicas * interval / 3600
}

// affordable returns the most replicas that the budget allows at `at`. What the lower bound needs until midnight is set
// aside; of the rest at most an hour's worth may go at once, so that a budget that runs out tapers the count off over hours
// and never ends in a cliff. It is never below the lower bound.
func (s *spending) affordable(budget float64, lowest int, at time.Time) int {
	day := at.UTC().Truncate(24 * time.Hour)
	spent := s.ReplicaHours
	if !day.Equal(s.Day) {
		spent = 0
	}
	hoursLeft := day.Add(24*time.Hour).Sub(at).Hours() + 1e-9
	free := budget - spent - float64(lowest)*hoursLeft
	if free <= 0 {
		return lowest
	}
	return lowest + int(min(free/min(1, hoursLeft), 1e6))
}
