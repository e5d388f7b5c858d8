#!/usr/bin/env bash
# Latency and memory of the metrics API at 200 queries a second over TLS, direct and through a real API server (hack/bench.sh serving).
set -euo pipefail
cd "$(dirname "$0")/../.."
# Each size has a process of its own, so that the memory is that of one server and its client.
for policies in 500 3000; do
  go test -run '^$' -bench "^BenchmarkServing\$/^policies=$policies\$" -benchtime 1x -count "${COUNT:-1}" ./cmd/prescale
done
# The same through the aggregator of a real API server.
go test -tags integration -run '^$' -bench '^BenchmarkServingThroughTheAggregator$' -benchtime 1x -count "${COUNT:-1}" ./hack/e2e
