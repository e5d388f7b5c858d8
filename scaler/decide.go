package scaler

import (
	"math"
	"slices"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/metrics/series"
)

// Input is all that one decision depends on. Nothing in it is modified or kept.
type Input struct {
	Config *Config
	// State has already learned the observation.
	State       *State
	Observation *series.Observation
	// Forecast is of the arrivals in records per second; nil where there is none.
	Forecast *forecaster.Forecast
	// ScheduledMin is the highest lower bound that schedules ask for now; 0 where none does.
	ScheduledMin int
}

// staleTicks is how many intervals an observation may be old.
const staleTicks = 3

// warmTicks is how many observations must have been seen before the count may change, except to save a backlog.
const warmTicks = 4

// Decide returns the replica count for one policy at now, and why. It is pure: the same now and in give the same Decision,
// and nothing is changed. Time and memory grow with the partitions and the horizon, not with history.
func Decide(now time.Time, in Input) Decision {
	var d Decision
	DecideInto(&d, now, in)
	describe(&d)
	return d
}

// DecideInto is Decide into memory that is reused: it overwrites d, keeping the room of its slices, and leaves out the
// Details of its Terms. In its steady state it allocates nothing.
func DecideInto(d *Decision, now time.Time, in Input) {
	*d = Decision{
		Policy: in.Config.Policy, At: now.Round(0).UTC(),
		Verdicts: d.Verdicts[:0], Terms: d.Terms[:0], ArrivalForecast: d.ArrivalForecast[:0], Accuracy: d.Accuracy, Pools: d.Pools[:0],
	}
	d.Accuracy = ForecastAccuracy{MaxCoverage: d.Accuracy.MaxCoverage[:0], MaxPinball: d.Accuracy.MaxPinball[:0]}
	if in.Forecast != nil {
		accuracyOf(&d.Accuracy, in.Forecast)
	}
	tune := in.Config.tuning()
	decider{Decision: d, in: in, config: in.Config, state: in.State, o: in.Observation, tune: &tune}.run(now)
	slices.Sort(d.Verdicts)
	d.Verdicts = slices.Compact(d.Verdicts)
}

// decider holds one decision while it is made.
type decider struct {
	*Decision
	in     Input
	config *Config
	state  *State
	o      *series.Observation
	tune   *Tuning
}

func (d decider) verdict(v Verdict) { d.Verdicts = append(d.Verdicts, v) }

func (d decider) term(name string, replicas int, amount float64) {
	d.Terms = append(d.Terms, Term{Name: name, Replicas: replicas, Amount: amount})
}

