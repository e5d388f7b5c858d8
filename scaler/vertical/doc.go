// Package vertical recommends how large a replica should be: CPU and memory from what it used, by the rules of the Kubernetes
// Vertical Pod Autoscaler, and one among the sizes that were observed at work, by what each did and costs.
//
// Usage keeps decaying histograms and answers with a Recommendation; Choose picks a size. Nothing is extrapolated: a size that
// was never seen at work has no known capacity and is never recommended. Applying a recommendation, reading usage and the
// clock are left to callers.
package vertical
