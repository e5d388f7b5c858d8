// Package e2e holds the tests on a real Kubernetes with a real Kafka (build tag integration): what we ship, deployed as users
// deploy it, and the metrics API seen through the real aggregator and the real HPA controller.
//
//	go test -tags integration ./hack/e2e
//
// One cluster (hack/cluster) serves all of them. What a test needs and the machine lacks skips it, or fails it when CI=true.
package e2e
