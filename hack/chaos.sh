#!/usr/bin/env bash
# Kills, stops and restarts three daemons and three brokers, 100 times at random, and proves from the log that nothing was
# lost and nothing done twice. Takes about a quarter of an hour. Arguments are passed on, for example -chaos.seed 7 to repeat a run
# or -chaos.actions 20 for a shorter one.
set -euo pipefail
cd "$(dirname "$0")/.."
CI=true exec go test -tags integration -count 1 -timeout 3h -v -run TestNothingIsLostAndNothingIsDoneTwice ./hack/chaos \
	-chaos.actions 100 -chaos.pause 30s "$@"