func (d decider) run(now time.Time) {
	o, s, config := d.o, d.state, d.config
	interval := config.Interval.Seconds()

	current, known := presentCount(config, s, o)
	d.CurrentReplicas = series.Missing
	if known {
		d.CurrentReplicas = series.OfInt(current)
	}
	if o.UnschedulableReplicas.Or(0) > 0 {
		d.verdict(VerdictUnschedulable)
	}
	if s.Busy.contradicted() && o.BusyRatio.Known() {
		d.verdict(VerdictBusyRatioContradicted)
	}
	// What another pool stands in for is not on its way.
	current = max(current-stuck(o), 0)
	d.ArrivalRate, d.LagRecords, d.LagSeconds = o.ArrivalRate(), o.LagRecords, o.LagSeconds
	d.CapacityPerReplica = s.Capacity.perReplica()
	lead := s.Lead.seconds(config.InitialLeadTime.Seconds(), current)
	d.LeadTimeSeconds = series.Of(lead)
	lowest := max(config.MinReplicas, min(d.in.ScheduledMin, config.MaxReplicas))
	highest := config.MaxReplicas
	d.term("current", current, 0)

	if o.At.IsZero() || now.Sub(o.At) > staleTicks*config.Interval || (!o.ArrivalRecords.Known() && !o.LagRecords.Known() && !o.LagSeconds.Known()) {
		d.verdict(VerdictStale)
		d.settle(current, ReasonStale)
		return
	}
	if o.At.Before(s.At) {
		d.verdict(VerdictStale) // the clock was set back, and nothing is learned until it is where it was
	}
	perReplica, ok := d.CapacityPerReplica.Get()
	// A rate that was never seen is not a rate of nothing.
	if !ok || s.Ticks < warmTicks || s.Arrivals.Count == 0 {
		d.verdict(VerdictWarmingUp)
		d.settle(d.coldStart(current, lowest, highest))
		return
	}
	if !s.Capacity.sure() {
		d.verdict(VerdictWarmingUp)
	}

	// The arrivals of the coming ticks.
	pace := s.Pace.factor(1 - d.tune.Margin)
	if s.Ineffective {
		pace = 1 - d.tune.Margin // the slowest is not slow for want of replicas
	}
	sc := scene{
		perReplica: perReplica * interval * pace,
		pauseTicks: s.Rebalance.seconds() / interval,
		delayTicks: config.ObjectiveLag.Seconds() / interval,
		leadSteps:  max(1, int(math.Ceil(lead/interval))),
	}
	sc.leadSteps = min(sc.leadSteps, maxPathSteps*4/5)
	beyond := max(d.tune.upSteps(sc.leadSteps), d.tune.DownSteps)
	sc.leadSteps = min(sc.leadSteps, maxPathSteps-beyond)
	var p paths
	sc.paths = &p
	steps := sc.leadSteps + beyond
	var scale [pathCount]float64
	for j := range scale {
		scale[j] = d.tune.Spread * s.Calibration.scale(j)
	}
	reason := ReasonForecast
	f := d.in.Forecast
	usable := f != nil && f.Steps > 0 && len(f.Levels) > 0 && f.Warm
	switch {
	case usable:
		p.fromForecast(f, steps, interval, &scale, d.tune.Noise)
		for j, level := range pathLevels {
			d.next[j] = quantileAt(f.Levels, f.PerStep[:len(f.Levels)], level)
		}
		if config.MinReplicas == 0 {
			d.expected, d.expectSpan = series.Of(expectedMost(f, interval)), s.expectSpan(config)
		}
		if !f.Trusted {
			d.verdict(VerdictForecastUntrusted)
			p.raise(s.Arrivals.Level * interval)
		}
		if s.Rivals.Lost {
			reason = ReasonReactive
			d.verdict(VerdictForecastUntrusted)
			var lately paths
			lately.fromRecent(&s.Arrivals, steps, interval, &scale, d.tune.Noise)
			p.raiseTo(&lately)
		}
	default:
		reason = ReasonReactive
		d.verdict(VerdictWarmingUp)
		p.fromRecent(&s.Arrivals, steps, interval, &scale, d.tune.Noise)
	}
	if f != nil && len(f.Max) == len(f.Levels) {
		d.HorizonSteps = f.Steps
		for i, l := range f.Levels {
			d.ArrivalForecast = append(d.ArrivalForecast, QuantileValue{l, f.Max[i]})
		}
	}

	room := sc.delayTicks * d.tune.DelayShare
	d.horizon = steps
	for j := range pathCount {
		d.required[j] = requirement(p.at[j][:steps], room)
	}

	// The group as it is.
	parts := &s.Partitions
	ready := int(o.ReadyReplicas.Or(float64(current)))
	sc.now = parts.work(ready) * sc.perReplica
	d.come(&sc, ready, current)
	// What is learned is often of several pauses in a row.
	sc.ready, sc.joining = ready, current-ready
	sc.joinPause, sc.joinTicks = min(s.Rebalance.seconds(), assumedPause)/interval, s.Lead.Plain.spread()/interval
	reach := perReplica * config.ObjectiveLag.Seconds()
	sc.backlog = parts.drainable(o.LagRecords, o.PartitionLagRecords, reach, s.Arrivals.Level, perReplica)
	sc.backlog = max(sc.backlog, d.behind(reach))
	if s.Ineffective {
		sc.backlog = 0
	}
	ahead := min(sc.leadSteps, p.steps-1)
	whole := p.at[3][ahead] / sc.perReplica // the demand, whichever partitions it is on
	if config.Sizes {
		d.chooseSize(p.at[3][ahead]/interval/s.Pace.factor(1-d.tune.Margin), parts.hottest(s.Arrivals.Level))
	}
	verdicts := len(d.Verdicts)
	if parts.hot > 0 {
		// The hot partitions' own consumers are busy whatever the count; plan for the others.
		for j := range pathCount {
			for k := range p.steps {
				p.at[j][k] = p.at[j][k]*parts.coldShare + float64(parts.hot)*sc.perReplica
			}
		}
		d.verdict(VerdictHotPartition)
	}

	d.sustained = p.mean(0, 0, sc.leadSteps+d.tune.DownSteps) / interval
	price := s.Promise.price(config.ViolationRatio)
	d.Level = levelOf(price)
	demand := p.at[3][ahead] / sc.perReplica
	want, atOnce := sc.best(parts, current, lowest, highest, price, d.tune)
	d.term("plan", want, demand)
	if atOnce > want {
		d.term("joins", want, float64(atOnce))
	}
	if budget := config.BudgetReplicaHoursPerDay; budget > 0 {
		d.unpaced = series.OfInt(want)
		if share := s.Spending.share(budget, d.At); share < shareEnough {
			d.verdict(VerdictBudgetBound)
			price = max(price*math.Pow(share, savedPrice), leastPrice)
			if n, _ := sc.best(parts, current, lowest, highest, price, d.tune); n < want {
				want, reason = n, ReasonBudget
				d.term("pace", want, share)
			}
		}
	}
	if s.Promise.atMost(config.ViolationRatio) {
		d.term("price", want, price)
	}
	if fewer := parts.below(current); want == current && s.Capacity.explorable() && fewer >= max(lowest, 1, s.tooFew(d.At)+1) && float64(s.QuietTicks)*interval >= d.quiet(fewer, current, lead) {
		want, d.exploring = fewer, true
		d.term("explore", want, 0)
	} else if want > current && s.Capacity.guessed() && sc.backlog <= s.Arrivals.Level*min(triedBacklog+s.Rebalance.seconds(), config.ObjectiveLag.Seconds()/2) {
		switch {
		case s.TriedTicks > 0:
			want = current // what was tried has not been seen yet
			d.term("tried", want, 0)
		case slices.Max(p.at[0][:steps]) <= parts.work(current)*sc.perReplica:
			want = current // the most that was seen is no bound on what they can do, and chance alone passes it
			d.term("guess", want, 0)
		}
	}
	d.planned = want
	// In whole ticks, for those are not given to the millisecond.
	since := now.Sub(s.Changed).Round(config.Interval)
	soon := since < tunedInterval && want < panicRatio*current
	if little := float64(want) < littleMore*float64(current); little {
		// Those that have just come stopped the group for it, and what that left is no reason for more.
		// While most of what was asked for is still to come, the forecast is wide since the step that asked for it.
		soon = soon || since <= config.Interval || now.Sub(s.Came).Round(config.Interval) < tunedInterval || current >= panicRatio*max(ready, 1)
	}
	if asked := max(current, s.Desired); want > asked && s.Increase > 0 && soon {
		want = asked // the last increase was a moment ago, and may not have been carried out; another will know more
		d.term("increased", want, 0)
	}
	if want > current && sc.backlog > 0 {
		without := sc
		without.backlog = 0
		if n, _ := without.best(parts, current, lowest, highest, price, d.tune); n < want {
			reason = ReasonBacklog
			d.term("backlog", want, sc.backlog)
		}
	}
	bound := VerdictMaxBound
	if parts.Count > 0 && parts.Count <= highest {
		bound = VerdictPartitionBound
	}
	if whole > 1.0001*highestWork(parts) {
		d.verdict(bound)
	}
	if s.Ineffective {
		d.verdict(VerdictIneffective)
	}

	if config.ObjectiveLatency > 0 {
		if s.Latency.Unreachable {
			d.verdict(VerdictLatencyUnreachable)
		}
		load := demand
		n := int(math.Ceil(latencyReplicas(load, latencyMargin(config.ViolationRatio, s.Latency.More)) - 1e-9))
		n = min(n, highest)
		if parts.Count > 0 {
			n = min(n, parts.Count)
		}
		d.term("latency", n, load)
		if n > want {
			want, reason = n, ReasonLatency
		}
	}
	panicking := false
	if want < current {
		if held, few := d.holdDown(current, want, sc.backlog, perReplica); held > want {
			d.term("hold", held, float64(few))
			want = held
		}
		if d.At.Before(s.PanicUntil) && current > want {
			d.term("panic", current, 0)
			want, panicking = current, true
		}
	}
	if config.MinReplicas == 0 {
		came := max(o.ArrivalRecords.Or(0), waits(o))
		switch {
		case came > 0 && want == 0: // beside what a replica does a record or two are nothing, and would wait for ever
			want, reason = 1, ReasonBacklog
			d.term("backlog", want, came)
		case came > 0:
		case d.silence(current, want):
			want, reason = 0, ReasonReactive
			d.term("silence", 0, 0)
			if d.unpaced.Known() {
				d.unpaced = series.Of(0)
			}
		}
	}
	switch {
	case panicking:
		reason = ReasonPanic
	case want == current:
		reason = ReasonHold
	}
	d.settle(want, reason)
	// Where something else keeps the count down or from helping, a sooner start would not keep the promise either.
	free := len(d.Verdicts) == verdicts && !config.Paused && !config.Observe
	if age := o.LagSeconds.Or(0); age > mostDrain*max(config.ObjectiveLag.Seconds(), lead) && onFew(o, s.Arrivals.Level) {
		free = false // such as a partition that nobody reads: what has waited for so long, while the others do not, waits for no start
	}
	if times, lately := s.Promise.broken(config.ViolationRatio, d.At, time.Duration(lead*float64(time.Second))); free && lately && times > 10 && lead > config.ObjectiveLag.Seconds() {
		d.verdict(VerdictLeadTimeTooLong)
	}
	// What is left of a demand that was more than all of them can do keeps records late for long after it: with more they would get rid of
	// it within a lead time and the objective.
	drains := whole + sc.backlog/(sc.perReplica*(float64(sc.leadSteps)+sc.delayTicks))
	if late := o.LagSeconds.Or(0) > config.ObjectiveLag.Seconds(); late && ready >= parts.below(highest+1) && drains > 1.0001*highestWork(parts) {
		d.verdict(bound)
	}
}

