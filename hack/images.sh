#!/usr/bin/env bash
# Makes the container images without Docker into dist/images: NAME.tar (docker load, ctr images import, crane push) and its
# SBOM, NAME.spdx.json. The same commit gives the same bytes.
#
#   hack/images.sh                            prescale, inference and feedback, tag dev
#   hack/images.sh -tag v0.1.0 prescale       one of them; -h shows the other flags
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
export SOURCE_DATE_EPOCH
cd hack/images
exec go run . -root "$root" -out "$root/dist/images" "$@"
