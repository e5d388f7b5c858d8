// Package hpa holds the rules by which the Kubernetes HorizontalPodAutoscaler turns external or object metrics into a
// replica count: tolerance, averages and totals, stabilization windows, scaling policies, refusal to scale down while a
// metric errs. Controller steps them; the simulator and the demo use it where there is no cluster.
//
// It follows pkg/controller/podautoscaler (horizontal.go, replica_calculator.go) of Kubernetes v1.36; hack/hpa compares
// the two on random input. Left out: resource metrics (CPU, memory), conditions and events, and all I/O. It reads no clock.
package hpa