// littleMore is the share of the present count below which an increase waits for one more tick in the tick after another, for 15 s or
// one tick where replicas have just come, and for as long as no more than half of the present count is ready.
const littleMore = 1.25

// behind returns the backlog that the group would have were all of it as far behind as its slowest consumer: that one's
// records are late first, and its share of the whole backlog is small. It is 0 where the oldest record does not wait for a
// consumer that more replicas would relieve.
func (d decider) behind(reach float64) float64 {
	s, o := d.state, d.o
	age, ok := o.LagSeconds.Get()
	if !ok || age < paceAge || s.Pace.Stuck || s.Partitions.hot > 0 || s.Ineffective {
		return 0
	}
	for _, v := range o.PartitionLagRecords {
		if v.Or(0) > reach {
			return 0 // a partition of its own is behind
		}
	}
	return s.Arrivals.Level * min(age, mostBehind*d.config.ObjectiveLag.Seconds())
}

// mostBehind bounds the age that counts, in objectives: what is later cannot be helped any more.
const mostBehind = 1.5

// exploreSeconds is for how long replicas of unknown capacity must have kept up before one step fewer is tried. Only less can
// teach what they can do where nobody reports how busy they are. safeSeconds is enough where nothing comes late if they fail: two minutes
// hold a trial, its rebalance and the ticks that show what it left.
const exploreSeconds, safeSeconds = 600, 120

