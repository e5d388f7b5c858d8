#!/usr/bin/env bash
# Everything that CI checks. Set-up that is missing is fetched from package registries into the user's cache directory, and said so.
#
#   hack/verify.sh            all of it
#   VERIFY_RACE=all hack/...  with the race detector over the packages that link the API server's libraries too (minutes more)
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s (%ds)\n' "$1" "$SECONDS"; }

step "set-up"
if ! hack/setup.sh; then
  if [ "${CI:-}" = true ]; then exit 1; fi
  echo "going on without: the tests that need it will be skipped, and say so"
fi

step "formatting"
unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
  printf 'not formatted, run gofmt -w:\n%s\n' "$unformatted" >&2
  exit 1
fi

step "vet"
go vet ./...
go vet -tags integration ./...

# The race detector over packages that link the API server's libraries costs minutes of compilation for little code of ours.
heavy=$(go list -f '{{$p := .ImportPath}}{{range .Deps}}{{if eq . "k8s.io/apiserver/pkg/server"}}{{$p}}{{end}}{{end}}' ./... | sort -u)
light=$(go list ./... | grep -vxF "$heavy")
if [ "${VERIFY_RACE:-}" = all ]; then light=$(go list ./...) heavy=; fi

step "unit tests, with the race detector"
# shellcheck disable=SC2086 # one word a package
go test -race $light
if [ -n "$heavy" ]; then
  step "unit tests of the packages that link the API server"
  # shellcheck disable=SC2086
  go test $heavy
fi

step "generated files"
hack/generate.sh --check

step "integration tests on real parts"
real=$(grep -rl --include='*_test.go' '^//go:build integration' cmd forecaster hack metrics scaler inference feedback manifests | xargs -rn1 dirname | sort -u)
# One package at a time: each starts brokers or clusters of its own, and two cores are all there is. A package that fails is
# run once more, with both outcomes shown: brokers, kubelets and browsers on a busy machine are not ours to make reliable, and
# what fails twice is.
failed=
for package in $real; do
  echo "-- $package (${SECONDS}s)"
  go test -tags integration -timeout 20m "./$package" || {
    echo "-- $package failed; once more (${SECONDS}s)"
    go test -tags integration -count=1 -timeout 20m "./$package" || failed="$failed $package"
  }
done

step "scaler/hpa against the HPA controller's own code"
(cd hack/hpa && go test ./...)

step "the dashboard's queries on the running demo"
(cd hack/dashboard && go test ./...)

if [ -n "$failed" ]; then
  echo "failed twice:$failed" >&2
  exit 1
fi
step "done"
