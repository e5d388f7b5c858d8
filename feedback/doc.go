// Package feedback is the trainer: it joins predictions with the outcomes that come later, learns from the pairs, and
// publishes new model versions, each step exactly once.
//
//	inference.predictions ─┐                                     ┌─> inference.models ─> the inference service
//	                       ├─> join ─> inference.examples ─> train
//	inference.outcomes ────┘    └─ feedback.join-state            └─ feedback.train-state
//
// The two steps are stages of their own (feedback/stage). Joining spreads over instances by partition; training is the one
// partition of inference.examples, so one instance trains and the others stand by. The examples' log is the one order that
// training depends on: what is learned from it is the same bits, whoever does it.
//
// The main type is Service.
package feedback
