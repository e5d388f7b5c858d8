// Package join matches predictions with the outcomes that become known later, and writes each pair as an Example.
//
// A Processor is the step of one partition for feedback/stage. It holds predictions until their outcome comes, and outcomes
// that came first until their prediction does, both no longer than a given age of event time. What it holds is its state, so
// nothing is lost or told twice when it moves or dies.
package join
