package scaler

// Text says in a sentence what the reason means; empty for one that is not in the set.
func (r Reason) Text() string {
	switch r {
	case ReasonForecast:
		return "the forecast over the lead time asks for this count"
	case ReasonReactive:
		return "the arrivals seen lately ask for this count; there is no forecast to be used"
	case ReasonBacklog:
		return "the backlog asks for this count, so that it is drained within the objective"
	case ReasonLatency:
		return "the latency objective asks for more than the lag objective does"
	case ReasonHold:
		return "the present count is enough, or a change would cost more than it saves"
	case ReasonPanic:
		return "within the last minute at least twice the ready replicas were needed, and nothing is taken away until that calms down"
	case ReasonTrial:
		return "the present replicas have kept up for a while, and one step fewer is tried to learn what they can do"
	case ReasonMinReplicas:
		return "the policy's replicas.min"
	case ReasonMaxReplicas:
		return "the policy's replicas.max"
	case ReasonSchedule:
		return "a schedule's lower bound"
	case ReasonBudget:
		return "what the day's budget still pays for"
	case ReasonPartitionCap:
		return "more replicas than partitions would idle"
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
		return "replicas that were ready are lost again and again, and as many are asked for besides: " +
			"look at why their containers restart, or leave the group"
	case VerdictStalled:
		return "replicas are ready, but of what waits, or of some partitions, next to none is consumed: " +
			"look for what the consumers hang on, such as a database, a rebalance or a record"
	case VerdictPartitionStalled:
		return "the oldest record has been the same for minutes while others are consumed: find its partition with prescale lag, " +
			"and there a record that its consumer cannot get past, or a consumer that hangs"
	case VerdictIneffective:
		return "replicas were added and the group did not get faster: look for what its consumers wait for, such as a database"
	case VerdictLeadTimeTooLong:
		return "replicas take longer to start than records may wait, and what comes is not foreseen well enough: " +
			"start them faster, or keep more"
	case VerdictLatencyUnreachable:
		return "many more replicas did not lower the latency: it is the service itself that takes longer than the " +
			"objective, or what it calls"
	case VerdictBusyRatioContradicted:
		return "what is told of how busy replicas are does not go with what they do, and is left out: look at what exports it"
	case VerdictForecastUntrusted:
		return "the forecast has left its band, and is relied on less"
	case VerdictWarmingUp:
		return "the forecast or the capacity is not known yet, or only roughly"
	case VerdictStale:
		return "the observation, or a part of it that a decision needs, is missing or too old, " +
			"or it is of a time before the last one's: look at its problems, and at the clock"
	}
	return ""
}
