package main

import "fmt"

// Promised says in one sentence whether the promise was kept; where it was not, whether it would have been by the same rule with
// forecasts that are never wrong, or by the most replicas allowed had they always been there. Where not even those keep it no rule can.
func (r *backtestResult) Promised() string {
	late, perfect := 0.0, 0.0
	for _, row := range r.Rows {
		switch {
		case row.Policy == ours && row.Setting == r.ViolationRatio:
			late = row.LateRatio
		case row.KnowsTheFuture:
			perfect = row.LateRatio
		}
	}
	percent := func(ratio float64) string { return fmt.Sprintf("%.4g %%", 100*ratio) }
	promise := fmt.Sprintf("at most %s late was promised, and %s came late", percent(r.ViolationRatio), percent(late))
	switch {
	case late <= r.ViolationRatio:
		return promise + ": kept"
	case r.LateAtMost > r.ViolationRatio:
		return fmt.Sprintf("%s: no rule can keep it, for with %s all the time %s come late; it takes more replicas and partitions, "+
			"larger replicas or a longer objective",
			promise, howMany(r.MostReplicas, "replica", "replicas"), percent(r.LateAtMost))
	case perfect > r.ViolationRatio:
		return fmt.Sprintf("%s: with perfect forecasts %s come late, so the lead time is too long for it", promise, percent(perfect))
	default:
		return fmt.Sprintf("%s: with perfect forecasts %s come late, so it is missed for what nobody foresaw", promise, percent(perfect))
	}
}
