// Package batch turns requests into predictions, exactly once.
//
// A Loop polls a batch of inference.requests as a member of a consumer group, predicts it with whichever version is
// champion at that moment, and in one Kafka transaction writes the predictions, the dead letters and the group's offsets.
// Either all of it happens or none: a process killed at any point leaves requests that another member predicts once.
//
// A request that cannot be decoded, or whose features do not fit the model, goes to the dead-letter topic with its key and
// value unchanged and the reason in a header; it never stops the queue.
//
// Control records (the markers of transactions) are read and committed past like any other, so that a queue that is empty
// shows no residue of lag.
//
// The package leaves out HTTP (inference/server) and the choice of version (inference/registry).
package batch
