#!/usr/bin/env bash
# How often the rule answers a step, a ramp or a constant rate with how many changes, over random kinds of groups in the simulator
# (hack/bench.sh steps; -n says how many of each, 100 take some minutes).
set -euo pipefail
cd "$(dirname "$0")/../.."
exec go run ./hack/bench/steps "$@"
