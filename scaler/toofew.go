package scaler

import "time"

// tooFew is a count that turned out to be too few: under which arrivals, in records per second and in replicas, and when.
type tooFew struct {
	Replicas int
	Rate     float64 `json:",omitzero"`
	Load     float64
	At       time.Time
}

// A count that was too few is not gone back to for fewSpan while fewShare of what arrived then does, and more: without a backlog all
// looks as it did before. It is where the same arrivals are fewLoad of the load that they were then: replicas do more now, and by more
// than it takes an estimate to settle.
const (
	fewSpan  = 24 * time.Hour
	fewShare = 0.97
	fewLoad  = 0.9
)

// under returns the count while it is not gone back to, which is for span at most, with what arrives now; 0 from then on.
func (f *tooFew) under(rate, load float64, at time.Time, span time.Duration) int {
	if rate < fewShare*f.Rate || load < fewLoad*f.Load || at.Sub(f.At) > span {
		return 0
	}
	return f.Replicas
}

// tooFew returns the count that a backlog showed to be too few under what arrives now, though all its replicas were ready and what they
// do on average was more than what arrived; 0 where there was none.
func (s *State) tooFew(at time.Time) int {
	return s.TooFew.under(s.Arrivals.Level, s.load(), at, fewSpan)
}

// takenBack returns the count that was gone down to, and left again, when no more was forecast than the `sustained` records per second of
// now, or hardly more; 0 where there was none.
func (s *State) takenBack(sustained float64, at time.Time) int {
	f, share := s.TakenBack, 1-(1-fewShare)*s.chance()
	f.Rate, f.Load = f.Rate*share/fewShare, f.Load*share/fewShare
	kept := backKept
	if s.farBelow(f.Replicas) {
		kept = farKept
	}
	return f.under(sustained, s.replicas(sustained), at, kept)
}

// farBelow reports whether the next count up from n is more than one replica and more than backStep of it away.
func (s *State) farBelow(n int) bool {
	return float64(s.Partitions.above(n)) > max(float64(n+1), backStep*float64(n))
}

// A decrease is taken back by an increase of the plan's within backSpan, unless its forecast is by backMore above that of the decrease:
// then what arrives has changed, and else it is chance that made both, since noise of 10 % moves the median forecast by 2 % (standard
// deviation), and more in proportion. For backKept from then on it is not made again: what chance did it does in the next hours too, and
// by then the time of day is another. Where the next count up is more than one replica and more than backStep of it away, the lower one
// saves enough to be gone down to again after farKept.
const (
	backSpan = time.Hour
	backKept = 4 * time.Hour
	farKept  = time.Hour
	backMore = 0.1
	backStep = 1.25
)

// chance returns how many times as much as noise of calmNoise what arrives varies from tick to tick, 1 where it varies less and mostChance
// where it varies more.
func (s *State) chance() float64 {
	return min(max(1, 1.25*s.Arrivals.Noise/max(calmNoise*s.Arrivals.Level, 1e-12)), mostChance) // of a normal variable, see fromRecent
}

const calmNoise, mostChance = 0.1, 5

// Batches every few minutes, or whatever else comes and goes as fast, make a decrease and take it back again and again, each time for what
// the forecast says. More than habitTimes in a row within habitSpan are a habit, and then such a decrease is as one that chance made:
// ten, for on the traces few come in a row so often, and after three or five all lead times of 30 s cost 0.8 % more; and a quarter of an
// hour, so that batches every ten minutes are among them.
const (
	habitSpan  = 15 * time.Minute
	habitTimes = 10
)

// takesBack counts that d's increase undoes the decrease `down`, and reports whether that one is to be held back from now on: chance or
// habit made it.
func (s *State) takesBack(d *Decision, down *tooFew) bool {
	lasted := d.At.Sub(down.At)
	s.Habit++
	if lasted > habitSpan {
		s.Habit = 0
	}
	return s.Habit > habitTimes || lasted <= backSpan && d.sustained <= (1+backMore*s.chance())*down.Rate
}

// noteChange learns from d, made with n replicas, whether the plan takes the last decrease back.
func (s *State) noteChange(d *Decision, n int) {
	if d.sustained <= 0 || d.DesiredReplicas == n {
		return
	}
	down := s.Down
	s.Down = tooFew{}
	switch {
	case d.DesiredReplicas < n:
		s.Down = tooFew{d.DesiredReplicas, d.sustained, s.replicas(d.sustained), d.At}
	case d.planned > n && down.Replicas == n && s.takesBack(d, &down):
		s.TakenBack = down
		s.TakenBack.At = d.At
		if float64(d.planned) <= backStep*float64(n) {
			s.TakenBack.Replicas = s.Partitions.below(d.planned) // what lies between is as little as this
		}
	}
}
