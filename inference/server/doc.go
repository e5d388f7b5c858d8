// Package server is the inference service: the model registry's follower, the Kafka loop that answers requests, and the
// Open Inference Protocol over HTTP, all over one champion that is swapped without a pause.
//
// A Server can be run many times in one process, each a replica of its own; the HTTP side is a plain http.Handler.
//
// The package leaves out the listener's TLS and process signals (cmd/inference).
package server
