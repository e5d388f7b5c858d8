#!/usr/bin/env bash
# Everything that CI checks, cheap first. What is missing is fetched from package registries into the user's cache directory,
# with a line for each thing.
#
#   hack/verify.sh            all of it
#   VERIFY_RACE=all hack/...  with the race detector over all packages (minutes more)
#
# A test of real parts that lacks one, such as a JDK, is skipped and listed at the end; with CI=true it fails.
set -euo pipefail
cd "$(dirname "$0")/.."

steps=() # "SECONDS what": those that have ended
skipped=
again=
current= since=0
log=$(mktemp)

ended() { if [ -n "$current" ]; then steps+=("$(printf '%5d s  %s' $((SECONDS - since)) "$current")"); fi; }
step() {
  ended
  current=$1 since=$SECONDS
  printf '\n== %s (%ds)\n' "$1" "$SECONDS"
}
summary() {
  local code=$?
  rm -f "$log"
  printf '\n== summary\n'
  if [ ${#steps[@]} -gt 0 ]; then printf '%s\n' "${steps[@]}"; fi
  if [ -n "$skipped" ]; then printf 'skipped, for want of a part:\n%s' "$skipped"; fi
  if [ -n "$again" ]; then printf 'failed once and passed when run again:%s\n' "$again"; fi
  if [ "$code" -eq 0 ]; then
    printf 'passed in %d s\n' "$SECONDS"
  else
    printf 'FAILED after %d s, in: %s\n' "$SECONDS" "$current"
  fi
}
trap summary EXIT

step "formatting"
unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
  printf 'not formatted, run gofmt -w:\n%s\n' "$unformatted" >&2
  exit 1
fi

step "set-up"
if ! hack/setup.sh; then
  if [ "${CI:-}" = true ]; then exit 1; fi
  echo "going on without: the tests that need it are skipped, and listed at the end"
fi
for module in . hack/tools hack/lint hack/hpa hack/dashboard hack/images; do
  if ! (cd $module && GOPROXY=off go mod download 2>/dev/null); then
    echo "fetching the Go modules of $module/go.mod"
    (cd $module && go mod download)
  fi
done

step "vet"
go vet ./...
go vet -tags integration ./...

step "lint"
# Compiled once, which takes minutes; what it found in a package is kept in the user's cache directory.
lint=$PWD/hack/lint/go.mod
for module in . hack/hpa hack/dashboard hack/images hack/cluster/kubernetes; do
  (cd $module && go tool -modfile="$lint" golangci-lint run ./...)
done

step "generated files"
hack/generate.sh --check

# The race detector over packages that link the API server's libraries costs minutes of compilation for little code of ours.
# In forecaster and scaler nothing is concurrent, as hack/pure_test.go checks: there it would cost minutes to find nothing.
pure=$(go list ./forecaster/... ./scaler/...)
heavy=$(go list -f '{{$p := .ImportPath}}{{range .Deps}}{{if eq . "k8s.io/apiserver/pkg/server"}}{{$p}}{{end}}{{end}}' ./... | sort -u)
light=$(go list ./... | grep -vxF "$heavy" | grep -vxF "$pure")
if [ "${VERIFY_RACE:-}" = all ]; then light=$(go list ./...) heavy= pure=; fi

# What fails is run once more and listed in the summary: a test that fails now and then is to be mended, but need not hold up what
# has nothing to do with it.
unit() {
  if go test "$@"; then return; fi
  echo "failed; what has not passed once more (${SECONDS}s)"
  go test "$@"
  again="$again $current;"
}
step "unit tests, with the race detector"
# shellcheck disable=SC2086 # one word a package
unit -race $light
if [ -n "$pure$heavy" ]; then
  step "unit tests of the pure core, and of the packages that link the API server"
  # shellcheck disable=SC2086
  unit $pure $heavy
fi

step "Kubernetes' programs, where they are not built yet"
go run ./hack/cluster build

# try runs one package's integration tests and shows their outcomes as they come, and everything when they fail. Never from Go's cache
# of results, which does not know the programs that they build and run.
try() {
  local code=0
  go test -tags integration -v -count=1 -timeout 20m "$@" 2>&1 | tee "$log" |
    grep --line-buffered -E '^(--- |ok|FAIL|panic:|kafka: |cluster: |setup: )' || code=${PIPESTATUS[0]}
  if [ "$code" -ne 0 ]; then cat "$log"; fi
  return "$code"
}

real=$(grep -rl --include='*_test.go' '^//go:build integration' cmd forecaster hack metrics scaler inference feedback manifests | xargs -rn1 dirname | sort -u)
# One package at a time: each starts brokers or clusters of its own, and two cores are all there is. A package that fails is
# run once more, with both outcomes shown: brokers, kubelets and browsers on a busy machine are not ours to make reliable, and
# what fails twice is.
failed=
for package in $real; do
  step "integration tests on real parts: $package"
  if ! try "./$package"; then
    echo "$package failed; once more (${SECONDS}s)"
    if try "./$package"; then again="$again $package"; else failed="$failed $package"; fi
  fi
  lacking=$(grep -B1 -E '^ *--- SKIP' "$log" | grep -vE '^--$|^===' | sed "s|^ *|  $package: |" || true)
  if [ -n "$lacking" ]; then skipped+=$lacking$'\n'; fi
done

step "scaler/hpa against the HPA controller's own code"
(cd hack/hpa && go test ./...)

step "the alert rules, and the dashboard's queries on the running demo"
(cd hack/dashboard && go test -count=1 ./...)

ended
current="what failed twice:$failed"
if [ -n "$failed" ]; then exit 1; fi
if [ "${CI:-}" = true ] && [ -n "$skipped" ]; then
  current="tests that were skipped"
  exit 1
fi
