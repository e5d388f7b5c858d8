package scaler

import (
	"math"

	"github.com/prescale/prescale/forecaster"
)

// The plan weighs replicas against late records over the time that a decision binds. It rolls the backlog forward along
// a few paths of arrivals, each with a probability, for each count that is worth having, and takes the count for which the
// replicas paid for plus the priced lateness is least.
//
// Two questions are asked apart, because they bind for different spans. More replicas help only from a lead time on, and
// ordering them can wait until the next tick if they are not needed until then. Fewer replicas hurt at once, and can be
// mended only a lead time later.

const (
	pathCount    = 7
	maxPathSteps = 64
)

// pathLevels are the quantile levels of the paths and pathWeights the probabilities that they stand for: the cells between
// the midpoints of neighbouring levels. The last level is extrapolated with an exponential tail from the two before it.
var (
	pathLevels  = [pathCount]float64{0.5, 0.8, 0.9, 0.95, 0.99, 0.998, 0.9995}
	pathWeights = [pathCount]float64{0.65, 0.2, 0.075, 0.045, 0.024, 0.00475, 0.00125}
)

// paths are the arrivals of the coming ticks, in records a tick.
type paths struct {
	steps int
	at    [pathCount][maxPathSteps]float64
}

// fromForecast fills p from a forecast's quantiles; beyond its horizon the last step is held.
func (p *paths) fromForecast(f *forecaster.Forecast, steps int, interval float64, scale *[pathCount]float64, noise float64) {
	p.steps = min(steps, maxPathSteps)
	levels := len(f.Levels)
	for k := 1; k <= p.steps; k++ {
		row := f.PerStep[(min(k, f.Steps)-1)*levels:][:levels]
		median := quantileAt(f.Levels, row, 0.5)
		below := 0.0
		for j, level := range pathLevels {
			q := quantileAt(f.Levels, row, level)
			below = max(below, median+math.Hypot(scale[j]*(q-median), noise*gaussian[j]*median))
			p.at[j][k-1] = below * interval
		}
	}
}

// raise lifts every path to at least `least` records a tick.
func (p *paths) raise(least float64) {
	for j := range p.at {
		for k := range p.steps {
			p.at[j][k] = max(p.at[j][k], least)
		}
	}
}

// raiseTo lifts every path to the same one of q at least.
func (p *paths) raiseTo(q *paths) {
	for j := range p.at {
		for k := range p.steps {
			p.at[j][k] = max(p.at[j][k], q.at[j][k])
		}
	}
}

// times multiplies all paths.
func (p *paths) times(x float64) {
	for j := range p.at {
		for k := range p.steps {
			p.at[j][k] *= x
		}
	}
}

// mean returns the mean of path j over the ticks from..to, in records a tick.
func (p *paths) mean(j, from, to int) float64 {
	to = max(1, min(to, p.steps))
	from = min(from, to-1)
	sum := 0.0
	for _, a := range p.at[j][from:to] {
		sum += a
	}
	return sum / float64(to-from)
}

// quantileAt interpolates between levels, and extrapolates beyond the highest with an exponential tail.
func quantileAt(levels, values []float64, level float64) float64 {
	last := len(levels) - 1
	for i, l := range levels {
		if level <= l {
			if level == l || i == 0 {
				return values[i]
			}
			share := (level - levels[i-1]) / (l - levels[i-1])
			return values[i-1] + share*(values[i]-values[i-1])
		}
	}
	if last < 1 {
		return values[last]
	}
	slope := (values[last] - values[last-1]) / math.Log((1-levels[last-1])/(1-levels[last]))
	return values[last] + slope*math.Log((1-levels[last])/(1-level))
}

// gaussian holds the normal quantiles of pathLevels.
var gaussian = [pathCount]float64{0, 0.8416, 1.2816, 1.6449, 2.3263, 2.8782, 3.2905}

// fromRecent fills p by persistence: the recent level, with an error that grows with the square root of time.
func (p *paths) fromRecent(r *recent, steps int, interval float64, scale *[pathCount]float64, noise float64) {
	p.steps = min(steps, maxPathSteps)
	// The mean absolute error of a normal variable is 0.8 of its deviation.
	sigma := 1.25 * r.Noise
	for k := range p.steps {
		wide := sigma * math.Sqrt(1+0.3*float64(k))
		below := 0.0
		for j := range pathLevels {
			below = max(below, r.Level+gaussian[j]*math.Hypot(scale[j]*wide, noise*r.Level))
			p.at[j][k] = below * interval
		}
	}
}

