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
	if d.Verdicts == nil {
		d.Verdicts = []Verdict{} // In JSON none are [], and null would be some that are not known.
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

// choice is what the stages of one decision share.
type choice struct {
	// Replicas: those that are ready or starting, and the bounds of the policy and its schedules.
	current, lowest, highest int
	unsteady                 int     // of current
	perReplica               float64 // records per second
	lead                     float64 // seconds
	price                    float64 // of a late record
	// The 0.95 quantile of the arrivals a lead time ahead in replicas' work: as it is planned for, and whichever partitions it is on.
	demand, whole float64
	scene         *scene
}

// run goes through the stages: what is there, what will arrive, what the plan asks for, what holds that back, and the bounds.
func (d decider) run(now time.Time) {
	o, s, config := d.o, d.state, d.config
	c := choice{
		current: d.present(), lead: d.LeadTimeSeconds.Or(0),
		lowest: max(config.MinReplicas, min(d.in.ScheduledMin, config.MaxReplicas)), highest: config.MaxReplicas,
	}
	if d.stale(now) {
		d.verdict(VerdictStale)
		d.settle(c.current, ReasonStale)
		return
	}
	if o.At.Before(s.At) {
		d.verdict(VerdictStale) // the clock was set back, and nothing is learned until it is where it was
	}
	perReplica, ok := d.CapacityPerReplica.Get()
	// A rate that was never seen is not a rate of nothing.
	if !ok || s.Ticks < warmTicks || s.Arrivals.Count == 0 {
		d.verdict(VerdictWarmingUp)
		d.settle(d.coldStart(c.current, c.lowest, c.highest))
		return
	}
	if !s.Capacity.sure() {
		d.verdict(VerdictWarmingUp)
	}
	c.unsteady = max(0, min(s.Unsteady.count(d.At), c.current-1, c.highest-1))
	c.perReplica, c.price = perReplica, s.Promise.price(config.ViolationRatio)

	var p paths
	sc := d.scene(&p, c.perReplica, c.lead)
	c.scene = &sc
	reason := d.arrivals(&p)
	d.require(&sc)
	verdicts := len(d.Verdicts)
	d.group(&c)

	want, reason := d.plan(&c, reason)
	want = d.try(&c, want)
	planned := want
	want = d.forAlone(&c, want)
	d.planned = want
	want = d.postpone(&c, want, now)
	if want > c.current && (want > planned || d.forBacklog(&c, want)) {
		reason = ReasonBacklog
	}
	if n := d.forLatency(c.demand, c.highest); n > want {
		want, reason = n, ReasonLatency
	}
	panicking := false
	if want < c.current {
		want, panicking = d.keep(&c, want)
	}
	if config.MinReplicas == 0 {
		want, reason = d.zero(c.current, want, reason)
	}
	switch {
	case panicking:
		reason = ReasonPanic
	case d.exploring && want < c.current:
		reason = ReasonTrial
	case want == c.current:
		reason = ReasonHold
	}
	d.settle(want, reason)
	d.findings(&c, verdicts)
}

// present fills in what was observed and returns how many replicas are ready or on their way.
func (d decider) present() int {
	o, s, config := d.o, d.state, d.config
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
	if v := s.standing(config, o); v == VerdictPartitionStalled {
		d.verdict(v)
	}
	// What another pool stands in for is not on its way.
	current = max(current-stuck(o), 0)
	d.ArrivalRate, d.LagRecords, d.LagSeconds = o.ArrivalRate(), o.LagRecords, o.LagSeconds
	d.CapacityPerReplica = s.Capacity.perReplica()
	d.LeadTimeSeconds = series.Of(s.Lead.seconds(config.InitialLeadTime.Seconds(), current))
	d.term("current", current, 0)
	return current
}

// stale reports whether the observation is too old, or says nothing of what arrives or waits.
func (d decider) stale(now time.Time) bool {
	o := d.o
	return o.At.IsZero() || now.Sub(o.At) > staleTicks*d.config.Interval ||
		!o.ArrivalRecords.Known() && !o.LagRecords.Known() && !o.LagSeconds.Known()
}

// plan returns the count of least cost, with the reason for it where a budget lowers it.
func (d decider) plan(c *choice, reason Reason) (int, Reason) {
	s := d.state
	d.sustained = c.scene.paths.mean(0, 0, c.scene.leadSteps+d.tune.DownSteps) / d.config.Interval.Seconds()
	d.Level = levelOf(c.price)
	want, atOnce := d.best(c, c.scene)
	d.term("plan", want, c.demand)
	if atOnce > want {
		d.term("joins", want, float64(atOnce))
	}
	if budget := d.config.BudgetReplicaHoursPerDay; budget > 0 {
		d.unpaced = series.OfInt(want)
		if share := s.Spending.share(budget, d.At); share < shareEnough {
			d.verdict(VerdictBudgetBound)
			c.price = max(c.price*math.Pow(share, savedPrice), leastPrice)
			if n, _ := d.best(c, c.scene); n < want {
				want, reason = n, ReasonBudget
				d.term("pace", want, share)
			}
		}
	}
	if s.Promise.atMost(d.config.ViolationRatio) {
		d.term("price", want, c.price)
	}
	return want, reason
}

// best returns what the plan asks for in sc, and what it would be did nothing come late while replicas join: those that come and go are
// planned without, and asked for besides.
func (d decider) best(c *choice, sc *scene) (best, atOnce int) {
	gone := c.unsteady
	best, atOnce = sc.best(&d.state.Partitions, c.current-gone, max(c.lowest-gone, 0), c.highest-gone, c.price, d.tune)
	return best + gone, atOnce + gone
}

// forBacklog reports whether without what waits fewer than want would be asked for.
func (d decider) forBacklog(c *choice, want int) bool {
	if c.scene.backlog <= 0 || d.withoutBacklog(c) >= want {
		return false
	}
	d.term("backlog", want, c.scene.backlog)
	return true
}

// withoutBacklog returns what the plan would ask for if nothing waited.
func (d decider) withoutBacklog(c *choice) int {
	without := *c.scene
	without.backlog = 0
	n, _ := d.best(c, &without)
	return n
}

// findings adds what the operator should know of a decision that has been made; verdicts is how many of them there were before the group
// was looked at.
func (d decider) findings(c *choice, verdicts int) {
	o, s, config, parts, sc := d.o, d.state, d.config, &d.state.Partitions, c.scene
	bound := VerdictMaxBound
	if parts.Count > 0 && parts.Count <= c.highest {
		bound = VerdictPartitionBound
	}
	if c.whole > 1.0001*highestWork(parts) {
		d.verdict(bound)
	}
	if s.Ineffective {
		d.verdict(VerdictIneffective)
	}
	if c.unsteady > 0 {
		d.verdict(VerdictUnsteady)
	}
	if s.Lead.unheeded(s.At, config.InitialLeadTime.Seconds(), sc.ready) {
		d.verdict(VerdictUnheeded)
	}
	if v := s.standing(config, o); v == VerdictStalled {
		d.verdict(v)
	}
	// Where something else keeps the count down or from helping, a sooner start would not keep the promise either.
	free := len(d.Verdicts) == verdicts && !config.Paused && !config.Observe
	if age := o.LagSeconds.Or(0); age > mostDrain*max(config.ObjectiveLag.Seconds(), c.lead) && onFew(o, s.Arrivals.Level) {
		free = false // such as a partition that nobody reads: what has waited for so long, while the others do not, waits for no start
	}
	times, lately := s.Promise.broken(config.ViolationRatio, d.At, time.Duration(c.lead*float64(time.Second)))
	if free && lately && times > 10 && c.lead > config.ObjectiveLag.Seconds() {
		d.verdict(VerdictLeadTimeTooLong)
	}
	// What is left of a demand that was more than all of them can do keeps records late for long after it: with more they would get rid of
	// it within a lead time and the objective.
	drains := c.whole + sc.backlog/(sc.perReplica*(float64(sc.leadSteps)+sc.delayTicks))
	late := o.LagSeconds.Or(0) > config.ObjectiveLag.Seconds()
	if late && sc.ready >= parts.below(c.highest+1) && drains > 1.0001*highestWork(parts) {
		d.verdict(bound)
	}
}

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
	most := config.MaxReplicas // of all pools together
	if !stale {
		if count := s.Partitions.Count; count > 0 {
			most = min(most, max(count, config.MinReplicas))
			if n > count {
				apply(max(count, config.MinReplicas), ReasonPartitionCap, "partitionCap")
			}
		}
		if config.BudgetReplicaHoursPerDay > 0 {
			affordable := s.Spending.affordable(config.BudgetReplicaHoursPerDay, config.MinReplicas, d.At)
			most = min(most, max(affordable, d.in.ScheduledMin))
			if n > affordable {
				apply(affordable, ReasonBudget, "budget")
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
		d.split(most)
		d.perPool()
	}
}
