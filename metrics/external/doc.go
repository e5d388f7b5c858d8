// Package external serves metrics to the Kubernetes HorizontalPodAutoscaler: external.metrics.k8s.io/v1beta1, and
// custom.metrics.k8s.io (v1beta1 and v1beta2) for the object that a metric describes.
//
// Its main type is Server, which answers from a Source: whatever holds the newest values in memory. A query never waits for
// Kafka, and a namespace only ever sees its own values.
//
// What an HPA must be able to tell apart looks different on the wire: an unknown metric is an empty list, a metric that is
// known but has no value to be trusted now is 503 with a cause of Stale or NotReady. Missing is never zero, because an HPA
// reads zero as permission to scale in (kubernetes/kubernetes#104387), while an error makes it keep its replicas.
//
// The package knows nothing of policies, lag or forecasts, and computes nothing.
package external
