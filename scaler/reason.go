package scaler

// Reason is the code of the rule that bound a decision: a closed set, documented here.
type Reason string

// The reasons.
const (
	// ReasonForecast: the forecast's quantile over the lead time asked for this count.
	ReasonForecast Reason = "Forecast"
	// ReasonReactive: the arrivals seen now asked for more than the forecast did, or there is no forecast to be used.
	ReasonReactive Reason = "Reactive"
	// ReasonBacklog: draining the backlog within the objective asked for this count.
	ReasonBacklog Reason = "Backlog"
	// ReasonHold: the present count is kept: it was enough, or what a change saves is less than what it costs.
	ReasonHold Reason = "Hold"
	// ReasonMinReplicas and ReasonMaxReplicas: the policy's bounds.
	ReasonMinReplicas Reason = "MinReplicas"
	ReasonMaxReplicas Reason = "MaxReplicas"
	// ReasonPartitionCap: more replicas than partitions would idle.
	ReasonPartitionCap Reason = "PartitionCap"
	// ReasonWarmingUp: too little is known; the present count is kept.
	ReasonWarmingUp Reason = "WarmingUp"
	// ReasonStale: the observation is missing or too old; nothing is decided.
	ReasonStale Reason = "Stale"
)

// Verdict is a finding that the operator should know: a closed set, documented here.
type Verdict string

// The verdicts.
const (
	// VerdictPartitionBound: the demand needs more replicas than there are partitions.
	VerdictPartitionBound Verdict = "PartitionBound"
	// VerdictHotPartition: one partition gets more than one replica can do; no count mends that.
	VerdictHotPartition Verdict = "HotPartition"
	// VerdictLeadTimeTooLong: replicas take longer to start than the objective allows to wait.
	VerdictLeadTimeTooLong Verdict = "LeadTimeTooLong"
	// VerdictForecastUntrusted: the forecast left its band and is not used.
	VerdictForecastUntrusted Verdict = "ForecastUntrusted"
	// VerdictWarmingUp: the forecast or the capacity is not known yet.
	VerdictWarmingUp Verdict = "WarmingUp"
	// VerdictStale: the observation is missing or too old.
	VerdictStale Verdict = "Stale"
)
