// Package kube is everything that a main does with a Kubernetes cluster: it keeps the serving certificate, follows
// ScalePolicies, pods, nodes and HPAs by informers, and writes status and events. Its main type is Controller.
//
// It decides nothing: what it learns of pods goes into observations, what the scaler decided goes into status. Nothing here is
// waited for by a query of the metrics API.
package kube
