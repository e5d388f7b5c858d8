#!/usr/bin/env bash
# Scores the forecaster: rolling protocol on arrival traces, cold starts on them, M4 hourly, speed. PRESCALE_DATA names the data's folder.
# usage: hack/bench.sh forecaster [rolling|cold|m4|speed]   (all of them by default)
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${PRESCALE_DATA:?name the folder that holds traces/, m4_hourly/ and baselines.csv}"
[ $# -gt 0 ] || set -- rolling cold m4 speed
for table in "$@"; do
  case "$table" in
  speed) go test ./forecaster/catalog -run '^$' -bench . -count 5 ;;
  *) go run ./hack/bench/forecaster "$table" ;;
  esac
done
