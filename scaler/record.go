package scaler

import (
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// A trial lasts triedTicks, which span the decrease, its rebalance and two whole intervals after it, and no less than three times
// tunedInterval.
const triedTicks = 5

// Record notes a decision that is about to be given, so that the next one knows of it.
func (s *State) Record(d *Decision, o *series.Observation) {
	at := d.At.Round(0).UTC()
	there, changed := s.there(d, o, at), s.Changed
	if s.HasDesired && d.DesiredReplicas != s.Desired || !s.HasDesired && d.CurrentReplicas != series.OfInt(d.DesiredReplicas) {
		s.recordChange(d, o, at)
	}
	current, currentKnown := d.CurrentReplicas.Get()
	if !currentKnown {
		current, currentKnown = there.Get()
	}
	// A group that stands still says nothing of chance, unless that is no more than the pause of the change itself.
	pause := time.Duration(s.Rebalance.seconds()*float64(time.Second)) + o.Interval
	if currentKnown && (!s.Promise.Stalled || at.Sub(changed) <= pause) {
		s.noteChange(d, int(current))
	}
	s.TriedTicks = max(0, s.TriedTicks-1)
	if d.exploring && d.DesiredReplicas < int(current) {
		s.TriedTicks = max(triedTicks, int(3*tunedInterval/max(o.Interval, time.Second)))
	}
	if d.draining {
		s.DrainTicks++
	} else {
		s.DrainTicks = 0
	}
	if ready := o.ReadyReplicas.Or(0); ready >= 1 && float64(d.planned) >= panicRatio*ready {
		s.PanicUntil = at.Add(panicSpan)
	}
	s.recordTried(d, at, int(current), currentKnown, there.Or(0))
	if expected, ok := d.expected.Get(); ok {
		s.Silence.expect(expected, s.At, d.expectSpan)
	}
	if d.horizon > 0 {
		if n, ok := d.unpaced.Get(); ok {
			s.Spending.want(at, n)
		}
		s.Wanted[s.WantedAt%wantedKept] = d.planned
		s.WantedAt++
		s.Peaks.observe(d.planned, at)
		s.Calibration.note(d.horizon, d.required)
		s.Rivals.note(d.next, s.Arrivals.Last, 1.25*s.Arrivals.Noise)
	}
	s.Desired, s.HasDesired = d.DesiredReplicas, true
}

// there returns how many replicas are ready. Where nobody tells, those that were asked for before are by now, and at once where others
// were given up.
func (s *State) there(d *Decision, o *series.Observation, at time.Time) series.Value {
	wait := o.Interval
	if s.Increase > 0 {
		wait += time.Duration(d.LeadTimeSeconds.Or(60) * float64(time.Second))
	}
	if !o.ReadyReplicas.Known() && s.HasDesired && at.Sub(s.Changed) >= wait {
		return series.OfInt(s.Desired)
	}
	return o.ReadyReplicas
}

// recordChange notes an answer that is another than the last.
func (s *State) recordChange(d *Decision, o *series.Observation, at time.Time) {
	s.Changed = at
	current, ok := d.CurrentReplicas.Get()
	s.Increase = d.DesiredReplicas - int(d.CurrentReplicas.Or(float64(s.Desired)))
	s.Orders.note(s.Increase, at)
	if !ok || d.DesiredReplicas <= int(current) {
		s.Lead.OrderedAt = time.Time{}
		s.EffectDue = time.Time{}
		return
	}
	// From zero, what is ordered on top of the first changes nothing of where it began.
	if fromZero := s.Lead.fromZero() && o.ReadyReplicas.Or(1) == 0; !fromZero {
		s.Lead.OrderedFrom = int(current)
	}
	s.Lead.OrderedAt, s.Lead.OrderedTo = at, d.DesiredReplicas
	s.EffectBefore = o.ConsumedRate().Or(0)
	s.EffectGain = s.Partitions.work(d.DesiredReplicas)/max(s.Partitions.work(int(current)), 1) - 1
	s.EffectDue = at.Add(2 * time.Duration(d.LeadTimeSeconds.Or(60)*float64(time.Second)))
}

// recordTried notes what an increase says of the n replicas before it, and which count a decrease tries.
func (s *State) recordTried(d *Decision, at time.Time, n int, known bool, there float64) {
	switch {
	case known && d.DesiredReplicas > n:
		guess := s.Capacity.guessed() && s.Tried == n && d.planned > n // a schedule says nothing of what was tried
		// A backlog from before they were ready says nothing of whether they are enough, unless more were there before or it does not
		// shrink.
		settled := s.Settled || s.Tried == n || s.Pace.Grows && s.thought(s.Arrivals.Last) <= s.Partitions.work(n)
		own := settled && s.Partitions.hot == 0 && d.Reason == ReasonBacklog && there >= float64(n) &&
			s.thought(s.Arrivals.Level) <= s.Partitions.work(n)
		if (guess || own) && !s.Promise.Stalled {
			s.TooFew = tooFew{n, s.Arrivals.Level, s.load(), at}
		}
		s.Tried = 0
		if guess {
			s.Tried = d.DesiredReplicas // no less a guess
		}
	case d.DesiredReplicas < n:
		s.Tried = d.DesiredReplicas
	}
}

// A plan for panicRatio times the replicas that are ready means that the load is not what it was foreseen to be. Until panicSpan
// after the latest such plan nothing is taken away. Both are those of Knative's pod autoscaler (panic-threshold-percentage 200,
// stable-window 60s).
const (
	panicRatio = 2
	panicSpan  = time.Minute
)
