package scaler

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// The plan by the formulas of hack/designs/scaler.md: slow and obvious.

// late returns the expected sum, over the ticks from..to, of what waits beyond the room, with so much capacity in each tick.
func (s *randomScene) late(from, to int, capacity []float64) float64 {
	total := 0.0
	for j, probability := range []float64{0.65, 0.2, 0.075, 0.045, 0.024, 0.00475, 0.00125} {
		queue, before := s.backlog, s.now
		for k := range to {
			served := capacity[k]
			if capacity[k] != before {
				served *= max(0, 1-s.pauseTicks)
			}
			if capacity[k] > before {
				served = max(served, before)
			}
			queue = max(0, queue+s.paths.at[j][k]-served)
			if k >= from {
				total += probability * max(0, queue-0.7*s.delayTicks*capacity[k])
			}
			before = capacity[k]
		}
	}
	return total
}

// joins returns what comes late while n replicas join.
func (s *randomScene) joins(n int) float64 {
	beyond := func(n int) float64 {
		t := s.joinTicks
		if n <= 0 || t <= 0 {
			return 0
		}
		return max(0, t-1.5*t*math.Exp(-float64(n)*s.joinPause/t)-s.delayTicks)
	}
	return s.now * max(0, beyond(n-s.ready)-beyond(s.joining))
}

// cheapest returns the count of least cost: up or down from the present one, with late records at `times` the price.
func (s *randomScene) cheapest(up bool, times float64) int {
	from, to, move := 0, s.leadSteps+2, 0.5
	if up {
		from, to, move = s.leadSteps, s.leadSteps+2+s.leadSteps/10, 0.5+0.5*float64(s.leadSteps)
	}
	span, price := float64(to-from), times*s.price/s.perReplica
	best, least := s.current, float64(s.current)+price*s.late(from, to, s.unchanged[:])/span
	counts := append([]int{0}, s.parts.useful...)
	if !up {
		slices.Reverse(counts) // of two as cheap the nearer one
	}
	for _, n := range counts {
		if up && (n <= s.current || n > s.highest) || !up && (n >= s.current || n < s.lowest) {
			continue
		}
		then := s.parts.work(n) * s.perReplica
		if !up && then < s.paths.mean(0, 0, to) {
			continue // it does not carry the median
		}
		capacity := slices.Clone(s.unchanged[:])
		for k := range capacity {
			if k >= s.leadSteps {
				capacity[k] = then
			} else if !up {
				capacity[k] = min(capacity[k], then)
			}
		}
		cost := float64(n) + move*math.Abs(float64(n-s.current))/span + price*s.late(from, to, capacity)/span
		if up {
			cost += price * s.joins(n) / span
		}
		if cost < least*tie {
			best, least = n, cost
		}
	}
	return best
}

// bounded returns where an increase to n goes: at least to what carries the median, at most to what serves the outermost path or drains
// what waits in the lead time and the objective.
func (s *randomScene) bounded(n int) int {
	outermost := s.paths.at[pathCount-1][:s.paths.steps]
	queue := s.backlog
	for k := range s.leadSteps {
		queue = max(0, queue+outermost[k]-s.unchanged[k])
	}
	carries, allowed, serves, drains := math.MaxInt, 0, math.MaxInt, 0
	for _, u := range s.parts.useful {
		work, highest := s.parts.work(u)*s.perReplica*(1+1e-9), slices.Max(outermost)
		if work >= s.paths.mean(0, s.leadSteps, s.leadSteps+2+s.leadSteps/10) {
			carries = min(carries, u)
		}
		if work >= highest {
			serves = min(serves, u)
		}
		if s.parts.work(u) <= (highest+queue/(float64(s.leadSteps)+s.delayTicks))/s.perReplica {
			drains = u
		}
		if u <= s.highest {
			allowed = u
		}
	}
	largest := s.parts.useful[len(s.parts.useful)-1]
	return min(max(n, min(carries, allowed)), max(min(serves, largest), drains, s.current))
}

// byTheDesign returns the count that the plan is to take.
func (s *randomScene) byTheDesign() int {
	if n := s.cheapest(true, 1); n > s.current {
		return s.bounded(n)
	}
	for n := s.cheapest(false, 1); n < s.current; n = min(s.parts.above(n), s.current) {
		there := *s
		there.joinTicks, there.now, there.current, there.ready, there.joining, there.highest = 0, s.parts.work(n)*s.perReplica, n, n, 0, s.current
		for k := range there.unchanged {
			there.unchanged[k] = there.now
		}
		if there.cheapest(true, 1.5) == n {
			return n
		}
	}
	return s.current
}

// TestThePlanOfTheDesign: the plan takes the count that the formulas of hack/designs/scaler.md do.
func TestThePlanOfTheDesign(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var s randomScene
	ups, downs := 0, 0
	for i := range 3000 {
		s.draw(r)
		got, want := s.best(), s.byTheDesign()
		if got != want {
			t.Errorf("scene %d: %d, want %d by the design; %d are there", i, got, want, s.current)
		}
		if want > s.current {
			ups++
		} else if want < s.current {
			downs++
		}
	}
	if min(ups, downs) < 300 {
		t.Errorf("%d increases and %d decreases: too few to tell", ups, downs)
	}
}

// TestThePriceOfTheDesign: the price moves as the formula of hack/designs/scaler.md says.
func TestThePriceOfTheDesign(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, ratio := range []float64{0.0003, 0.001, 0.03} {
		config := DefaultConfig()
		config.ViolationRatio = ratio
		var p promise
		ticks := 86400 / config.Interval.Seconds()
		log, mean, lateHour, hour := 0.0, 0.0, 0.0, 0.0
		at := time.Unix(0, 0)
		for i := range 20_000 {
			at = at.Add(config.Interval)
			records, age := 1000*(1+r.Float64()), 0.0
			if i%500 >= 490 {
				age = 100 // of as much as arrives in it, so that all partitions are as late
			}
			o := series.Observation{At: at, Interval: config.Interval, ArrivalRecords: series.Of(records), ConsumedRecords: series.Of(records),
				LagSeconds: series.Of(age), LagRecords: series.Of(age * records / config.Interval.Seconds())}
			before := p.Age
			p.observe(&config, &o, o.ConsumedRate(), o.ArrivalRate(), 0, false)

			late := shareOver(before, age, config.ObjectiveLag.Seconds())
			if n := float64(i + 1); n <= ticks/24 {
				mean += (records - mean) / n
			} else {
				mean += (records - mean) / ticks
			}
			c := 1.0
			if hour > 0 {
				c = 1 / (1 + lateHour/hour/(60*ratio))
			}
			log += min(records/mean, 10) * (late*c - ratio) / (max(ratio, 0.001) * ticks)
			log = min(max(log, max(-3.5, math.Log(3/(0.2/ratio)))), max(math.Log(4.4817), math.Log(100/(0.2/ratio))))
			lateHour += (late*records - lateHour) * 24 / ticks
			hour += (records - hour) * 24 / ticks
			if want := max(0.2/ratio*math.Exp(log), 3); math.Abs(p.price(ratio)-want) > 1e-3*want {
				t.Fatalf("promise of %v, tick %d: a price of %v, want %v by the design", ratio, i, p.price(ratio), want)
			}
		}
	}
}
