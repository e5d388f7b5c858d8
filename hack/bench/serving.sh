#!/usr/bin/env bash
# Latency and memory of the metrics API at 200 queries a second over TLS, direct and through a real API server (hack/bench.sh serving).
set -euo pipefail
cd "$(dirname "$0")/../.."
go test -run '^$' -bench '^BenchmarkServing$' -benchtime 1x -count "${COUNT:-5}" ./cmd/prescale
# The same through the aggregator of a real API server.
go test -tags integration -run '^$' -bench '^BenchmarkServingThroughTheAggregator$' -benchtime 1x -count "${COUNT:-5}" ./hack/e2e
