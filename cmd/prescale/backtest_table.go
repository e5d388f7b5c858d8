package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/prescale/prescale/scaler/sim"
)

// backtestRow is one rule's outcome, as printed and as JSON.
type backtestRow struct {
	Policy         string  `json:"policy"`
	Setting        float64 `json:"setting,omitempty"`
	CostRatio      float64 `json:"costRatio"`
	ReplicaHours   float64 `json:"replicaHours"`
	Price          float64 `json:"price,omitempty"`
	LateRatio      float64 `json:"lateRatio"`
	P99Seconds     float64 `json:"p99SecondsBehind"`
	ChangesPerDay  float64 `json:"changesPerDay"`
	MovesPerDay    float64 `json:"partitionMovesPerDay"`
	UnderProvision float64 `json:"underProvisionedTimeRatio"`
	OverProvision  float64 `json:"overProvisionedTimeRatio"`
	KnowsCapacity  bool    `json:"knowsCapacity"`
	KnowsTheFuture bool    `json:"knowsTheFuture,omitempty"`

	points []sim.Point
}

type backtestResult struct {
	Trace          string        `json:"trace"`
	Days           float64       `json:"days"`
	MeanRate       float64       `json:"meanArrivalRecordsPerSecond"`
	Capacity       float64       `json:"capacityPerReplica"`
	Assumed        bool          `json:"capacityAssumed,omitempty"` // --need took the place of --capacity
	LeadSeconds    float64       `json:"leadTimeSeconds"`
	Partitions     int           `json:"partitions"`
	Objective      float64       `json:"objectiveLagSeconds"`
	ViolationRatio float64       `json:"violationRatio"`
	OracleLower    float64       `json:"oracleCostRatioAtLeast"`
	OracleUpper    float64       `json:"oracleCostRatioAtMost"`
	Rows           []backtestRow `json:"policies"`
	Gaps           int           `json:"gapSteps"`
	// LateAtMost is what comes late with MostReplicas, as many as are allowed, all the time.
	MostReplicas int     `json:"mostReplicas"`
	LateAtMost   float64 `json:"lateRatioWithMostReplicas"`

	scenario sim.Scenario
	recorded *sim.Forecasts
}

func (r *backtestResult) print(w io.Writer, priced bool) error {
	assumed := ""
	if r.Assumed {
		assumed = " (assumed; --capacity says it)"
	}
	fmt.Fprintf(w, "%s: %s, %.4g records/s on average, %.4g a replica%s, lead time %.0f s, %d partitions, objective %.0f s\n",
		r.Trace, r.Span(), r.MeanRate, r.Capacity, assumed, r.LeadSeconds, r.Partitions, r.Objective)
	if r.Gaps > 0 {
		fmt.Fprintf(w, "steps that are missing and were taken to be as the one before: %d\n", r.Gaps)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "rule\tsetting\tcost\tlate %\tp99 behind\tchanges/day\tmoves/day\treplica-hours\t")
	if priced {
		fmt.Fprint(t, "price\t")
	}
	fmt.Fprintln(t)
	for _, row := range r.Rows {
		setting := "-"
		if row.Setting != 0 {
			setting = fmt.Sprintf("%g", row.Setting)
		}
		fmt.Fprintf(t, "%s\t%s\t%.3f\t%.4f\t%.1f s\t%.0f\t%.0f\t%s\t", row.Policy, setting, row.CostRatio, 100*row.LateRatio,
			row.P99Seconds, row.ChangesPerDay, row.MovesPerDay, row.Hours())
		if priced {
			fmt.Fprintf(t, "%.2f\t", row.Price)
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "cost is in multiples of arrivals ÷ capacity, or of --min where that is more, "+
		"and below 1 leaves records waiting at the end; a clairvoyant who knows the partitions pays %.3f to %.3f\n", r.OracleLower,
		r.OracleUpper)
	fmt.Fprintln(w, "prescale learns the capacity and the lead time, and its setting is the share that may be late; "+
		"the other rules are told the capacity, and theirs is the utilisation or the lag that they aim at")
	if r.ToZero() {
		fmt.Fprintln(w, "with --min 0 prescale may go to zero; the other rules are tried with at least one replica, "+
			"though KEDA and Knative could as well")
	}
	fmt.Fprintf(w, "counting begins after the first %.3g hours, which warm the rules up\n", r.WarmHours())
	_, err := fmt.Fprintln(w, r.Promised())
	return err
}