// quiet returns for how many seconds `current` replicas of unknown capacity must have kept up before `fewer` are tried. Had they done
// all that they can, fewer would fall behind by so much a second until what is seen after a tick or two is there a lead time later.
func (d decider) quiet(fewer, current int, lead float64) float64 {
	parts := &d.state.Partitions
	short := 1 - parts.work(fewer)/parts.work(current)
	least := float64(exploreSeconds)
	if short*(lead+2*d.config.Interval.Seconds()) <= d.tune.DelayShare*d.config.ObjectiveLag.Seconds() {
		least = safeSeconds
	}
	return max(least, 2*lead)
}

// triedBacklog is how many seconds of arrivals may wait, besides those of the pause that the change took, until what is tried has been
// seen at work. More means that it is too few.
const triedBacklog = 1.0

func highestWork(p *partitions) float64 {
	if len(p.effective) == 0 {
		return math.Inf(1)
	}
	return p.effective[len(p.effective)-1]
}

// levelOf puts the price as the quantile level that a newsvendor would order at, who pays 1 for a replica too many.
func levelOf(price float64) float64 { return 1 - 1/(1+max(price, 0)) }

// presentCount returns how many replicas are ready or starting; where that is not known, what was asked for last.
func presentCount(config *Config, s *State, o *series.Observation) (int, bool) {
	if ready, ok := o.ReadyReplicas.Get(); ok && ready >= 0 {
		starting, ok := o.StartingReplicas.Get()
		if !ok && s.HasDesired && float64(s.Desired) > ready {
			// What was asked for is on its way, unless it should have been there long ago.
			lead := s.Lead.seconds(config.InitialLeadTime.Seconds(), int(min(ready, 1e6)))
			if o.At.Sub(s.Changed).Seconds() < 2*lead+config.Interval.Seconds() {
				starting = float64(s.Desired) - ready
			}
		}
		return int(min(ready+max(0, starting), 1e6)), true
	}
	if s.HasDesired {
		return s.Desired, false
	}
	return config.MinReplicas, false
}

