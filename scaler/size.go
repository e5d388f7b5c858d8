package scaler

import (
	"strconv"

	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler/vertical"
)

// size is what replicas of one size were seen to do.
type size struct {
	Name     string
	CPUCores float64
	Capacity capacity
	// Tick is State.Ticks when it was last seen.
	Tick int
}

// sizesKept is how many sizes are remembered; beyond it the one that was not seen for longest goes.
const sizesKept = 8

// observeSize learns from an interval in which every replica had the same CPU.
func (s *State) observeSize(interval float64, cores, consumed, busy series.Value, ready, effective float64, saturated, disturbed bool,
	easy float64) {
	x, ok := cores.Get()
	if !ok || !(x > 0) {
		return
	}
	at, oldest := -1, 0
	for i := range s.Sizes {
		if s.Sizes[i].CPUCores == x {
			at = i
		}
		if s.Sizes[i].Tick < s.Sizes[oldest].Tick {
			oldest = i
		}
	}
	if at < 0 {
		fresh := size{Name: "cpu " + strconv.FormatFloat(x, 'g', 4, 64), CPUCores: x}
		if len(s.Sizes) < sizesKept {
			s.Sizes = append(s.Sizes, fresh)
			at = len(s.Sizes) - 1
		} else {
			s.Sizes[oldest], at = fresh, oldest
		}
	}
	s.Sizes[at].Tick = s.Ticks
	s.Sizes[at].Capacity.observe(interval, consumed, busy, ready, effective, saturated, disturbed, easy)
}

// chooseSize names the size, among those that were measured, for which demand (in records per second, of which hottest is on one
// partition) costs least. With pools these are the sizes, and only a hot partition is a question, since the split is by cost
// already; without, the sizes are those that were seen one after the other, and a price is their cores.
func (d decider) chooseSize(demand, hottest float64) {
	s, isHot := d.state, d.state.Partitions.hot > 0
	var room [sizesKept + 16]vertical.Observed
	sizes := room[:0]
	for i := range d.config.Pools {
		if i < len(s.Pools) && s.Pools[i].measured() {
			sizes = append(sizes, vertical.Observed{Name: d.config.Pools[i].Name, PerReplica: s.Pools[i].Mean,
				Price: d.config.Pools[i].Price})
		}
	}
	if len(d.config.Pools) > 0 && !isHot {
		return
	}
	for i := range s.Sizes {
		if len(d.config.Pools) == 0 && s.Sizes[i].Capacity.measured() {
			sizes = append(sizes, vertical.Observed{Name: s.Sizes[i].Name, PerReplica: s.Sizes[i].Capacity.Mean,
				Price: s.Sizes[i].CPUCores})
		}
	}
	if len(sizes) < 2 && !isHot {
		return
	}
	if !isHot {
		hottest = 0
	}
	choice, ok := vertical.Choose(sizes, demand, hottest)
	if !ok {
		return
	}
	d.Size = SizeDecision{
		Name: choice.Name, CapacityPerReplica: choice.PerReplica, Replicas: choice.Replicas, PricePerHour: choice.PricePerHour,
		HotPartition: choice.HotPartition,
	}
	if len(d.config.Pools) == 0 {
		d.Size.CPUCores = choice.Price
	}
}
