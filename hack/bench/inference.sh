#!/usr/bin/env bash
# Speed of the inference service: one model on one core by runner and batch size, loading a version, training, decoding; then
# one replica end to end on a real broker. hack/bench.sh inference [COUNT]; with COUNT 10 the output is fit for benchstat.
set -euo pipefail
cd "$(dirname "$0")/../.."
count="${1:-3}"
echo "model 14-64-64-2, float32; rows are per call"
go test -run '^$' -bench . -cpu 1 -count "$count" ./inference/model ./inference/event
echo
echo "one replica on a real broker, model 3-16-16-2: requests a second from poll to committed transaction"
go test -tags integration -run '^$' -bench ReplicaOnARealBroker -benchtime 1x -count 1 ./inference/server
echo
echo "trainer: examples a second, from example to trained challenger"
go test -run '^$' -bench Learn -cpu 1 -count "$count" ./feedback/train
