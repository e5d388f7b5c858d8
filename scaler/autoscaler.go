package scaler

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/metrics/series"
)

// Autoscaler is one policy at work: it steps the forecaster, learns from each observation and decides. It is a state machine
// stepped by Tick and not safe for concurrent use.
type Autoscaler struct {
	config    Config
	model     forecaster.Model
	schedules []compiledSchedule
	state     State
	forecast  forecaster.Forecast
	// worked is the last observation in the policy's unit of work, where that is not records.
	worked series.Observation
	// before is the state that the last decision was made by, before Record, which writes into no slice; asked says that there was one.
	before State
	asked  bool
}

// NewAutoscaler returns an Autoscaler that knows nothing yet. The model must have been made with the Config's Interval as its
// Step and ForecastSteps as its MaxSteps; a nil model leaves the rules that need no forecast.
func NewAutoscaler(config Config, model forecaster.Model) (*Autoscaler, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	schedules, err := compileSchedules(config.Schedules)
	if err != nil {
		return nil, err
	}
	config.Pools = slices.Clone(config.Pools)
	a := &Autoscaler{config: config, model: model, schedules: schedules}
	a.state.Work.Unit = config.Work
	return a, nil
}

// ForecastSteps is the longest horizon, in ticks, that an Autoscaler with this Config asks its model for: twice the lead
// time that is assumed at first and no less than five minutes, plus the steps beyond it, and at most 64. Longer lead times
// hold the last step.
func (c Config) ForecastSteps() int {
	lead := max(2*c.InitialLeadTime, 5*time.Minute)
	steps := math.Ceil(lead.Seconds()/c.Interval.Seconds()) + beyondLead
	return int(min(max(steps, beyondLead+1), maxPathSteps))
}

// beyondLead is how many ticks past the lead time are looked at.
const beyondLead = 4

// State returns what has been learned so far. It is valid until the next Tick and must not be changed.
func (a *Autoscaler) State() *State { return &a.state }

// Config returns the policy.
func (a *Autoscaler) Config() Config { return a.config }

// Forecast returns the forecast that the last Tick decided with, in the policy's unit of work. It is valid until the next Tick.
func (a *Autoscaler) Forecast() *forecaster.Forecast { return &a.forecast }

// Tick takes one observation and decides at now. Observations must come in order; one whose time is not after the last
// one's teaches nothing, and the decision has a verdict that says so where it is before that, and says that it is stale if it is too
// old. The observation is not kept.
func (a *Autoscaler) Tick(now time.Time, o series.Observation) Decision {
	var d Decision
	a.TickInto(&d, now, &o)
	describe(&d)
	return d
}

// TickInto is Tick into memory that is reused, without the Details of the Terms.
func (a *Autoscaler) TickInto(d *Decision, now time.Time, o *series.Observation) {
	records := o
	fresh := a.state.At.IsZero() || o.At.After(a.state.At)
	if a.config.Work != "" && fresh {
		a.state.Work.observe(o)
	}
	o = a.inWork(o)
	if fresh {
		if a.model != nil {
			// After an outage this is the mean of all of it, taken for one tick's, and what lies between is missing. Without any value the
			// forecasts of that tick lose 1.24 to 1.42 times as much on nine traces, those of the next 1.02 to 1.07 times, and later ones
			// the same, be it an outage of 2 ticks or of 240. The mean at each of its ticks, known too late, loses more from 60 on.
			a.model.Observe(o.At, a.state.arrivalRate(o).NaN())
		}
		a.state.Learn(&a.config, o)
	}
	if a.state.Work.PerRecord == 0 {
		o = records // Nothing is learned of it; that something waits is seen all the same.
	}
	in := Input{Config: &a.config, State: &a.state, Observation: o}
	lead := a.state.Lead.seconds(a.config.InitialLeadTime.Seconds(), int(o.ReadyReplicas.Or(1)))
	if a.model != nil {
		ahead := lead
		if a.config.MinReplicas == 0 { // the last replica does not go while it will be wanted before another could be there
			ahead = max(ahead, a.state.leadFromZero(&a.config))
		}
		steps := int(math.Ceil(ahead/a.config.Interval.Seconds())) + beyondLead
		a.model.Forecast(&a.forecast, min(max(steps, 1), a.config.ForecastSteps()))
		in.Forecast = &a.forecast
	}
	in.ScheduledMin = a.scheduledMin(now, lead)
	DecideInto(d, now, in)
	d.HistorySamples = a.state.HistorySamples
	a.before, a.asked = a.state, true
	a.state.Record(d, o)
	if a.config.Work != "" {
		a.state.Work.inRecords(d, records)
	}
}

// scheduledMin returns the lower bound of the schedules at now, and for what starts then and takes so many seconds.
func (a *Autoscaler) scheduledMin(now time.Time, lead float64) int {
	if len(a.schedules) == 0 {
		return 0
	}
	return scheduledMin(a.schedules, now, now.Add(time.Duration(lead*float64(time.Second))))
}

// inWork returns the observation in the policy's unit of work. It is valid until the next call.
func (a *Autoscaler) inWork(o *series.Observation) *series.Observation {
	if a.config.Work == "" {
		return o
	}
	a.state.Work.convert(&a.worked, o)
	return &a.worked
}

var errCheckpoint = errors.New("scaler checkpoint")

// Warm teaches the forecaster an arrival rate of the past, in records or work per second, before the first Tick. NaN is a gap.
func (a *Autoscaler) Warm(at time.Time, arrivalRate float64) {
	if a.model != nil {
		a.model.Observe(at, arrivalRate)
	}
	rate := series.Of(arrivalRate)
	a.state.Arrivals.observe(rate)
	if rate.Known() {
		a.state.HistorySamples++
	}
}

// TakeHistory replaces the forecaster by that of past, an Autoscaler made alike that was taught a history by Warm and has not
// ticked; past must not be used afterwards. All that does not forecast stays as it was learned. It reports false, and changes
// nothing, where the history holds no more samples than a has seen ticks: what was seen here is then worth more.
func (a *Autoscaler) TakeHistory(past *Autoscaler) bool {
	if past.state.HistorySamples <= a.state.Ticks {
		return false
	}
	a.model, a.state.HistorySamples = past.model, past.state.HistorySamples
	return true
}
