package scaler

import (
	"slices"

	"github.com/prescale/prescale/metrics/series"
)

// drainable returns the backlog that more consumers can help with: a partition has one consumer at a time, so what it holds
// beyond `reach`, what one can do in time, is left out, unless more than half of the partitions hold as much: then the group is behind
// as a whole. A poison partition must not drive the count to its bound; where it is known that partitions stand still, what holds more
// than reach asks for nothing.
func (p *partitions) drainable(total series.Value, perPartition []series.Value, reach, arrivalRate, perReplica float64,
	still bool) float64 {
	lag := max(0, total.Or(0))
	if len(perPartition) == 0 || !(reach > 0) {
		return lag
	}
	sum, known, beyond := 0.0, 0, 0
	for i, v := range perPartition {
		if !p.helped(i, arrivalRate, perReplica) {
			continue
		}
		x, ok := v.Get()
		if !ok {
			return lag
		}
		known++
		if x > reach {
			if still {
				continue
			}
			beyond++
		}
		sum += min(max(0, x), reach)
	}
	if beyond > known/2 {
		sum = p.behind(perPartition, arrivalRate, perReplica)
	}
	if !total.Known() {
		return sum
	}
	return min(lag, sum)
}

// helped reports whether more consumers can help with what partition i holds: with that of a hot one no count can.
func (p *partitions) helped(i int, arrivalRate, perReplica float64) bool {
	return p.hot == 0 || !p.isHot(i, arrivalRate, perReplica)
}

// behind returns the backlog of a group that is behind as a whole: what a partition holds beyond their median is left out.
func (p *partitions) behind(perPartition []series.Value, arrivalRate, perReplica float64) float64 {
	var held []float64
	for i, v := range perPartition {
		if p.helped(i, arrivalRate, perReplica) {
			held = append(held, v.Or(0))
		}
	}
	slices.Sort(held)
	most, sum := held[(len(held)-1)/2], 0.0
	for _, x := range held {
		sum += min(max(0, x), most)
	}
	return sum
}

const (
	// alikeShare is the share of what would wait, were every partition as far behind as the worst, from which on the group as a
	// whole counts as behind; alikePartitions the share of the partitions that must hold a backlog worth alikeShare of the mean.
	alikeShare, alikePartitions = 0.5, 0.9
	// alikeSeconds is what must wait on a partition in any case, in seconds of the mean partition's arrivals.
	alikeSeconds = 1.0
	// alikeAge is from what age on, in seconds, the oldest record tells more than when commits were made.
	alikeAge = 10.0
)

// behindAlike reports whether a backlog may be on all consumers alike. One that is on few of them, such as that of a hot
// partition or of one that stands still, does not keep the others busy, and what the group does then is not what it can do.
// Where nothing tells how the backlog is spread it is taken to be even.
func (p *partitions) behindAlike(o *series.Observation, arrivalRate float64) bool {
	if onFew(o, arrivalRate) {
		return false
	}
	behind, sum := 0, 0.0
	for _, v := range o.PartitionLagRecords {
		if !v.Known() {
			return true
		}
		sum += v.Or(0)
	}
	count := float64(len(o.PartitionLagRecords))
	// Those that get more fall behind faster: the backlog grows uneven though no consumer ever runs dry.
	least := min(alikeShare*sum, alikeSeconds*arrivalRate) / count
	for _, v := range o.PartitionLagRecords {
		if v.Or(0) >= least {
			behind++
		}
	}
	return float64(behind) >= alikePartitions*count
}

// onFew reports whether the oldest record is much older than the backlog as a whole would tell.
func onFew(o *series.Observation, arrivalRate float64) bool {
	lag, known := o.LagRecords.Get()
	age, ok := o.LagSeconds.Get()
	return ok && known && age > alikeAge && lag < alikeShare*arrivalRate*age
}

// behindThroughput returns what is consumed of a partition that holds a backlog, in records per second, where for two ticks the
// same number of them do and others do not: a replica can do no less. It is missing where the observations do not tell.
func (p *partitions) behindThroughput(o *series.Observation) series.Value {
	count := len(o.PartitionLagRecords)
	behindBefore, restBefore := p.Behind, p.RestLag
	p.Behind, p.RestLag = 0, 0
	if count == 0 || len(o.PartitionArrivalRecords) != count {
		return series.Missing
	}
	behind, rest := 0, 0.0
	consumed, ok := o.ConsumedRecords.Get()
	for i, lag := range o.PartitionLagRecords {
		arrived := o.PartitionArrivalRecords[i]
		switch {
		case !lag.Known() || !arrived.Known():
			return series.Missing
		case lag.Or(0) > arrived.Or(0):
			behind++
		default:
			rest += lag.Or(0)
			consumed -= arrived.Or(0)
		}
	}
	p.Behind, p.RestLag = behind, rest
	consumed -= restBefore - rest
	if !ok || behind == 0 || behind == count || behind != behindBefore || consumed <= 0 || o.Interval <= 0 {
		return series.Missing
	}
	return series.Of(consumed / float64(behind) / o.Interval.Seconds())
}
