// Package train learns from examples in the order of their log, and publishes a new model version when the evidence says
// that it is better.
//
// A Learner is the step of the examples' one partition for feedback/stage. For each example it
//
//  1. scores the prediction that was served (prequential: before anything learns from it),
//  2. asks the champion, the challenger and the previous champion for theirs, none of which has been trained on it,
//  3. feeds the champion's loss to the drift detectors; a rise drops the examples of the past and starts a new challenger,
//  4. bets on the challenger against the champion (feedback/promote): enough evidence promotes it, and enough against a new
//     champion brings the previous one back,
//  5. keeps the example, and trains the challenger when a batch is full.
//
// It is a function of the log and its seed: no clock, no I/O. The same examples give the same bits, so that what a crash undid
// is redone exactly.
package train