// scene is what one plan is made in. Amounts are records; capacities records a tick.
type scene struct {
	paths      *paths
	backlog    float64
	now        float64               // capacity of the replicas that are ready
	unchanged  [maxPathSteps]float64 // capacity in each tick if nothing is changed: those that are starting come to it one by one
	leadSteps  int
	pauseTicks float64 // share of a tick that a change stops the group for
	delayTicks float64 // the objective, in ticks
	perReplica float64 // records a tick of one replica
	// ready replicas are there and `joining` more will be if nothing is changed. Each that comes stops the group for joinPause, in
	// ticks; starting takes them so differently long that joinTicks lie between the first and the last of many.
	ready, joining       int
	joinPause, joinTicks float64
}

// excess rolls every path forward and returns the expected sum, over the ticks from..to, of the backlog beyond what the
// objective allows, in records. From changeStep on the capacity is `then`. A tick in which the capacity changes serves less by the
// pause; one in which it rises no less than without.
func (s *scene) excess(from, to, changeStep int, then float64, changed bool, tune *Tuning) float64 {
	var served, allowed [maxPathSteps]float64
	room := s.delayTicks * tune.DelayShare
	before := s.now
	for k := range to {
		c := s.unchanged[k]
		if changed && k >= s.leadSteps {
			c = then
		} else if changed && k >= changeStep {
			c = min(then, c) // to keep fewer of those that are starting gives nothing yet
		}
		served[k], allowed[k] = c, room*c
		if c != before {
			served[k] *= max(0, 1-s.pauseTicks)
		}
		if c > before {
			served[k] = max(served[k], before)
		}
		before = c
	}
	total := 0.0
	for j := range pathCount {
		queue, sum := s.backlog, 0.0
		arrivals := &s.paths.at[j]
		for k := range to {
			a := arrivals[min(k, s.paths.steps-1)]
			queue = max(0, queue+a-served[k])
			if k >= from {
				if e := queue - allowed[k]; e > 0 {
					sum += e
				}
			}
		}
		total += pathWeights[j] * sum
	}
	return total
}

// joinLoad is the load, as a share of what it can do, that a group which grows is taken to have: about what pays (costs of 1.3 to 1.6
// times what the arrivals alone need).
const joinLoad = 2.0 / 3

// joinExcess returns for how many ticks beyond the objective records wait once n replicas have joined, each at a time of its own. Until
// then the group works in the gaps between pauses, which overlap as pauses at random do, and gets through so much of what arrives.
func (s *scene) joinExcess(n int) float64 {
	if n <= 0 || s.joinTicks <= 0 {
		return 0
	}
	gaps := s.joinTicks * math.Exp(-float64(n)*s.joinPause/s.joinTicks)
	return max(0, s.joinTicks-gaps/joinLoad-s.delayTicks)
}

// joinLate returns how many records come late because the replicas of an increase to n join one after the other, besides those that
// are starting. It does not depend on what waits or arrives: it is a price of the count.
func (s *scene) joinLate(n int) float64 {
	return s.now * max(0, s.joinExcess(n-s.ready)-s.joinExcess(s.joining))
}

// backAgain is by how much dearer late records must be able to become without a smaller count asking for the present one again. After a
// step the outermost path of a long lead time varies from tick to tick, and what would be late on it many times more.
const backAgain = 1.5

// tie is by how much a cost must be less to be less, and not rounded otherwise.
const tie = 1 - 1e-9

// best returns the count with the least cost of replicas and lateness, given that `current` are ready or starting, and what it would be
// did nothing come late while replicas join.
//
// It never falls as the backlog grows or any arrivals do. What a count serves in a tick is nowhere less than what a smaller one
// does, pauses included (excess), so its queue is nowhere longer and is empty whenever the smaller one's is. A record more, in the
// backlog or in a tick, is one more in the queue until that was empty once, so of two counts the larger one's excess grows less:
// what it saves only grows, and with that the least and the greatest of the cheapest counts do (Topkis, "Minimizing a submodular
// function on a lattice", Operations Research 26, 1978); what comes late while replicas join (joinLate) is the same whatever waits and
// arrives. Of the counts that ask for no more once they are there, none is added by more records, and none below the cheapest is taken.
// What an increase may go to and what it goes to at least grow with both as well, and so does what lies between.
func (s *scene) best(p *partitions, current, lowest, highest int, price float64, tune *Tuning) (best, atOnce int) {
	unit := price * tune.Price / max(s.perReplica, 1e-12)
	n, more := s.bestIncrease(p, current, highest, unit, tune)
	most := current
	if more > current {
		most = max(current, s.mostIncrease(p))
	}
	if n > current {
		least := s.leastIncrease(p, highest, tune)
		return min(max(n, least), most), min(max(more, least), most)
	}
	n = s.bestDecrease(p, current, lowest, unit, tune)
	for n < current {
		// Were it there already, would the same paths, or slightly wider ones, ask for more? Then going there is the first half of a
		// limit cycle. The next count is asked and not taken to be what they ask for: else a backlog that rules out the lowest count,
		// and nothing more, would lower the answer.
		there := *s
		there.joinTicks = 0 // what holds back from an increase is no reason to make one necessary
		there.now = p.work(n) * s.perReplica
		for k := range there.unchanged {
			there.unchanged[k] = there.now
		}
		if more, _ := there.bestIncrease(p, n, current, backAgain*unit, tune); more == n {
			break
		}
		n = min(p.above(n), current)
	}
	if more > current {
		return n, min(more, most)
	}
	return n, n
}

