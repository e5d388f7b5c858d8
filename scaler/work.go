package scaler

import (
	"github.com/prescale/prescale/metrics/series"
)

// work learns how much work, in the unit that Config.Work names, one record is. The mean over a tick's records is what moves
// when the mix of records changes while their count stays.
type work struct {
	// Unit is Config.Work when the state was begun: amounts of one unit mean nothing in another.
	Unit string `json:",omitempty"`
	// PerRecord is the recent mean, 0 while it has not been observed: the work of records that wait.
	PerRecord float64 `json:",omitempty"`
}

// workGain is the weight of the newest tick in PerRecord: most of a change of the mix is in it after three ticks, and the
// spread of single records is not.
const workGain = 0.4

// observe learns from one observation.
func (w *work) observe(o *series.Observation) {
	seen, ok := perRecord(o).Get()
	switch {
	case !ok:
	case w.PerRecord == 0:
		w.PerRecord = seen
	default:
		w.PerRecord += workGain * (seen - w.PerRecord)
	}
}

// perRecord returns the work of one record in the observation's interval, missing where it was not observed.
func perRecord(o *series.Observation) series.Value {
	records, ok := o.ArrivalRecords.Get()
	if work := o.ArrivalWork.Or(0); ok && records > 0 && work > 0 {
		return series.Of(work / records)
	}
	return series.Missing
}

// convert writes the observation into x, whose memory is reused, with its amounts in work instead of records: what came and went
// by the tick's own work per record, what waits by the recent mean. Where no work was ever observed they are missing. All
// partitions are scaled alike, so that their shares stay and add up to the whole.
func (w *work) convert(x, o *series.Observation) {
	lags, arrivals, pools := x.PartitionLagRecords[:0], x.PartitionArrivalRecords[:0], x.Pools[:0]
	*x = *o
	recent := series.Missing
	if w.PerRecord > 0 {
		recent = series.Of(w.PerRecord)
	}
	now := recent
	if seen := perRecord(o); seen.Known() {
		now = seen
	}
	in := func(v, per series.Value) series.Value {
		if v == series.Of(0) {
			return v // nothing is no work, whatever a record is
		}
		if !per.Known() {
			return series.Missing
		}
		return v.Times(per.Or(0))
	}
	x.ArrivalRecords, x.ConsumedRecords = in(o.ArrivalRecords, now), in(o.ConsumedRecords, now)
	x.LagRecords = in(o.LagRecords, recent)
	for _, v := range o.PartitionLagRecords {
		lags = append(lags, in(v, recent))
	}
	for _, v := range o.PartitionArrivalRecords {
		arrivals = append(arrivals, in(v, now))
	}
	for _, p := range o.Pools {
		p.ConsumedRecords = in(p.ConsumedRecords, now)
		pools = append(pools, p)
	}
	x.PartitionLagRecords, x.PartitionArrivalRecords, x.Pools = lags, arrivals, pools
}

// inRecords puts the decision's amounts back into records, at the recent work per record, so that they can be read beside the
// backlog and the arrivals that were observed.
func (w *work) inRecords(d *Decision, o *series.Observation) {
	d.ArrivalRate, d.LagRecords = o.ArrivalRate(), o.LagRecords
	if w.PerRecord == 0 {
		return
	}
	d.WorkPerRecord = series.Of(w.PerRecord)
	scale := 1 / w.PerRecord
	d.CapacityPerReplica = d.CapacityPerReplica.Times(scale)
	for i := range d.ArrivalForecast {
		d.ArrivalForecast[i].Value *= scale
	}
	for i := range d.Accuracy.MaxPinball {
		d.Accuracy.MaxPinball[i].Value *= scale
	}
	for i := range d.Terms {
		if d.Terms[i].Name == "backlog" {
			d.Terms[i].Amount *= scale
		}
	}
}
