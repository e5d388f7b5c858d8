#!/usr/bin/env bash
# The scaling rule against its competitors in the simulator: cost in multiples of the lower bound against the share of late
# records, per trace and lead time. PRESCALE_DATA names the directory that holds traces/. All cells with five seeds take hours;
# hack/bench.sh scaler -seeds 1 -days 8 gives the picture.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${PRESCALE_DATA:?set it to the directory that holds traces/}"
exec go run ./hack/bench/scaler "$@"