// leastIncrease returns the count that an increase goes to at least: it carries the median of the arrivals when it is there. What falls
// short by little may be cheaper for as long as the plan looks ahead, but its backlog would grow until the count must rise again.
func (s *scene) leastIncrease(p *partitions, highest int, tune *Tuning) int {
	from, to := s.leadSteps, s.leadSteps+tune.upSteps(s.leadSteps)
	n, _ := p.snap(s.paths.mean(0, from, to) / s.perReplica)
	return min(n, p.below(highest+1))
}

// mostIncrease returns the count that an increase may go to. On the path of most arrivals, it serves what arrives when it is there;
// or if that is more, it gets rid of what then waits in no less time than the increase took and the objective allows. More would
// mend little, for what waits is late already, and be too many from then on.
func (s *scene) mostIncrease(p *partitions) int {
	arrivals := s.paths.at[pathCount-1][:s.paths.steps]
	queue, highest := s.backlog, 0.0
	for k, a := range arrivals {
		highest = max(highest, a)
		if k < s.leadSteps {
			queue = max(0, queue+a-s.unchanged[k])
		}
	}
	serves, _ := p.snap(highest / s.perReplica)
	drains := p.within((highest + queue/(float64(s.leadSteps)+s.delayTicks)) / s.perReplica)
	return max(serves, drains)
}

// bestIncrease weighs more replicas by the ticks from the lead time on, with what comes late while they join and without.
func (s *scene) bestIncrease(p *partitions, current, highest int, unit float64, tune *Tuning) (best, atOnce int) {
	from, to := s.leadSteps, s.leadSteps+tune.upSteps(s.leadSteps)
	span := float64(to - from)
	move := tune.MoveCost + tune.LeadCost*float64(s.leadSteps)
	best, atOnce = current, current
	bestCost := float64(current) + unit*s.excess(from, to, 0, 0, false, tune)/span
	atOnceCost := bestCost
	for i, n := range p.useful {
		if n <= current || n > highest {
			continue
		}
		cost := float64(n) + move*float64(n-current)/span
		if cost >= bestCost {
			break // costs of replicas alone only grow
		}
		cost += unit * s.excess(from, to, s.leadSteps, p.effective[i]*s.perReplica, true, tune) / span
		if cost < atOnceCost*tie {
			atOnce, atOnceCost = n, cost
		}
		if cost += unit * s.joinLate(n) / span; cost < bestCost*tie {
			best, bestCost = n, cost
		}
	}
	return best, atOnce
}

// bestDecrease weighs fewer replicas by the ticks from now until a lead time has passed, when they could be had back.
func (s *scene) bestDecrease(p *partitions, current, lowest int, unit float64, tune *Tuning) int {
	to := s.leadSteps + tune.DownSteps
	span := float64(to)
	sustained := s.paths.mean(0, 0, to)
	best := current
	bestCost := float64(current) + unit*s.excess(0, to, 0, 0, false, tune)/span
	for i := len(p.useful) - 1; i >= -1; i-- {
		n, work := 0, 0.0
		if i >= 0 {
			n, work = p.useful[i], p.effective[i]
		}
		if n >= current || n < lowest {
			continue
		}
		if work*s.perReplica < sustained {
			break // its backlog would grow until the count must rise again
		}
		late := unit * s.excess(0, to, 0, work*s.perReplica, true, tune) / span
		if cost := float64(n) + tune.MoveCost*float64(current-n)/span + late; cost < bestCost*tie {
			best, bestCost = n, cost
		}
		if late > bestCost {
			break // lateness alone only grows
		}
	}
	return best
}
