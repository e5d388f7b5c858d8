package scaler

// Reason is the code of the rule that bound a decision: a closed set, documented here.
type Reason string

// The reasons.
const (
	// ReasonForecast: the forecast over the lead time asked for this count.
	ReasonForecast Reason = "Forecast"
	// ReasonReactive: the arrivals seen lately asked for this count: there is no forecast to be used, or it does not follow them.
	ReasonReactive Reason = "Reactive"
	// ReasonBacklog: draining the backlog within the objective asked for this count.
	ReasonBacklog Reason = "Backlog"
	// ReasonLatency: the latency objective asked for more than the lag objective did.
	ReasonLatency Reason = "Latency"
	// ReasonHold: the present count is kept: it was enough, or what a change saves is less than what it costs.
	ReasonHold Reason = "Hold"
	// ReasonPanic: within the last minute twice the ready replicas were needed or more; nothing is taken away until that calms down.
	ReasonPanic Reason = "Panic"
	// ReasonTrial: what a replica can do is not known, and one step fewer is tried to learn it.
	ReasonTrial Reason = "Trial"
	// ReasonMinReplicas and ReasonMaxReplicas: the policy's bounds.
	ReasonMinReplicas Reason = "MinReplicas"
	ReasonMaxReplicas Reason = "MaxReplicas"
	// ReasonSchedule: a schedule's lower bound.
	ReasonSchedule Reason = "Schedule"
	// ReasonBudget: the day's budget lowered the answer, or has lateness priced lower to make it last.
	ReasonBudget Reason = "Budget"
	// ReasonPartitionCap: more replicas than partitions would idle.
	ReasonPartitionCap Reason = "PartitionCap"
	// ReasonPaused and ReasonObserve: the policy's switches; the present count is kept. Terms tell what would be asked for.
	ReasonPaused  Reason = "Paused"
	ReasonObserve Reason = "Observe"
	// ReasonWarmingUp: too little is known; the present count is kept.
	ReasonWarmingUp Reason = "WarmingUp"
	// ReasonStale: the observation is missing or too old; nothing is decided.
	ReasonStale Reason = "Stale"
)

// Reasons returns all reasons, in the order above.
func Reasons() []Reason {
	return []Reason{
		ReasonForecast, ReasonReactive, ReasonBacklog, ReasonLatency, ReasonHold, ReasonPanic, ReasonTrial,
		ReasonMinReplicas, ReasonMaxReplicas, ReasonSchedule, ReasonBudget, ReasonPartitionCap, ReasonPaused, ReasonObserve,
		ReasonWarmingUp,
		ReasonStale,
	}
}

// Verdict is a finding that the operator should know: a closed set, documented here.
type Verdict string

// The verdicts.
const (
	// VerdictPartitionBound: the demand, or what waits of it too long, needs more replicas than there are partitions.
	VerdictPartitionBound Verdict = "PartitionBound"
	// VerdictHotPartition: one partition gets more than one replica can do; no count mends that. A larger replica or more
	// partitions would.
	VerdictHotPartition Verdict = "HotPartition"
	// VerdictMaxBound: the demand, or what waits of it too long, needs more than replicas.max.
	VerdictMaxBound Verdict = "MaxBound"
	// VerdictBudgetBound: the budget keeps the answer below what the promise needs, or will before midnight: what is left of it is
	// less than what the rest of the day asks for.
	VerdictBudgetBound Verdict = "BudgetBound"
	// VerdictUnschedulable: replicas that were asked for wait for a node with room, or are refused by a quota or an admission webhook.
	// Other pools stand in for them where the policy has any with room; else more nodes are what is missing, or a larger quota.
	VerdictUnschedulable Verdict = "Unschedulable"
	// VerdictUnheeded: for five times as long as a start takes fewer replicas have been there than were asked for, and none is starting.
	VerdictUnheeded Verdict = "Unheeded"
	// VerdictUnsteady: for ten minutes replicas that were ready have been lost again and again. As many are asked for besides.
	VerdictUnsteady Verdict = "Unsteady"
	// VerdictStalled: replicas are ready and records wait, of which next to none is consumed, on all partitions or on some. No count
	// mends that; what is asked for is to drain them when it ends.
	VerdictStalled Verdict = "Stalled"
	// VerdictPartitionStalled: the oldest record has been the same for five minutes and the objective, while those of other partitions
	// are consumed, few or most of them; Stalled is not said besides. No count mends that, and none is asked for.
	VerdictPartitionStalled Verdict = "PartitionStalled"
	// VerdictIneffective: replicas were added and the group did not get faster.
	VerdictIneffective Verdict = "Ineffective"
	// VerdictLeadTimeTooLong: replicas take longer to start than the objective allows to wait, and the forecast is not
	// sure enough to make up for it: the promise was broken lately for that.
	VerdictLeadTimeTooLong Verdict = "LeadTimeTooLong"
	// VerdictLatencyUnreachable: many more replicas than queueing explains did not lower the latency, and were given up: what takes
	// it is the service itself, or what it calls.
	VerdictLatencyUnreachable Verdict = "LatencyUnreachable"
	// VerdictBusyRatioContradicted: how busy replicas are said to be stays the same while what they do changes, or is low while all of
	// them have a backlog; it is left out.
	VerdictBusyRatioContradicted Verdict = "BusyRatioContradicted"
	// VerdictForecastUntrusted: the forecast left its band, or does not follow a step of the arrivals, and is relied on less.
	VerdictForecastUntrusted Verdict = "ForecastUntrusted"
	// VerdictWarmingUp: the forecast or the capacity is not known yet.
	VerdictWarmingUp Verdict = "WarmingUp"
	// VerdictStale: the observation is missing or too old, or a clock that was set back has it before the last one.
	VerdictStale Verdict = "Stale"
)

// Verdicts returns all verdicts, in the order above.
func Verdicts() []Verdict {
	return []Verdict{
		VerdictPartitionBound, VerdictHotPartition, VerdictMaxBound, VerdictBudgetBound, VerdictUnschedulable, VerdictUnheeded,
		VerdictUnsteady,
		VerdictStalled, VerdictPartitionStalled, VerdictIneffective, VerdictLeadTimeTooLong, VerdictLatencyUnreachable,
		VerdictBusyRatioContradicted,
		VerdictForecastUntrusted, VerdictWarmingUp, VerdictStale,
	}
}
