// Package hpa runs the HPA controller of Kubernetes, its own code, one sync at a time, so that a test can hold scaler/hpa against
// it on random inputs. It leaves out everything around the rules: API server, informers, caches and the clock of the work queue.
package hpa
