// Package sim is a closed-loop simulator of a consumer group under an autoscaler. It runs the rule that ships, and the rules of HPA,
// KEDA, Knative and Flink that it competes with, over a trace of arrivals, and reports what each cost and which share of the records
// came late. Run simulates one Policy in one Scenario, and ClairvoyantCost is what nobody can go under.
//
// The group is a fluid model. Each partition has a backlog and belongs to one consumer; a consumer serves its capacity in records per
// second over its partitions; a rebalance stops it; a new replica starts a lead time after it was asked for and is paid for from then
// on. Waiting times come from the cumulative arrivals and consumption of each partition (first in, first out), so that the share of
// late records is one of records, not of seconds or of events. While nothing waits, time is skipped; otherwise a step is a second.
//
// Left out: single records, the network, broker failures and the clients' fetching. Times are seconds since the trace began.
package sim
