#!/usr/bin/env bash
# Scores the forecaster: rolling protocol on arrival traces, cold starts on them, M4 hourly, speed, and loss and speed beside
# statsforecast's AutoETS (where Python is there). PRESCALE_DATA names the data's folder, which speed does not need.
# usage: hack/bench.sh forecaster [rolling|cold|m4|speed|ets]   (all of them by default)
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$*" = speed ] || : "${PRESCALE_DATA:?name the folder that holds traces/, m4_hourly/ and baselines.csv}"

ets() (
  if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "ets: skipped: AutoETS needs python3, 3.11 or later, with venv (apt-get install python3-venv)"
    return
  fi
  requirements=hack/bench/forecaster/ets.txt
  sum="$({ cat "$requirements"; python3 --version; } | cksum | cut -d ' ' -f 1)"
  venv="${XDG_CACHE_HOME:-$HOME/.cache}/prescale/autoets-$sum"
  if [ ! -e "$venv/complete" ]; then
    echo "ets: installing $(grep '^statsforecast' "$requirements") from PyPI (once, 600 MB on disk) into $venv"
    python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
    touch "$venv/complete"
  fi
  program="$(mktemp -d)"
  trap 'rm -r "$program"' EXIT
  go build -o "$program/prescale" ./cmd/prescale
  # One thread on both sides: processor time is compared.
  GOMAXPROCS=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
    "$venv/bin/python" hack/bench/forecaster/ets.py "$program/prescale" "$PRESCALE_DATA"
)

[ $# -gt 0 ] || set -- rolling cold m4 speed ets
for table in "$@"; do
  case "$table" in
  speed) go test ./forecaster/catalog -run '^$' -bench . -count 5 ;;
  ets) ets ;;
  *) go run ./hack/bench/forecaster "$table" ;;
  esac
done
