package scaler

import (
	"math"

	"github.com/prescale/prescale/metrics/series"
)

// promise is the outer loop: it watches the share of records that came late and sets the price of lateness, so that over
// time the share meets Config.ViolationRatio. The price is what the plan weighs replicas against: how many records' worth of
// service one late record is as bad as.
type promise struct {
	LogPrice    float64 // relative to startPrice
	Rate        float64 // exponentially weighted records a tick, the weight of one tick
	Late, Total float64 // exponentially weighted, over about a day
	Late1, Sum1 float64 // the same over about an hour
}

const (
	// The price may move by this factor (as a logarithm) either way from where the ratio alone would put it.
	maxLogPrice = 3.5
	// dailyDecay is how far, as a logarithm, the price falls in a day without a late record.
	dailyDecay = 0.5
	secondsDay = 86400
)

// startPrice is the price before anything was seen. At the optimum the last replica-second bought saves 1/price late
// records' worth; shares of late records fall about inversely.
func startPrice(violationRatio float64) float64 { return 0.05 / violationRatio }

func (p *promise) price(violationRatio float64) float64 {
	return startPrice(violationRatio) * math.Exp(p.LogPrice)
}

func (p *promise) observe(config *Config, o *series.Observation, consumedRate series.Value) {
	late, known := lateShare(config, o, consumedRate)
	interval := o.Interval.Seconds()
	records := o.ConsumedRecords.Or(o.ArrivalRecords.Or(0))
	if !known || interval <= 0 {
		return
	}
	if p.Rate == 0 {
		p.Rate = records
	}
	p.Rate += 0.002 * (records - p.Rate)
	weight := 0.0
	if p.Rate > 0 {
		weight = min(records/p.Rate, 10)
	}
	ticksDay := secondsDay / interval
	ratio := config.ViolationRatio
	eta := min(dailyDecay/(ratio*ticksDay), 0.3)
	p.LogPrice += eta * (late*weight - ratio)
	p.LogPrice = min(max(p.LogPrice, -maxLogPrice), maxLogPrice)
	p.Late += (late*records - p.Late) / ticksDay
	p.Total += (records - p.Total) / ticksDay
	p.Late1 += (late*records - p.Late1) * 24 / ticksDay
	p.Sum1 += (records - p.Sum1) * 24 / ticksDay
}

// lateShare estimates the share of the interval's records that waited longer than the objective.
func lateShare(config *Config, o *series.Observation, consumedRate series.Value) (float64, bool) {
	objective := config.ObjectiveLag.Seconds()
	if age, ok := o.LagSeconds.Get(); ok {
		if age <= objective {
			return 0, true
		}
		// The age is that of the worst partition: count those whose own backlog is beyond the objective, where they are seen.
		if len(o.PartitionLagRecords) > 0 && consumedRate.Or(0) > 0 {
			each := consumedRate.Or(0) / float64(len(o.PartitionLagRecords))
			late := 0
			for _, v := range o.PartitionLagRecords {
				if v.Or(0) > objective*each {
					late++
				}
			}
			return max(float64(late), 1) / float64(len(o.PartitionLagRecords)), true
		}
		return 1, true
	}
	if lag, ok := o.LagRecords.Get(); ok && consumedRate.Or(0) > 0 {
		if lag > objective*consumedRate.Or(0) {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// lateLately returns the share of late records over about an hour.
func (p *promise) lateLately() float64 {
	if p.Sum1 <= 0 {
		return 0
	}
	return p.Late1 / p.Sum1
}
