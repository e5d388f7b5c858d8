package scaler

// Text says in a sentence what the reason means; empty for one that is not in the set.
func (r Reason) Text() string {
	switch r {
	case ReasonForecast:
		return "the forecast over the lead time asks for this count"
	case ReasonReactive:
		return "what arrived lately asks for this count; the forecast is not ready yet, does not follow it, or expects nothing"
	case ReasonBacklog:
		return "the backlog asks for this count, so that it is drained within the objective"
	case ReasonLatency:
		return "the latency objective asks for more than the lag objective does"
	case ReasonHold:
		return "the present count is enough, or to change it now would cost more than it saves"
	case ReasonPanic:
		return "at least twice as many replicas were needed as were ready: none is removed until a minute has passed without that"
	case ReasonTrial:
		return "the present replicas have kept up for a while, and one step fewer is tried to learn what they can do"
	case ReasonMinReplicas:
		return "the policy's replicas.min allows no fewer"
	case ReasonMaxReplicas:
		return "the policy's replicas.max allows no more"
	case ReasonSchedule:
		return "a schedule of the policy asks for at least this many"
	case ReasonBudget:
		return "the day's budget of replica-hours pays for no more, or is being spread over the rest of the day"
	case ReasonPartitionCap:
		return "there are no more partitions than this, and a replica without one would idle"
	case ReasonPaused:
		return "the policy is paused, and the present count is kept"
	case ReasonObserve:
		return "the policy only observes, and the present count is kept"
	case ReasonWarmingUp:
		return "too little is known yet, and the present count is kept"
	case ReasonStale:
		return "the observation is missing or too old, and nothing is decided"
	}
	return ""
}

// Text says in a sentence what the verdict means and what would mend it; empty for one that is not in the set.
func (v Verdict) Text() string {
	switch v {
	case VerdictPartitionBound:
		return "the demand, or what waits of it, needs more replicas than there are partitions: " +
			"more partitions or larger replicas would help"
	case VerdictHotPartition:
		return "one partition gets more than one replica can do: larger replicas, more partitions or other keys would help, no count does"
	case VerdictMaxBound:
		return "the demand, or what waits of it, needs more than replicas.max or the pools allow: raise them, or promise less"
	case VerdictBudgetBound:
		return "the budget keeps the answer below what the promise needs, or will before midnight: " +
			"raise budget.replicaHoursPerDay, or promise less"
	case VerdictUnschedulable:
		return "replicas wait for a node with room, or are refused by a quota or an admission webhook: more nodes, " +
			"or a larger quota, would help"
	case VerdictUnheeded:
		return "more replicas were asked for a while ago, and none of them is starting: look at the HPA's conditions, " +
			"its maxReplicas and its tolerance"
	case VerdictUnsteady:
		return "replicas that were ready disappear again and again, and as many more are asked for: " +
			"look at why their containers restart, or why they leave the group"
	case VerdictStalled:
		return "replicas are ready and records wait, but hardly any is consumed, on all partitions or on some: " +
			"look for what the consumers hang on, such as a database, a rebalance or a record"
	case VerdictPartitionStalled:
		return "the oldest record has been the same for minutes while other partitions are consumed, and more replicas would not help: " +
			"find its partition with prescale lag, and there a record that its consumer cannot get past, or a consumer that hangs"
	case VerdictIneffective:
		return "replicas were added and the group did not get faster: look for what its consumers wait for, such as a database"
	case VerdictLeadTimeTooLong:
		return "replicas take longer to start than records may wait, and the forecast does not make up for it, so that " +
			"far more records are late than promised: start replicas faster, or keep more (replicas.min)"
	case VerdictLatencyUnreachable:
		return "many more replicas did not lower the latency, and were given up: the service itself takes longer than the " +
			"objective, or what it calls does"
	case VerdictBusyRatioContradicted:
		return "how busy the replicas are said to be does not match what they do, and is ignored: look at what exports the busy ratio"
	case VerdictForecastUntrusted:
		return "arrivals passed the forecast's quantiles too often, or it does not follow a step yet: until it fits again " +
			"no less is planned for than what arrived lately"
	case VerdictWarmingUp:
		return "the forecast or what a replica can do is not known yet, or only roughly: it is learned as observations come in"
	case VerdictStale:
		return "the observation, or a part of it that a decision needs, is missing or too old, " +
			"or it is of a time before the last one's: look at its problems, and at the clock"
	}
	return ""
}
