package scaler

import (
	"math"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// tick is what one observation comes to beside the last one, for the estimators to share.
type tick struct {
	o        *series.Observation
	at       time.Time
	interval float64 // seconds
	// ready replicas work, where that is known; what they do is worth that of `effective` with partitions to themselves.
	ready, effective float64
	readyKnown       bool
	// arrivals and consumed are in records per second, lagBefore is the backlog at the start.
	arrivals, consumed, lagBefore series.Value
	// broken says that it does not follow on the last observation, partial that what was done in it is not all of a tick's or nobody's,
	// changed that the count of ready replicas did, unseen that it may have, disturbed any of these or a rebalance.
	broken, partial, changed, unseen, disturbed bool
	// behind says that there was a backlog throughout, saturated that each consumer had its share of it.
	behind, saturated bool
	// easy is the share of what was consumed that is no more than arrived, 0 where some of that was left.
	easy float64
}

// worthTheName is up to how many records no backlog is one worth the name: what arrives in a second waits for its commit.
func (t *tick) worthTheName() float64 { return max(t.arrivals.Or(0), 1) }

// kept reports whether the replicas are known to have left no backlog worth the name.
func (t *tick) kept() bool {
	lag, ok := t.o.LagRecords.Get()
	return ok && lag <= t.worthTheName()
}

// Learn updates s with one observation. It must be called once a tick, before Decide. The observation is not kept.
func (s *State) Learn(config *Config, o *series.Observation) {
	s.Ticks++
	tune := config.tuning()
	t := s.see(config, o)
	s.At, s.Broken = t.at, t.broken
	s.countUnknown(&t)
	came := t.changed && o.ReadyReplicas.Or(0) > s.LastReady.Or(0)
	if came {
		s.Came = t.at
	}
	if before, ok := s.LastReady.Get(); ok && o.ReadyReplicas.Known() && s.HasDesired && !t.broken {
		there := int(t.ready + o.StartingReplicas.Or(before)) // those that somebody else takes away do not start again
		s.Unsteady.observe(min(int(before), s.Desired, there)-int(t.ready), t.at)
	}
	s.Partitions.observe(o.Partitions, o.PartitionArrivalRecords)
	assumed := config.InitialLeadTime.Seconds()
	s.Lead.observe(o.StartupSeconds, o.ProvisionedStartupSeconds, t.ready, o.ReadyReplicas.Known(), t.at, assumed)
	s.Lead.hangs(s.Orders.oldest(s.Lead.OrderedTo-int(t.ready)), t.at, assumed, s.Lead.OrderedTo)
	idle := o.ReadyReplicas.Known() && int(t.ready) < s.Desired && o.StartingReplicas == series.Of(0) && !came
	s.Lead.heeds(!idle, t.at, assumed, int(t.ready))
	s.learnArrivals(config, &t, &tune)
	s.judge(&t)
	s.learnSkew(&t)
	s.observeStall(&t)
	s.Still.observe(o)
	if t.readyKnown {
		s.learnCapacity(config, &t, &tune)
		s.Spending.observe(t.at, t.interval, t.ready+o.StartingReplicas.Or(0))
	}
	s.learnPools(config, &t)
	most := 0.0
	if s.Capacity.sure() {
		most = highestWork(&s.Partitions) * s.Capacity.perReplica().Or(0) * s.Pace.factor(1-tune.Margin)
	}
	s.Promise.observe(config, o, t.consumed, t.arrivals, most, s.StalledTicks > 0)
	s.observeLatency(config, o, t.ready)
	s.observeEffect(&t, config.Interval)
	s.countQuiet(&t)
	if o.ReadyReplicas.Known() {
		s.LastReady = o.ReadyReplicas
	}
	s.LastLag = o.LagRecords
	s.derive(config)
}

// see compares o with the last observation, of which s still knows.
func (s *State) see(config *Config, o *series.Observation) tick {
	t := tick{o: o, at: o.At.Round(0).UTC(), interval: o.Interval.Seconds(), arrivals: s.arrivalRate(o), lagBefore: s.lagBefore(o)}
	t.ready, t.readyKnown = s.readyReplicas(config, o)
	t.broken, t.unseen = !s.follows(o), s.unseen(config, o)
	// A new process looks twice within one interval at first, and less than a commit may fall in between.
	t.partial = t.broken || s.Broken || t.unseen
	t.changed = o.ReadyReplicas.Known() && s.LastReady.Known() && s.LastReady != o.ReadyReplicas
	t.consumed = o.ConsumedRate()
	if !t.consumed.Known() && t.arrivals.Known() && t.lagBefore.Known() && o.LagRecords.Known() && t.interval > 0 {
		// What arrived and is not lag has been consumed.
		t.consumed = series.Of(max(0, t.arrivals.Or(0)-(o.LagRecords.Or(0)-t.lagBefore.Or(0))/t.interval))
	}
	return t
}

// countUnknown counts the ticks in which arrivals, and the backlog, were not known.
func (s *State) countUnknown(t *tick) {
	s.NoArrivals++
	if t.arrivals.Known() {
		s.NoArrivals = 0
	}
	s.NoLag++
	if t.o.LagRecords.Known() || t.o.LagSeconds.Known() {
		s.NoLag, s.LagSeen = 0, true
	}
}

func (s *State) learnArrivals(config *Config, t *tick, tune *Tuning) {
	if t.broken {
		s.Rivals.Next[0] = 0 // that was of another tick
	}
	if rate, ok := t.arrivals.Get(); ok {
		s.Hush.observe(rate, &s.Rivals.Next, t.at, config.Interval)
	}
	s.Rivals.observe(t.arrivals.NaN())
	s.Arrivals.observe(t.arrivals)
	if config.MinReplicas == 0 {
		s.Silence.observe(t.o, t.at, t.arrivals, s.LagSeen, !t.broken, s.lateFromZero(config))
	}
	s.Calibration.observe(t.arrivals.Times(config.Interval.Seconds()).NaN(),
		tune.DelayShare*config.ObjectiveLag.Seconds()/config.Interval.Seconds())
}

// judge says what t tells of the consumers: whether they had work throughout, all alike, and how much of it was no more than arrived.
func (s *State) judge(t *tick) {
	o := t.o
	// Every consumer had work throughout when there was a backlog at both ends worth more than saturatedSeconds of what the
	// group does, or was seen to do: else the less it does, the less backlog would make that look like all it can.
	rate := max(t.consumed.Or(0), s.Capacity.shown()*t.ready)
	t.behind = t.lagBefore.Known() && o.LagRecords.Known() && t.consumed.Or(0) > 0 &&
		min(t.lagBefore.Or(0), o.LagRecords.Or(0)) > saturatedSeconds*rate
	t.saturated = t.behind && s.Partitions.behindAlike(o, s.Arrivals.Level)
	t.disturbed = t.changed || t.partial || o.Rebalancing || s.Rebalance.Run > 0
	t.effective = t.ready
	if t.readyKnown && t.ready >= 1 && s.Partitions.Count > 0 {
		t.effective = s.Partitions.evenWork(int(t.ready))
	}
	// What is consumed of a backlog, or leaves one, may be all that they can do.
	t.easy = 1
	if a, ok := t.arrivals.Get(); ok && t.consumed.Or(0) > a {
		t.easy = a / t.consumed.Or(0)
	}
	left, before, least := o.LagRecords, t.lagBefore, t.worthTheName()
	if !left.Known() {
		left, before, least = o.LagSeconds, series.Of(s.Pace.Age), paceAge
	}
	if before.Known() && left.Or(0) > max(before.Or(0), least) {
		t.easy = 0
	}
}

// learnSkew learns which partitions get more than others from their backlogs, where their arrivals are not told.
func (s *State) learnSkew(t *tick) {
	o := t.o
	if len(o.PartitionArrivalRecords) > 0 || !t.readyKnown {
		return
	}
	growth := series.Missing
	if age, ok := o.LagSeconds.Get(); ok && s.Pace.Age > 0 && t.interval > 0 {
		growth = series.Of((age - s.Pace.Age) / t.interval)
	}
	s.Partitions.ByLag.observe(o.PartitionLagRecords, t.interval, t.ready, t.arrivals, s.Capacity.perReplica(), growth, t.disturbed)
}

// learnCapacity learns what the ready replicas can do, what the slowest does of it and what their changes take.
func (s *State) learnCapacity(config *Config, t *tick, tune *Tuning) {
	o, busy := t.o, t.o.BusyRatio
	if !t.partial && !t.disturbed && t.ready >= 1 {
		was := s.Busy.contradicted()
		s.Busy.observe(busy, t.consumed.Or(0)/t.ready, t.kept(), t.saturated && t.effective >= fullWork*t.ready)
		if !was && s.Busy.contradicted() {
			s.Capacity, s.Pace = capacity{LowerBound: s.Busy.Most, Shown: s.Busy.Most}, pace{Age: s.Pace.Age} // what was learned of it
		}
	}
	if s.Busy.contradicted() {
		busy = series.Missing
	}
	if !t.partial {
		s.Capacity.observe(t.interval, t.consumed, busy, t.ready, t.effective, t.saturated, t.disturbed, t.easy)
		s.observeSize(t.interval, o.ReplicaCPUCores, t.consumed, busy, t.ready, t.effective, t.saturated, t.disturbed, t.easy)
		if x := s.Partitions.behindThroughput(o); !t.disturbed {
			s.Capacity.show(x)
		}
		if !busy.Known() && !t.disturbed && t.easy > 0 {
			// Whoever has the partition that gets most does all of that, however many others there are.
			s.Capacity.carry(s.Partitions.heaviest() * min(t.arrivals.Or(0), t.consumed.Or(0)))
		}
		if t.behind && !t.disturbed && o.LagRecords.Or(0) > t.lagBefore.Or(0) && s.Partitions.hot == 0 && !onFew(o, s.Arrivals.Level) {
			s.Capacity.refute()
		}
	}
	expected := s.Partitions.work(int(t.ready)) * s.Capacity.perReplica().Or(0)
	shrinks := t.lagBefore.Known() && o.LagRecords.Or(math.Inf(1)) < t.lagBefore.Or(0)
	s.Pace.observe(s.age(o), shrinks, t.interval, config.Interval.Seconds(), &s.Calibration, expected, 1-tune.Margin,
		t.disturbed || s.Partitions.hot > 0 || s.Capacity.doubted())
	possible := s.Capacity.perReplica().Or(0) * t.ready
	// Any backlog will do for what a change takes: the slowest consumer has to get through it as well.
	s.Rebalance.observe(o.Rebalancing, t.interval, t.consumed.Or(0), possible, t.behind, t.changed || t.unseen, !t.partial)
}

func (s *State) learnPools(config *Config, t *tick) {
	s.matchPools(config.Pools)
	for i := range config.Pools {
		for j := range t.o.Pools {
			if p := &t.o.Pools[j]; p.Name == config.Pools[i].Name && !t.partial && t.interval > 0 {
				n := p.ReadyReplicas.Or(0)
				s.Pools[i].observe(t.interval, p.ConsumedRecords.Times(1/t.interval), p.BusyRatio, n, n, t.saturated, t.disturbed, t.easy)
			}
		}
	}
}

// countQuiet counts the ticks without arrivals, and those without a backlog worth the name.
func (s *State) countQuiet(t *tick) {
	o := t.o
	if a, ok := t.arrivals.Get(); ok && a == 0 && o.LagRecords.Or(0) == 0 {
		s.IdleTicks++
	} else {
		s.IdleTicks = 0
	}
	if t.kept() && o.ReadyReplicas.Known() && !t.disturbed {
		s.QuietTicks++
		s.Settled = true
		s.Tried = 0
	} else {
		s.QuietTicks = 0
		s.Settled = s.Settled && !t.changed
	}
}
