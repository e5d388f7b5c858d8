// Package protocol is the gRPC interface that KEDA asks an external scaler by, generated from externalscaler.proto by hack/generate.sh.
package protocol
