#!/usr/bin/env bash
# The event log on a real broker: what 5,000 policies at 15s cost their owner, how long taking 400 policies over lasts, how
# large a checkpoint is, and ten days of records with their times moved, whose bytes on disk are compared with the calculation.
set -euo pipefail
cd "$(dirname "$0")/../.."
go test -tags integration -run '^$' -bench 'OwnerOf5000Policies|TakeOverOf400Policies|CheckpointOfAWeek' -benchtime 1x -timeout 20m "$@" ./cmd/internal/pipeline
go test -tags integration -run '^$' -bench AcceleratedWeek -benchtime 1x -timeout 20m "$@" ./metrics/eventlog
