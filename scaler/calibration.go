package scaler

import "math"

// calibration learns how far the paths must lie from the median so that what they require comes true as often as they say.
//
// A forecast's quantiles speak of single steps. Whether replicas suffice depends on whole spans: a step that is far too high
// does no harm if the next ones are low, since a backlog may wait for as long as the objective allows. So each plan notes the
// capacity that each of its paths requires, and when the horizon has passed it is compared with the capacity that the arrivals
// did require. The distance of a path from the median is then widened after a miss and narrowed after a hit, in the proportion
// that makes hits as frequent as the path's level: the quantile tracker of online conformal prediction (Gibbs and Candès,
// "Adaptive conformal inference under distribution shift", NeurIPS 2021), on the logarithm of the distance.
//
// High paths are missed so seldom that this takes days. So for the first youngHorizons it counts as well by how far a path was missed or
// not: that sums spread less than their parts, or more, shows within the first hour.
type calibration struct {
	LogScale [pathCount]float64 // of the rare paths beside what the one before them has narrowed by
	Horizon  int
	Required [maxPathSteps][pathCount]float64 // of the plans of the last Horizon ticks, by tick modulo maxPathSteps; 0: none
	Arrivals [maxPathSteps]float64            // records per tick, likewise
	Missing  int                              // ticks until the kept arrivals are complete again
	Ticks    int
	// Horizons is how many have passed, up to youngHorizons.
	Horizons float64 `json:",omitzero"`
}

const (
	// calibrationGain is the step of the tracker up to a horizon of calibrationSteps, that of a lead time of a minute at 15 s. The plans
	// of one horizon look at the same arrivals, so that one burst makes about as many misses in a row as a horizon has ticks; at a longer
	// one each counts for less, else one morning at a lead time of five minutes would make the paths three times as wide for days.
	calibrationGain, calibrationSteps = 0.02, 8
	maxLogScale                       = 1.5
	// youngHorizons is for how many horizons the paths learn from deviations too, and youngLogScale how far these move them. Without that
	// bound a forecast of batches that comes true for an hour narrows the paths so far that the count follows each of them for ever.
	// mostDeviations is how many the furthest counts for, and shortWeight what a span counts for that fell short of the median, which only
	// narrows. With 0 nothing narrows the paths of skewed arrivals for hours, with 1 they are too narrow.
	youngHorizons, youngLogScale, mostDeviations, shortWeight = 60.0, 0.5, 3.0, 0.5
	// rarePath is the first of the paths that have few misses to learn from, those above 0.99.
	rarePath = pathCount - 2
)

// requirement returns the constant capacity, in records a tick, with which the arrivals would never wait longer than `room`
// ticks, beginning without a backlog: the largest over all spans of arrivals ÷ (length + room). The span that is furthest beyond
// a capacity tried gives the next to try, until none is beyond it: Dinkelbach, "On nonlinear fractional programming", Management
// Science 13 (1967).
func requirement(arrivals []float64, room float64) float64 {
	highest := 0.0
	for {
		beyond, next := -math.MaxFloat64, highest
		// The span that ends here and is furthest beyond, its sum, and the length with room.
		over, sum, length := 0.0, 0.0, room
		for _, a := range arrivals {
			if over <= 0 {
				over, sum, length = 0, 0, room
			}
			over, sum, length = over+a-highest, sum+a, length+1
			if over > beyond {
				beyond, next = over, sum/length
			}
		}
		if !(next > highest) {
			return highest
		}
		highest = next
	}
}

