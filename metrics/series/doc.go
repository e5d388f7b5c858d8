// Package series holds the vocabulary that the whole control plane speaks: a Value that may be missing, and the
// Observation, which is everything that one tick learned about one policy.
//
// It imports the standard library only, so that collector, event log, forecaster and scaler can share it without knowing
// of one another. It deliberately holds no storage, no clock and no statistics.
package series
