#!/usr/bin/env bash
# Generates what is generated: the CustomResourceDefinition and the deep copies of the ScalePolicy types.
# With --check it changes nothing and fails when something is out of date.
set -euo pipefail
cd "$(dirname "$0")/.."

out=.
if [ "${1:-}" = --check ]; then
  out=$(mktemp -d)
  trap 'rm -r "$out"' EXIT
  mkdir -p "$out/scaler/v1alpha1"
fi

gen() { go tool -modfile=hack/tools/go.mod controller-gen "$@" paths=./scaler/v1alpha1; }
gen object "output:object:dir=$out/scaler/v1alpha1"
gen crd:allowDangerousTypes=true "output:crd:dir=$out/manifests/crd"

if [ "$out" != . ]; then
  diff -u scaler/v1alpha1/zz_generated.deepcopy.go "$out/scaler/v1alpha1/zz_generated.deepcopy.go" &&
    diff -u manifests/crd/prescale.dev_scalepolicies.yaml "$out/manifests/crd/prescale.dev_scalepolicies.yaml" ||
    { echo "generated files are out of date: run hack/generate.sh" >&2; exit 1; }
fi
