#!/usr/bin/env bash
# Latency and memory of the metrics API at 200 queries a second over TLS (hack/bench.sh serving).
set -euo pipefail
cd "$(dirname "$0")/../.."
go test -run '^$' -bench '^BenchmarkServing$' -benchtime 1x -count "${COUNT:-5}" ./cmd/prescale
