#!/usr/bin/env bash
# Runs one of the benchmarks in hack/bench: hack/bench.sh NAME [ARGUMENTS]. Without a name it lists them.
set -euo pipefail
dir="$(dirname "$0")/bench"
if [ $# -eq 0 ]; then
  echo "usage: hack/bench.sh NAME [ARGUMENTS]; NAME is one of:"
  for entry in "$dir"/*; do basename "$entry" .sh; done | sort -u
  exit 2
fi
name="$1"
shift
if [ -x "$dir/$name.sh" ]; then
  exec "$dir/$name.sh" "$@"
elif [ -f "$dir/$name/main.go" ]; then
  cd "$dir/../.."
  exec go run "./hack/bench/$name" "$@"
fi
echo "hack/bench.sh: no benchmark $name; run it without a name for the list" >&2
exit 2