// observe takes the arrivals of one tick, NaN where missing, and settles the plan that they complete.
func (c *calibration) observe(records, room float64) {
	now := c.Ticks
	c.Ticks++
	if math.IsNaN(records) {
		c.Missing = max(c.Missing, c.Horizon+1)
		records = 0
	}
	c.Arrivals[now%maxPathSteps] = records
	if c.Missing > 0 {
		c.Missing--
		return
	}
	h := c.Horizon
	if h <= 0 || now < h {
		return
	}
	made := &c.Required[(now-h)%maxPathSteps]
	if made[0] <= 0 {
		return
	}
	var span [maxPathSteps]float64
	for k := range h {
		span[k] = c.Arrivals[(now-h+1+k)%maxPathSteps]
	}
	actual, young := requirement(span[:h], room), c.young(h)
	for j := 1; j < pathCount; j++ {
		miss := 0.0
		if actual > made[j] {
			miss = 1
		}
		level := pathLevels[j]
		// Steps in proportion to the rarer outcome keep high levels from jumping at each miss.
		gain := calibrationGain * min(1, calibrationSteps/float64(h))
		if j >= rarePath {
			gain *= 2
		}
		c.LogScale[j] += gain * (miss - (1 - level))
		if young > 0 {
			was := c.LogScale[j]
			is := was + young*deviates(gaussian[j], actual-made[0], made[j]-made[0])
			c.LogScale[j] = min(max(is, min(was, -youngLogScale)), max(was, youngLogScale))
		}
		c.LogScale[j] = min(max(c.LogScale[j], -maxLogScale), maxLogScale)
	}
	made[0] = 0
}

// young returns the gain of what deviations tell while few horizons of h ticks have passed, and counts one tick more. All ticks of a
// horizon are worth one sample, and the scale that paths begin with is worth another. Towards the end the gain fades.
func (c *calibration) young(h int) float64 {
	seen := c.Horizons
	if seen >= youngHorizons {
		return 0
	}
	c.Horizons += 1 / float64(h)
	return (1 - seen/youngHorizons) / (float64(h) * (1 + seen))
}

// deviates returns the step of the logarithm of a deviation by the likelihood of a normal variable (score over information): a path at
// `deviations` of them required `distant` more than the median path, and what arrived `more`.
//
// What fell short of the median by however much says nothing of how far above it more may come, such as on the way down from a peak that
// the forecast follows late. By how little it did says something.
func deviates(deviations, more, distant float64) float64 {
	if !(distant > 0) {
		return 0
	}
	z := min(deviations*math.Abs(more)/distant, mostDeviations)
	step := (z*z - 1) / 2
	if more < 0 {
		return shortWeight * min(step, 0)
	}
	return step
}

// between returns how many records arrived between `older` and `newer` seconds before the latest tick, and false where that is
// longer ago than is kept or some of it was not known.
func (c *calibration) between(older, newer, tick float64) (float64, bool) {
	if newer < 0 || c.Missing > 0 || older > tick*float64(min(c.Ticks, maxPathSteps)) {
		return 0, false
	}
	sum := 0.0
	for k := int(newer / tick); float64(k)*tick < older; k++ {
		from, to := float64(k)*tick, float64(k+1)*tick
		sum += c.Arrivals[(c.Ticks-1-k)%maxPathSteps] * (min(older, to) - max(newer, from)) / tick
	}
	return sum, true
}

// note keeps what the paths of the plan made after the latest observation require over `horizon` ticks.
func (c *calibration) note(horizon int, required [pathCount]float64) {
	if horizon != c.Horizon {
		clear(c.Required[:])
		c.Horizon = min(horizon, maxPathSteps-1)
	}
	if c.Ticks > 0 {
		c.Required[(c.Ticks-1)%maxPathSteps] = required
	}
}

// scale returns the factor on the distance of path j from the median; it never falls from level to level by more than the
// quantiles rise, which the paths see to.
//
// By its own hits alone a path at 0.9995 narrows by a tenth in a day of ticks of 15 s. That sums spread less than their parts is as true
// of it as of the path at 0.99, which learns it ten times as fast and shares it. What that one misses says little of the others.
func (c *calibration) scale(j int) float64 {
	log := c.LogScale[j]
	if j >= rarePath {
		log += min(c.LogScale[rarePath-1], 0)
	}
	return math.Exp(log)
}
