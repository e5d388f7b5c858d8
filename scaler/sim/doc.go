// Package sim is a closed-loop simulator of a consumer group under an autoscaler: it runs the very rule that ships, and the
// rules that it competes with, over a trace of arrivals, and says what each cost and how many records came late.
//
// The group is simulated as fluid in partitions: each partition has a backlog and belongs to one consumer, a consumer does
// its capacity's worth of records a second over its partitions, a rebalance stops it, a new replica starts a lead time after
// it was asked for and is paid for from then on. Waiting times come from the cumulative arrivals and consumption of each
// partition (first in, first out), so the share of late records is that of the records, not of seconds or of events. While
// nothing waits, time is skipped; while something does, a step is a second.
//
// Left out: single records, the network, broker failures and the clients' fetching. Times are seconds since the trace began.
package sim
