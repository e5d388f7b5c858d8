package vertical

import "math"

// Observed is a size that replicas were seen at work with: a pod size, a GPU profile, a time slice.
type Observed struct {
	Name string
	// PerReplica is what one does, in records per second, as measured; Price what one costs per hour.
	PerReplica, Price float64
	// Shared says that the size does not isolate its memory, as time slices of a GPU do not.
	Shared bool
}

// Choice is a size and how many replicas of it the demand takes.
type Choice struct {
	Observed
	Replicas int
	// PricePerHour is what all of them cost.
	PricePerHour float64
	// HotPartition says that even this size cannot keep up with the hottest partition; no observed one can.
	HotPartition bool
}

// Choose returns the size for which the replicas that the demand takes cost least, among those that keep up with the hottest
// partition; where none does, the fastest. demand and hottest are in records per second, hottest is that of one partition (0 if
// not known). It returns false where no size has been measured. Ties go to the earlier one.
func Choose(sizes []Observed, demand, hottest float64) (Choice, bool) {
	var best, fastest Choice
	found, any := false, false
	for _, s := range sizes {
		if !(s.PerReplica > 0) || !(s.Price >= 0) {
			continue
		}
		n := max(int(math.Ceil(demand/s.PerReplica-1e-9)), 1)
		c := Choice{Observed: s, Replicas: n, PricePerHour: float64(n) * s.Price}
		if !any || s.PerReplica > fastest.PerReplica {
			fastest, any = c, true
		}
		if s.PerReplica < hottest {
			continue
		}
		if !found || c.PricePerHour < best.PricePerHour {
			best, found = c, true
		}
	}
	if found {
		return best, true
	}
	fastest.HotPartition = any
	return fastest, any
}
