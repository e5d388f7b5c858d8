#!/usr/bin/env bash
# Benchmarks of the Kafka collector: a tick on a real broker (10,000 partitions, 50 groups) against kadm.Lag, and the memory
# that 100,000 partitions with 10 groups take on an in-memory Kafka. PRESCALE_BENCH_PARTITIONS and PRESCALE_BENCH_GROUPS
# make both smaller.
set -euo pipefail
cd "$(dirname "$0")/../.."
ulimit -n "$(ulimit -Hn)"
go test -tags integration -run '^$' -bench 'RealBroker|Memory' -benchtime 1x -timeout 40m "$@" ./metrics/collector/kafka
