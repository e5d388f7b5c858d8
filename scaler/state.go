package scaler

import (
	"math"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// StateVersion is the version of State as it is stored. Bump it when a field changes its meaning or goes; a new field whose
// zero value means "not learned yet" needs none.
const StateVersion = 3

// State is what is carried from tick to tick besides the forecaster's own state: what was learned and what was decided.
// The zero State knows nothing. It is plain data; Autoscaler stores it in its checkpoint.
type State struct {
	Capacity    capacity
	Busy        busyCheck `json:",omitzero"`
	Pools       []capacity
	PoolNames   []string `json:",omitempty"` // whose Pools are; where it is not known they are in the policy's order
	Sizes       []size
	Pace        pace
	Lead        leadTimes
	Partitions  partitions
	Rebalance   rebalances
	Promise     promise
	Arrivals    recent
	Calibration calibration
	Rivals      rivals `json:",omitzero"`
	Spending    spending
	Work        work `json:",omitzero"`
	// Silence is learned where zero is allowed.
	Silence silence `json:",omitzero"`

	Ticks int
	// HistorySamples is how many samples the forecaster had from an imported history when it was taken over.
	HistorySamples int `json:",omitempty"`
	// At is the time of the last observation.
	At time.Time
	// Desired is the last answer; Changed when it last changed and Increase by how much, negative for a decrease.
	Desired    int
	HasDesired bool
	Changed    time.Time
	Increase   int
	Orders     orders `json:",omitzero"`
	// Came is when more replicas were ready than the tick before.
	Came      time.Time `json:",omitzero"`
	LastReady series.Value
	LastLag   series.Value
	// Broken says that the last observation did not follow on the one before it: the next may cover no more than the rest of an
	// interval.
	Broken     bool
	PanicUntil time.Time
	Wanted     [wantedKept]int // the latest counts that were enough, for the window before a decrease
	WantedAt   int
	Latency    latencyLoop `json:",omitzero"`
	// NoArrivals and NoLag count ticks in a row in which arrivals and backlog were not known; LagSeen says that a backlog ever was.
	NoArrivals, NoLag int
	LagSeen           bool
	// IdleTicks counts ticks in a row without arrivals and without a backlog.
	IdleTicks int
	// QuietTicks counts ticks in a row in which the same replicas left no backlog worth the name.
	QuietTicks int
	// TriedTicks counts down the ticks in which a count that is tried is left alone to be seen at work.
	TriedTicks int
	// Tried is the count that was gone down to, until it was seen without a backlog worth the name or was too few; 0 where there is none.
	Tried int `json:",omitzero"`
	// DrainTicks counts ticks in a row in which a backlog or a rebalance was in the way of a decrease.
	DrainTicks int
	// EffectBefore is the throughput before the last increase and EffectGain the share by which it should have grown when
	// EffectDue has come.
	EffectBefore float64
	EffectGain   float64
	EffectDue    time.Time
	Ineffective  bool
	// Settled says that the replicas that are ready, as many as they are, have been seen without a backlog worth the name.
	Settled bool `json:",omitzero"`
	// TooFew is the count that a backlog asked more than last.
	TooFew tooFew `json:",omitzero"`
	// Down is the last decrease and TakenBack the last that was taken back, with what was then forecast.
	Down, TakenBack tooFew `json:",omitzero"`
}

const wantedKept = 64

// A trial lasts triedTicks, which span the decrease, its rebalance and two whole intervals after it, and no less than three times
// tunedInterval.
const triedTicks = 5

// recent keeps the latest arrival rates, for the rules that need no forecaster.
type recent struct {
	Level, Trend, Noise float64 // exponentially weighted mean, its drift a tick, mean absolute error of one tick ahead
	Last                float64
	Count               int
	// Beyond is by how much the last value left the level, where that was more than chance; 0 where it was not.
	Beyond float64 `json:",omitzero"`
}

const (
	levelGain = 0.4
	noiseGain = 0.05
	// beyondNoise is how many times its mean an error must be to be more than chance: five deviations of a normal variable. Two such
	// in a row to the same side are another level, and a single one may be anything.
	beyondNoise = 4
)

func (r *recent) observe(v series.Value) {
	x, ok := v.Get()
	if !ok || x < 0 {
		return
	}
	r.Last = x
	r.Count++
	if r.Count == 1 {
		r.Level, r.Noise = x, 0.2*x
		return
	}
	err := x - r.Level
	before := r.Beyond
	r.Beyond = 0
	if math.Abs(err) > beyondNoise*r.Noise {
		r.Beyond = err
	}
	if r.Beyond*before > 0 {
		r.Level, r.Beyond = x, 0
		return
	}
	r.Level += levelGain * err
	r.Noise += max(noiseGain, 1/float64(r.Count)) * (math.Abs(err) - r.Noise)
}

// follows reports whether o's interval begins at the last observation, give or take half of it. It does not where ticks were
// lost, where counts could not be read at the last one, or where a new process begins to count. It must be asked before Learn.
func (s *State) follows(o *series.Observation) bool {
	return o.Interval > 0 && (s.At.IsZero() || (o.At.Sub(s.At)-o.Interval).Abs() <= o.Interval/2)
}

// lagBefore returns the backlog at the start of o's interval. It must be asked before Learn.
func (s *State) lagBefore(o *series.Observation) series.Value {
	if !s.follows(o) {
		return series.Missing
	}
	return s.LastLag
}

// arrivalRate returns the arrivals in records per second. Where they were not observed, what was consumed and the change of the
// backlog since the last tick tell them. It must be asked before Learn.
func (s *State) arrivalRate(o *series.Observation) series.Value {
	seen := o.ArrivalRate()
	if seen.Known() || o.Interval <= 0 {
		return seen
	}
	derived, ok := o.ConsumedRecords.Plus(o.LagRecords).Plus(s.lagBefore(o).Times(-1)).Get()
	if !ok {
		return series.Missing
	}
	return series.Of(max(0, derived) / o.Interval.Seconds())
}

// readyReplicas returns how many replicas work. Where that is not observed, it is taken to be what was last asked for, from when
// that has had the time to start.
func (s *State) readyReplicas(config *Config, o *series.Observation) (float64, bool) {
	if ready, ok := o.ReadyReplicas.Get(); ok {
		return ready, true
	}
	if s.Changed.IsZero() || o.At.Sub(s.Changed).Seconds() < s.Lead.seconds(config.InitialLeadTime.Seconds(), s.Desired) {
		return 0, false
	}
	return float64(s.Desired), true
}

// unseen reports whether o does not tell how many replicas worked and those that were asked for may have come during its interval: then
// what was done in it is nobody's.
func (s *State) unseen(config *Config, o *series.Observation) bool {
	lead := time.Duration(s.Lead.seconds(config.InitialLeadTime.Seconds(), s.Desired) * float64(time.Second))
	return !o.ReadyReplicas.Known() && o.At.Sub(s.Changed) < o.Interval+lead
}

// blind reports whether what arrives or what waits has not been known for a while: then a decrease would rest on nothing. A
// backlog that was never known is not waited for.
func (s *State) blind() bool { return s.NoArrivals >= staleTicks || s.LagSeen && s.NoLag >= staleTicks }

// Learn updates s with one observation. It must be called once a tick, before Decide. The observation is not kept.
func (s *State) Learn(config *Config, o *series.Observation) {
	s.Ticks++
	tune := config.tuning()
	at := o.At.Round(0).UTC()
	interval := o.Interval.Seconds()
	ready, readyKnown := s.readyReplicas(config, o)
	arrivals, lagBefore := s.arrivalRate(o), s.lagBefore(o)
	broken := !s.follows(o)
	// A new process looks twice within one interval at first, and less than a commit may fall in between.
	partial := broken || s.Broken
	unseen := s.unseen(config, o)
	partial = partial || unseen
	s.At, s.Broken = at, broken
	s.NoArrivals++
	if arrivals.Known() {
		s.NoArrivals = 0
	}
	s.NoLag++
	if o.LagRecords.Known() || o.LagSeconds.Known() {
		s.NoLag, s.LagSeen = 0, true
	}
	changed := o.ReadyReplicas.Known() && s.LastReady.Known() && s.LastReady != o.ReadyReplicas

	if changed && o.ReadyReplicas.Or(0) > s.LastReady.Or(0) {
		s.Came = at
	}
	s.Partitions.observe(o.Partitions, o.PartitionArrivalRecords)
	assumed := config.InitialLeadTime.Seconds()
	s.Lead.observe(o.StartupSeconds, o.ProvisionedStartupSeconds, ready, o.ReadyReplicas.Known(), at, assumed)
	s.Lead.hangs(s.Orders.oldest(s.Lead.OrderedTo-int(ready)), at, assumed, s.Lead.OrderedTo)
	if broken {
		s.Rivals.Next[0] = 0 // that was of another tick
	}
	s.Rivals.observe(arrivals.NaN())
	s.Arrivals.observe(arrivals)
	if config.MinReplicas == 0 {
		s.Silence.observe(o, at, arrivals, s.LagSeen, !broken, s.lateFromZero(config))
	}
	s.Calibration.observe(arrivals.Times(config.Interval.Seconds()).NaN(), tune.DelayShare*config.ObjectiveLag.Seconds()/config.Interval.Seconds())

	consumed := o.ConsumedRate()
	if !consumed.Known() && arrivals.Known() && lagBefore.Known() && o.LagRecords.Known() && interval > 0 {
		// What arrived and is not lag has been consumed.
		consumed = series.Of(max(0, arrivals.Or(0)-(o.LagRecords.Or(0)-lagBefore.Or(0))/interval))
	}
	// Every consumer had work throughout when there was a backlog at both ends worth more than saturatedSeconds of what the
	// group does, or was seen to do: else the less it does, the less backlog would make that look like all it can.
	rate := max(consumed.Or(0), s.Capacity.shown()*ready)
	behind := lagBefore.Known() && o.LagRecords.Known() && consumed.Or(0) > 0 && min(lagBefore.Or(0), o.LagRecords.Or(0)) > saturatedSeconds*rate
	saturated := behind && s.Partitions.behindAlike(o, s.Arrivals.Level)
	disturbed := changed || partial || o.Rebalancing || s.Rebalance.Run > 0
	if len(o.PartitionArrivalRecords) == 0 && readyKnown {
		growth := series.Missing
		if age, ok := o.LagSeconds.Get(); ok && s.Pace.Age > 0 && interval > 0 {
			growth = series.Of((age - s.Pace.Age) / interval)
		}
		s.Partitions.ByLag.observe(o.PartitionLagRecords, interval, ready, arrivals, s.Capacity.perReplica(), growth, disturbed)
	}
	effective := ready
	if readyKnown && ready >= 1 && s.Partitions.Count > 0 {
		effective = s.Partitions.evenWork(int(ready))
	}
	// What is consumed of a backlog, or leaves one, may be all that they can do.
	easy := 1.0
	if a, ok := arrivals.Get(); ok && consumed.Or(0) > a {
		easy = a / consumed.Or(0)
	}
	left, before, least := o.LagRecords, lagBefore, max(arrivals.Or(0), 1)
	if !left.Known() {
		left, before, least = o.LagSeconds, series.Of(s.Pace.Age), paceAge
	}
	if before.Known() && left.Or(0) > max(before.Or(0), least) {
		easy = 0
	}
	if readyKnown {
		busy := o.BusyRatio
		if !partial && !disturbed && ready >= 1 {
			lag, known := o.LagRecords.Get()
			was := s.Busy.contradicted()
			s.Busy.observe(busy, consumed.Or(0)/ready, known && lag <= max(arrivals.Or(0), 1), saturated && effective >= fullWork*ready)
			if !was && s.Busy.contradicted() {
				s.Capacity = capacity{LowerBound: s.Busy.Most, Shown: s.Busy.Most} // what was learned of it
			}
		}
		if s.Busy.contradicted() {
			busy = series.Missing
		}
		if !partial {
			s.Capacity.observe(interval, consumed, busy, ready, effective, saturated, disturbed, easy)
			s.observeSize(interval, o.ReplicaCPUCores, consumed, busy, ready, effective, saturated, disturbed, easy)
			if x := s.Partitions.behindThroughput(o); !disturbed {
				s.Capacity.show(x)
			}
			if behind && !disturbed && o.LagRecords.Or(0) > lagBefore.Or(0) && s.Partitions.hot == 0 && !onFew(o, s.Arrivals.Level) {
				s.Capacity.refute()
			}
		}
		expected := s.Partitions.work(int(ready)) * s.Capacity.perReplica().Or(0)
		s.Pace.observe(s.age(o), interval, &s.Calibration, expected, 1-tune.Margin, disturbed || s.Partitions.hot > 0 || s.Capacity.doubted())
		possible := s.Capacity.perReplica().Or(0) * ready
		// Any backlog will do for what a change takes: the slowest consumer has to get through it as well.
		s.Rebalance.observe(o.Rebalancing, interval, consumed.Or(0), possible, behind, changed || unseen, !partial && !s.Capacity.doubted())
		s.Spending.observe(at, interval, ready+o.StartingReplicas.Or(0))
	}
	s.matchPools(config.Pools)
	for i := range config.Pools {
		for j := range o.Pools {
			if p := &o.Pools[j]; p.Name == config.Pools[i].Name && !partial && interval > 0 {
				n := p.ReadyReplicas.Or(0)
				s.Pools[i].observe(interval, p.ConsumedRecords.Times(1/interval), p.BusyRatio, n, n, saturated, disturbed, easy)
			}
		}
	}
	most := 0.0
	if s.Capacity.sure() {
		most = highestWork(&s.Partitions) * s.Capacity.perReplica().Or(0) * s.Pace.factor(1-tune.Margin)
	}
	s.Promise.observe(config, o, consumed, arrivals, most)
	s.observeLatency(config, o, ready)
	s.observeEffect(consumed, o.StartingReplicas.Or(0), behind, behind && o.LagRecords.Or(0) >= lagBefore.Or(0), at, config.Interval)

	if a, ok := arrivals.Get(); ok && a == 0 && o.LagRecords.Or(0) == 0 {
		s.IdleTicks++
	} else {
		s.IdleTicks = 0
	}
	if lag, ok := o.LagRecords.Get(); ok && o.ReadyReplicas.Known() && !disturbed && lag <= max(arrivals.Or(0), 1) {
		s.QuietTicks++
		s.Settled = true
		s.Tried = 0
	} else {
		s.QuietTicks = 0
		s.Settled = s.Settled && !changed
	}
	if o.ReadyReplicas.Known() {
		s.LastReady = o.ReadyReplicas
	}
	s.LastLag = o.LagRecords
	s.derive(config)
}

// derive recomputes what follows from the learned state and is not stored.
func (s *State) derive(config *Config) {
	s.Partitions.derive(config.MaxReplicas, s.Arrivals.Level, s.Capacity.perReplica().Or(0))
}

// age returns the age of the oldest record in seconds. Where neither that nor the partitions are known it is taken to be the mean's,
// for that much at least is the group behind: as many records wait as have arrived in that time. With known partitions, what their
// count makes uneven is reckoned with, and the mean would make the slowest consumer look quicker than it is.
func (s *State) age(o *series.Observation) series.Value {
	if o.LagSeconds.Known() || s.Partitions.Count > 0 || !(s.Arrivals.Level > 0) {
		return o.LagSeconds
	}
	return o.LagRecords.Times(1 / s.Arrivals.Level)
}

// load returns the recent arrivals in replicas.
func (s *State) load() float64 { return s.replicas(s.Arrivals.Level) }

// replicas returns a rate in replicas; where one's capacity is a guess, in those that do what was shown without effort, if anything was.
func (s *State) replicas(rate float64) float64 {
	perReplica := s.Capacity.perReplica().Or(0)
	if s.Capacity.guessed() && s.Capacity.LowerBound > 0 {
		perReplica = s.Capacity.LowerBound
	}
	return rate / max(perReplica, 1e-12)
}

// thought returns a rate in replicas as the plan reckons: where one's capacity is a guess, in those that do what is guessed.
func (s *State) thought(rate float64) float64 {
	return rate / max(s.Capacity.perReplica().Or(0), 1e-12)
}

// observeEffect compares the throughput some time after an increase with that before it, while there is a backlog, and says that
// the increase was ineffective when little of what it should have given came and the backlog still grows: that is on partitions
// that have all of a consumer already, or wait for something else.
func (s *State) observeEffect(consumed series.Value, starting float64, behind, growing bool, at time.Time, interval time.Duration) {
	// More than arrives is not consumed for long, however many consume.
	needed := s.EffectBefore + effectShare*min(s.EffectGain*s.EffectBefore, s.Arrivals.Level-s.EffectBefore)
	if !behind || consumed.Or(0) >= needed {
		s.Ineffective = false // it got through after all
	}
	if s.EffectDue.IsZero() {
		return
	}
	if settled := at.Add(settleTicks * interval); starting > 0 && s.EffectDue.Before(settled) {
		s.EffectDue = settled // what was ordered takes longer than was known
	}
	if at.Before(s.EffectDue) {
		return
	}
	s.Ineffective = growing && s.EffectBefore > 0 && consumed.Known() && consumed.Or(0) < needed
	s.EffectDue = time.Time{}
}

const (
	// effectShare is the share of the throughput that an increase should have given from which on it counts as effective.
	effectShare = 0.25
	// settleTicks is how long replicas that have started are given until their effect is judged: for the rebalance, and for a
	// whole tick after it.
	settleTicks = 3
)

// Record notes a decision that is about to be given, so that the next one knows of it.
func (s *State) Record(d *Decision, o *series.Observation) {
	at := d.At.Round(0).UTC()
	// Where nobody tells how many are ready, those that were asked for before are there by now, and at once where others were given up.
	there, wait := o.ReadyReplicas, o.Interval
	if s.Increase > 0 {
		wait += time.Duration(d.LeadTimeSeconds.Or(60) * float64(time.Second))
	}
	if !there.Known() && s.HasDesired && at.Sub(s.Changed) >= wait {
		there = series.OfInt(s.Desired)
	}
	if s.HasDesired && d.DesiredReplicas != s.Desired || !s.HasDesired && !d.CurrentReplicas.Known() || !s.HasDesired && d.CurrentReplicas.Known() && d.DesiredReplicas != int(d.CurrentReplicas.Or(0)) {
		s.Changed = at
		current, ok := d.CurrentReplicas.Get()
		s.Increase = d.DesiredReplicas - int(d.CurrentReplicas.Or(float64(s.Desired)))
		s.Orders.note(s.Increase, at)
		if ok && d.DesiredReplicas > int(current) {
			if fromZero := s.Lead.fromZero() && o.ReadyReplicas.Or(1) == 0; !fromZero { // what is ordered on top of the first changes nothing of that
				s.Lead.OrderedFrom = int(current)
			}
			s.Lead.OrderedAt, s.Lead.OrderedTo = at, d.DesiredReplicas
			s.EffectBefore = o.ConsumedRate().Or(0)
			s.EffectGain = s.Partitions.work(d.DesiredReplicas)/max(s.Partitions.work(int(current)), 1) - 1
			s.EffectDue = at.Add(2 * time.Duration(d.LeadTimeSeconds.Or(60)*float64(time.Second)))
		} else {
			s.Lead.OrderedAt = time.Time{}
			s.EffectDue = time.Time{}
		}
	}
	current, currentKnown := d.CurrentReplicas.Get()
	if !currentKnown {
		current, currentKnown = there.Get()
	}
	if currentKnown {
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
	if n := int(current); currentKnown && d.DesiredReplicas > n {
		guess := s.Capacity.guessed() && s.Tried == n && d.planned > n // a schedule says nothing of what was tried
		// A backlog from before they were ready says nothing of whether they are enough, unless more were there before or it does not shrink.
		settled := s.Settled || s.Tried == n || s.Pace.Grows && s.thought(s.Arrivals.Last) <= s.Partitions.work(n)
		own := settled && s.Partitions.hot == 0 && d.Reason == ReasonBacklog && there.Or(0) >= current && s.thought(s.Arrivals.Level) <= s.Partitions.work(n)
		if guess || own {
			s.TooFew = tooFew{n, s.Arrivals.Level, s.load(), at}
		}
		s.Tried = 0
		if guess {
			s.Tried = d.DesiredReplicas // no less a guess
		}
	} else if d.DesiredReplicas < n {
		s.Tried = d.DesiredReplicas
	}
	if expected, ok := d.expected.Get(); ok {
		s.Silence.expect(expected, s.At, d.expectSpan)
	}
	if d.horizon > 0 {
		if n, ok := d.unpaced.Get(); ok {
			s.Spending.want(at, n)
		}
		s.Wanted[s.WantedAt%wantedKept] = d.planned
		s.WantedAt++
		s.Calibration.note(d.horizon, d.required)
		s.Rivals.note(d.next, s.Arrivals.Last, 1.25*s.Arrivals.Noise)
	}
	s.Desired, s.HasDesired = d.DesiredReplicas, true
}

// A plan for panicRatio times the replicas that are ready means that the load is not what it was foreseen to be. Until panicSpan
// after the latest such plan nothing is taken away. Both are those of Knative's pod autoscaler (panic-threshold-percentage 200,
// stable-window 60s).
const (
	panicRatio = 2
	panicSpan  = time.Minute
)
