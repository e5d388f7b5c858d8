package scaler

import (
	"math"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// promise is the outer loop: it watches the share of records that came late and sets the price of lateness, so that over
// time the share meets Config.ViolationRatio. The price is what the plan weighs replicas against: how many records' worth of
// service one late record is as bad as.
type promise struct {
	LogPrice    float64 // relative to startPrice
	Rate        float64 // mean records a tick of Config.Interval, the weight of one: of the first hour at first, with a day's memory later
	Seen        float64 // ticks of the first hour that Rate is the mean of
	Late1, Sum1 float64 // the same over about an hour
	Age         float64 // of the oldest record at the last tick, in seconds
	// Hopeless is the backlog that the most replicas allowed would have, had they been there all along, in ticks of Config.Interval
	// of what they do.
	Hopeless float64 `json:",omitempty"`
	// HopelessRatio is the share of records that would have been late then as well, over about hopelessDays.
	HopelessRatio float64 `json:",omitempty"`
	// Stalled says that the group stood still, and that what waited meanwhile still comes late.
	Stalled bool `json:",omitzero"`
	// LateAt is the last tick of which more was late than is promised.
	LateAt time.Time `json:",omitzero"`
}

const (
	// The price may fall and rise by these factors (as logarithms) from where the ratio alone would put it. Shares of late records
	// fall about inversely as the price rises; where they did not at 4.5 times as much, they come of what no price foresees, and a
	// dearer one adds replicas for nothing.
	maxFall, maxRise = 3.5, 1.5
	// loosePrice is where the price may rise to whatever it begins with: it buys replicas up to the quantile of 0.99. A promise of 3 %
	// begins at 6.7, and is broken by many ticks a day, which tell soon what a price does.
	loosePrice = 100.0
	// dailyDecay is how far, as a logarithm, the price falls in a day without a late record.
	dailyDecay = 1.0
	// leastRatio is the promise from which down the price moves no faster. At 0.03 % two wholly late ticks are what a day allows; were the
	// price to fall by dailyDecay between them as well, it would be at its highest after a burst and low again when the next one comes.
	leastRatio = 0.001
	secondsDay = 86400
	// leastPrice is where more lateness saves next to nothing any more: below it, in the simulator, late records grow tenfold
	// for one or two per cent of cost where arrivals are smooth. Where they are not, 5 would cost up to a fifth more at a promise
	// of 3 %.
	leastPrice = 3.0
	// maxWeight bounds how much a busy tick counts for against an average one. What is late at the busiest hour is most of what is late:
	// with 3, an hour at six times the mean counted for half.
	maxWeight = 10.0
	// hopelessDays is the span, a week, over which what no count prevents is set against the promise.
	hopelessDays = 7
	// episodeShare is the share of late records within an hour, as a multiple of the promise, at which a further late tick
	// counts half: a burst that nobody foresaw must not set the price for days. With 15, bursts that return every day left twice
	// the promise late; were each late tick counted in full, promises of 0.03 to 0.3 % would be 2 % dearer.
	episodeShare = 60.0
)

// startPrice is the price before anything was seen. At the optimum the last replica-second bought saves 1/price late
// records' worth; shares of late records fall about inversely.
func startPrice(violationRatio float64) float64 { return 0.2 / violationRatio }

func (p *promise) price(violationRatio float64) float64 {
	return max(startPrice(violationRatio)*math.Exp(p.LogPrice), leastPrice)
}

// lowestLogPrice returns how far LogPrice may fall: where leastPrice is reached it stops, else after calm days it would have to rise for
// as long as it fell before the price did.
func lowestLogPrice(violationRatio float64) float64 {
	return max(-maxFall, min(math.Log(leastPrice/startPrice(violationRatio)), 0))
}

// highestLogPrice returns how far LogPrice may rise. Where no count keeps the promise, loosePrice would be paid for nothing.
func (p *promise) highestLogPrice(violationRatio float64) float64 {
	if !p.keepable(violationRatio) {
		return maxRise
	}
	return max(maxRise, math.Log(loosePrice/startPrice(violationRatio)))
}

// atMost reports whether the price has risen as far as it may.
func (p *promise) atMost(violationRatio float64) bool {
	return p.LogPrice >= p.highestLogPrice(violationRatio)
}

// keepable reports whether, for all that is known, some count keeps the promise. Twice of it is allowed for, since what no count prevents
// is reckoned by the pace of the slowest consumer, and so is up to twice what it is.
func (p *promise) keepable(violationRatio float64) bool { return p.HopelessRatio < 2*violationRatio }

// observe learns from one interval: what was consumed and what arrived in it, and the most that could have been
// consumed with as many replicas as are allowed, 0 where that is not known, in records per second; stalled says that the group stood still.
func (p *promise) observe(config *Config, o *series.Observation, consumedRate, arrivalRate series.Value, most float64, stalled bool) {
	late, known := p.lateShare(config, o, consumedRate)
	interval := o.Interval.Seconds()
	hopeless := min(p.hopelessShare(config, interval, arrivalRate, most), late)
	before := p.Stalled
	p.Stalled = stalled || before && p.Age > config.ObjectiveLag.Seconds()
	if !known || interval <= 0 {
		return
	}
	ticksDay := secondsDay / interval
	// An interval over which nothing could be read is longer than a tick, and would be the only one that counts for days.
	records := o.ConsumedRecords.Or(o.ArrivalRecords.Or(0)) * (config.Interval.Seconds() / interval)
	gain := 1 / max(ticksDay, 1)
	if p.Seen < ticksDay/24 {
		p.Seen++
		gain = 1 / p.Seen
	}
	p.Rate += (records - p.Rate) * gain
	weight := 0.0
	if p.Rate > 0 {
		weight = min(records/p.Rate, maxWeight)
	}
	ratio := config.ViolationRatio
	if late-hopeless > ratio && !before && !stalled {
		p.LateAt = o.At.Round(0).UTC()
	}
	// A promise that can be kept is one of all records. Where it cannot be, what no count prevents would keep the price at its highest
	// for nothing.
	p.HopelessRatio += (hopeless*weight - p.HopelessRatio) / max(hopelessDays*ticksDay, 1)
	if !p.keepable(ratio) {
		late -= hopeless
	}
	eta := dailyDecay / (max(ratio, leastRatio) * ticksDay)
	counts := 1 / (1 + p.lateLately()/(episodeShare*ratio))
	p.LogPrice += eta * weight * (late*counts - ratio)
	p.LogPrice = min(max(p.LogPrice, lowestLogPrice(ratio)), p.highestLogPrice(ratio))
	p.Late1 += (late*records - p.Late1) * 24 / max(ticksDay, 24)
	p.Sum1 += (records - p.Sum1) * 24 / max(ticksDay, 24)
}

// hopelessShare returns the share of the interval's records that would have been late with as many replicas as are allowed. No
// price prevents that.
func (p *promise) hopelessShare(config *Config, interval float64, arrivalRate series.Value, most float64) float64 {
	arrivals, ok := arrivalRate.Get()
	if !ok || !(most > 0) {
		return 0
	}
	tick, before := config.Interval.Seconds(), p.Hopeless
	p.Hopeless = max(0, before+arrivals/most*(interval/tick)-interval/tick)
	return shareOver(before*tick, p.Hopeless*tick, config.ObjectiveLag.Seconds())
}

// shareOver returns for what share of an interval a wait that went evenly from one to the other was over the objective.
func shareOver(from, to, objective float64) float64 {
	highest, lowest := max(from, to), min(from, to)
	switch {
	case highest <= objective:
		return 0
	case lowest >= objective:
		return 1
	default:
		return (highest - objective) / (highest - lowest)
	}
}

// lateShare estimates the share of the interval's records that waited longer than the objective, from the age of the oldest
// record at both ends of the interval and from how many partitions it speaks for.
func (p *promise) lateShare(config *Config, o *series.Observation, consumedRate series.Value) (float64, bool) {
	objective := config.ObjectiveLag.Seconds()
	rate := consumedRate.Or(0)
	lag, lagKnown := o.LagRecords.Get()
	age, ok := o.LagSeconds.Get()
	if !ok {
		if !lagKnown || rate <= 0 {
			return 0, false
		}
		age = lag / rate
	}
	share := shareOver(p.Age, age, objective)
	p.Age = age
	// The age is that of the worst partition. Were all as late, the lag would be age × rate.
	if arrivals := o.ArrivalRate().Or(rate); lagKnown && arrivals > 0 && age > 0 {
		share *= min(1, lag/(arrivals*age))
	}
	return share, true
}

// lateLately returns the share of late records over about an hour.
func (p *promise) lateLately() float64 {
	if p.Sum1 <= 0 {
		return 0
	}
	return p.Late1 / p.Sum1
}

// lateSpan is for how long after records were late that is the news, where lead times are short.
const lateSpan = 5 * time.Minute

// broken reports whether the promise is being broken or was within two lead times or lateSpan, and by how many times over an hour.
func (p *promise) broken(violationRatio float64, at time.Time, lead time.Duration) (float64, bool) {
	return p.lateLately() / violationRatio, !p.LateAt.IsZero() && at.Sub(p.LateAt) <= max(2*lead, lateSpan)
}