// idleSeconds is for how long nothing must have arrived before a count is given up of which nothing is known but that it idles:
// the window that the HPA's default down-stabilization looks back over.
const idleSeconds = 300

// coldStart keeps the present count until enough is known, except where records are visibly waiting too long.
func (d decider) coldStart(current, lowest, highest int) (int, Reason) {
	s, o := d.state, d.o
	_, settled := s.readyReplicas(d.config, o)
	if s.Partitions.hot > 0 {
		d.verdict(VerdictHotPartition)
		settled = false // more would not help it
	}
	waiting := o.LagSeconds.Or(0) > d.config.ObjectiveLag.Seconds()
	if rate := d.ArrivalRate.Or(0); !waiting && rate > 0 {
		waiting = o.LagRecords.Or(0) > rate*d.config.ObjectiveLag.Seconds()
	}
	switch {
	case current == 0 && (o.LagRecords.Or(0) > 0 || o.ArrivalRecords.Or(0) > 0):
		return max(1, lowest), ReasonReactive
	case waiting && settled && !s.unseen(d.config, o) && o.StartingReplicas.Or(0) == 0 && current > 0:
		n, _ := s.Partitions.snap(s.Partitions.work(current) * 1.5)
		return min(max(n, current), highest), ReasonBacklog
	case float64(s.IdleTicks)*d.config.Interval.Seconds() >= max(idleSeconds, 2*d.LeadTimeSeconds.Or(0)):
		return lowest, ReasonReactive
	default:
		return current, ReasonWarmingUp
	}
}

