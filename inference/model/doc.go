// Package model holds the classifier that the workloads serve and train: its Architecture and Weights, the model file, the
// Runner that predicts and the Trainer that learns.
//
// It is the only package that knows Gorgonia. Training, and the forward pass that every other runner is judged by, are
// Gorgonia graphs; serving uses a plan compiled from the same weights, which Load compares with the graph on golden rows
// and refuses when they differ (see Model).
//
// What Gorgonia asks of its users, and where it is heeded:
//   - building graphs concurrently races on a package variable: buildMu is held while a graph is built;
//   - a machine writes into the tensors bound to it: every graph has tensor headers of its own over shared slices, and
//     Predict copies its result out before the next run;
//   - a machine that is not Reset answers with the old values: run resets first;
//   - the batch size is part of a graph: rows are padded to the next bucket;
//   - a panic inside an op ends the process: shapes are checked before anything reaches a machine.
//
// The package leaves out where models are kept (inference/registry) and which model is better (feedback).
package model
