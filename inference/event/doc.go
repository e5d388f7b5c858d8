// Package event is the wire schema of the inference queue and the feedback loop: Request, Prediction, Outcome, and the
// headers of a dead letter.
//
// Every event is one JSON object with the schema version in "v"; instants are Unix milliseconds (UTC). The record key is
// the request's id for all three, so that topics with the same number of partitions keep a request, its prediction and its
// outcome in the partition of the same number, which the feedback join relies on.
//
//	inference.requests     {"v":1,"id":"r-17","requestedAtMillis":1767225600000,"features":[1.5,7,0.25]}
//	inference.predictions  {"v":1,"id":"r-17","requestedAtMillis":…,"predictedAtMillis":…,"model":"default","version":3,
//	                        "features":[1.5,7,0.25],"scores":[0.1,0.9],"class":1}
//	inference.outcomes     {"v":1,"id":"r-17","observedAtMillis":…,"class":0}
//
// A prediction repeats the features it was made from: the trainer learns from what the service saw, not from a second
// reading that may differ. Unknown fields are ignored, so that a field can be added without a new version; a missing
// field, a null or a number that is not finite is an error, never a zero.
//
// The package leaves out topics, clients and clocks.
package event