// holdDown returns the count to keep where a decrease would be premature, and the lower one that was left again lately if that is why;
// else 0.
func (d decider) holdDown(current, want int, backlog, perReplica float64) (keep, few int) {
	if d.state.blind() {
		d.verdict(VerdictStale)
		return current, 0
	}
	ticks := min(int(d.tune.Hold/d.config.Interval.Seconds()), wantedKept, d.state.WantedAt)
	for i := range ticks {
		want = max(want, d.state.Wanted[(d.state.WantedAt-1-i)%wantedKept])
	}
	if few = max(d.state.tooFew(d.At), d.state.takenBack(d.sustained, d.At)); few > 0 && want <= few {
		want = d.state.Partitions.above(few)
	} else {
		few = 0
	}
	want = min(want, current)
	d.draining = d.o.Rebalancing || d.drains(backlog, perReplica)
	if d.draining && float64(d.state.DrainTicks)*d.config.Interval.Seconds() < mostDrain*max(d.config.ObjectiveLag.Seconds(), d.LeadTimeSeconds.Or(0)) {
		return current, 0
	}
	return want, few
}

// mostDrain is for how many objectives or lead times, whichever is longer, a backlog may keep the count. What the present
// count has not drained by then, such as a partition that nobody can read or a marker that counts as lag, it will not drain.
const mostDrain = 3

// drains reports whether there is a backlog that should be gone before replicas are taken away, however many: else a backlog that
// asks for more to stay could end up with fewer.
func (d decider) drains(backlog, perReplica float64) bool {
	o, s, objective := d.o, d.state, d.config.ObjectiveLag.Seconds()
	if len(o.PartitionLagRecords) > 0 && o.LagRecords.Known() {
		// A poison or hot partition is behind for ever; what counts is the backlog that more replicas can help with.
		return backlog > max(s.Arrivals.Level, perReplica)*objective/2
	}
	// A remainder that one replica serves in a second is behind its commit, not its consumer.
	return o.LagSeconds.Or(0) > objective/2 && o.LagRecords.Or(math.Inf(1)) > perReplica
}

// settle applies the bounds and switches to n and fills in the answer. What is stale stays that, whatever else holds: it is no answer.
func (d decider) settle(n int, reason Reason) {
	config, s := d.config, d.state
	current := int(d.CurrentReplicas.Or(float64(n)))
	apply := func(to int, because Reason, name string) {
		if to != n {
			n, reason = to, because
			d.term(name, n, 0)
		}
	}
	stale := reason == ReasonStale
	if !stale {
		if count := s.Partitions.Count; count > 0 && n > count {
			apply(max(count, config.MinReplicas), ReasonPartitionCap, "partitionCap")
		}
		if config.BudgetReplicaHoursPerDay > 0 {
			if most := s.Spending.affordable(config.BudgetReplicaHoursPerDay, config.MinReplicas, d.At); n > most {
				apply(most, ReasonBudget, "budget")
				d.verdict(VerdictBudgetBound)
			}
		}
		if least := min(d.in.ScheduledMin, config.MaxReplicas); n < least {
			apply(least, ReasonSchedule, "schedule")
		}
	}
	if n < config.MinReplicas {
		apply(config.MinReplicas, ReasonMinReplicas, "minReplicas")
	}
	if n > config.MaxReplicas {
		apply(config.MaxReplicas, ReasonMaxReplicas, "maxReplicas")
	}
	if config.Paused {
		apply(current, ReasonPaused, "paused")
		reason = ReasonPaused
	} else if config.Observe {
		apply(current, ReasonObserve, "observe")
		reason = ReasonObserve
	}
	if stale {
		reason = ReasonStale
	}
	d.DesiredReplicas, d.Reason = n, reason
	if len(config.Pools) > 0 {
		d.split()
		d.perPool()
	}
}
