// Command demo runs the whole line in one process on an in-process Kafka, on recorded traffic: requests arrive as they did in
// a real chat service, inference replicas consume them, and Prescale scales the replicas through the external metrics API
// and a stand-in for the HPA controller. Beside it a second consumer group reads the same topic under a plain HPA on lag.
//
// What is real: the Kafka protocol and its clients, consumer groups and transactions, the Gorgonia models and their training,
// the collector, the forecaster, the scaler, the metrics API over TLS and the client that reads it, the HPA's rules. What
// stands in: the broker is kfake; a replica is a goroutine that takes a start-up delay instead of a pod; and since no
// GPU is at hand a replica is held to a GPU's pace by waiting after each batch.
//
// # Two clocks
//
// The control plane lives in the trace's time, which starts at midnight and passes Config.Speed times as fast as the wall's: its
// interval, the start-up delay and the promise are those of production. The workloads and the broker live in the wall's
// time: the stamps of records and inside events are true. The two meet in trace.Clock and nowhere else.
package main
