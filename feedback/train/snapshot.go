package train

import "time"

// Snapshot is what a Learner knows, for pages and metrics.
type Snapshot struct {
	Examples    int64         // labelled examples taken in
	Refused     int64         // that did not fit
	Minibatches int64         // trained
	Version     int64         // champion
	Accuracy    float64       // faded share of served predictions that were right; NaN-free: see Scored
	LossNats    float64       // faded mean log-loss of the same
	Calibration float64       // expected calibration error of the same
	Scored      bool          // false while the three above say nothing
	Delay       time.Duration // faded mean from prediction to outcome

	Evidence       float64 // capital of the bet on the challenger, 1 for none
	EvidenceNeeded float64 // that promotes

	Drifts, Promotions, Rollbacks, Blocked int64
	NewestAt                               time.Time // newest outcome
	LastChange                             string    // what happened last, for people
	LastChangeAt                           time.Time
}

// Snapshot returns it as of the last example.
func (l *Learner) Snapshot() Snapshot {
	s := Snapshot{
		Examples: l.Examples, Refused: l.Refused, Minibatches: l.Trained, Version: l.Champion,
		Evidence: l.For.K(), EvidenceNeeded: 1 / l.For.Alpha,
		Drifts: l.Drifts, Promotions: l.Promotions, Rollbacks: l.Rollbacks, Blocked: l.Blocked,
		NewestAt: instant(l.NewestAt), LastChange: l.LastChange, LastChangeAt: instant(l.LastChangeAt),
	}
	s.Accuracy, s.Scored = l.Served.Accuracy()
	s.LossNats, _ = l.Served.LossNats()
	s.Calibration, _ = l.Served.CalibrationError()
	if l.Served.B > 0 {
		s.Delay = time.Duration(l.DelaySum / l.Served.B * float64(time.Second))
	}
	return s
}
