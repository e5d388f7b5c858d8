#!/usr/bin/env bash
# Generates what is generated: the CustomResourceDefinition and the deep copies of the ScalePolicy types, and the stubs of
# KEDA's external scaler (those need protoc: apt-get install protobuf-compiler).
# With --check it changes nothing and fails when something is out of date.
set -euo pipefail
cd "$(dirname "$0")/.."

out=.
if [ "${1:-}" = --check ]; then
  out=$(mktemp -d)
  trap 'rm -r "$out"' EXIT
  mkdir -p "$out/scaler/v1alpha1"
elif ! command -v protoc >/dev/null; then
  echo "generate: protoc is missing, and nothing was generated: apt-get install protobuf-compiler" >&2
  exit 1
fi

gen() { go tool -modfile=hack/tools/go.mod controller-gen "$@" paths=./scaler/v1alpha1; }
gen object "output:object:dir=$out/scaler/v1alpha1"
gen crd:allowDangerousTypes=true "output:crd:dir=$out/manifests/crd"

if [ "$out" = . ]; then
  bin=$(mktemp -d)
  trap 'rm -r "$bin"' EXIT
  go build -modfile=hack/tools/go.mod -o "$bin/" google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
  PATH=$bin:$PATH protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative \
    metrics/externalscaler/protocol/externalscaler.proto
else
  diff -u scaler/v1alpha1/zz_generated.deepcopy.go "$out/scaler/v1alpha1/zz_generated.deepcopy.go" &&
    diff -u manifests/crd/prescale.dev_scalepolicies.yaml "$out/manifests/crd/prescale.dev_scalepolicies.yaml" ||
    { echo "generated files are out of date: run hack/generate.sh" >&2; exit 1; }
fi
