package scaler

import "github.com/prescale/prescale/metrics/series"

// arrivals fills p with those of the coming ticks, by the forecast or, where there is none, by those that were seen lately, and returns
// which of them it was.
func (d decider) arrivals(p *paths) Reason {
	s, config, f := d.state, d.config, d.in.Forecast
	interval := config.Interval.Seconds()
	if f != nil && len(f.Max) == len(f.Levels) {
		d.HorizonSteps = f.Steps
		for i, l := range f.Levels {
			d.ArrivalForecast = append(d.ArrivalForecast, QuantileValue{l, f.Max[i]})
		}
	}
	var scale [pathCount]float64
	for j := range scale {
		scale[j] = d.tune.Spread * s.Calibration.scale(j)
	}
	if f == nil || f.Steps <= 0 || len(f.Levels) == 0 || !f.Warm {
		d.verdict(VerdictWarmingUp)
		p.fromRecent(&s.Arrivals, p.steps, interval, &scale, d.tune.Noise)
		return ReasonReactive
	}
	p.fromForecast(f, p.steps, interval, &scale, d.tune.Noise)
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
	p.raise(s.Arrivals.stepTo() * interval)
	if !s.Rivals.Lost {
		return ReasonForecast
	}
	d.verdict(VerdictForecastUntrusted)
	var lately paths
	lately.fromRecent(&s.Arrivals, p.steps, interval, &scale, d.tune.Noise)
	p.raiseTo(&lately)
	return ReasonReactive
}

// require keeps what each path needs, for State.Record to learn from.
func (d decider) require(sc *scene) {
	room := sc.delayTicks * d.tune.DelayShare
	d.horizon = sc.paths.steps
	for j := range pathCount {
		d.required[j] = requirement(sc.paths.at[j][:d.horizon], room)
	}
}
