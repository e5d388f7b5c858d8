// Package scaler turns observations and a forecast into a replica count and the reasons for it. hack/designs/scaler.md describes the
// whole rule with its formulas.
//
// Its main type is Autoscaler: one policy at work, stepped once a tick. Each tick goes through four stages:
//
//  1. State.Learn updates the estimates from the observation: the capacity of a replica, the pace of the slowest one, start-up times,
//     the spread over partitions, the pause of a rebalance, and the price of a late record (learn.go and one file an estimator).
//  2. Decide makes paths of arrivals from the forecast (outlook.go) and takes the count at which replicas plus priced lateness cost
//     least (plan.go).
//  3. What speaks against a change now holds it back: an increase a moment ago, a backlog, a count that was too few lately (hold.go,
//     toofew.go, hush.go, silence.go). Then the bounds of the policy apply, and pools share the answer (decide.go, pool.go).
//  4. State.Record notes the decision, so that the next one knows of it (record.go).
//
// A Decision carries its Reason (the rule that bound it), its Terms (what each rule asked for) and its Verdicts (what the operator
// should know); reason.go lists all of them.
//
// Everything here is pure: a Decision depends on the Config, the observations so far and the forecast alone, so that a replay of the
// log gives the same decisions bit for bit. Nothing here does I/O, starts a goroutine, logs or reads a clock.
package scaler
