package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/metrics/eventlog"
)

// explainRecorded prints the decision of a policy, "namespace/name", that stood at a moment, from the event log of the daemon
// with the configuration file, and what would have changed it.
func explainRecorded(ctx context.Context, w io.Writer, path, policy, at, output string) error {
	until, err := history.ParseMoment(at, time.Now())
	if err != nil {
		return command.Inputf("--at: %w", err)
	}
	r, err := openRecorded(ctx, path)
	if err != nil {
		return err
	}
	defer r.close()
	replayer := pipeline.NewReplayer(r.policies)
	var event eventlog.Event
	var later []eventlog.Event // than until, since the last that is not
	var now pipeline.Replayed
	replayed := false
	for e, err := range eventlog.History(ctx, r.client, r.log, eventlog.ShardOf(policy, r.log.Shards), policy) {
		if err != nil {
			return err
		}
		if ahead := e.Stamp().At.Sub(until); ahead > 0 {
			if later = append(later, e); ahead > mostAhead {
				break
			}
			continue
		}
		for _, one := range append(later, e) {
			if now, replayed, err = replayer.Step(&one); err != nil {
				return err
			}
		}
		event, later = e, nil
	}
	if event.Decision.Seq == 0 {
		return command.Inputf("--at: %s: the log has no decision of %s at or before it", until.Format(time.RFC3339), policy)
	}
	recorded, err := pipeline.RecordedDecision(&event.Decision)
	if err != nil {
		return err
	}
	e := explanation{T: float64(event.Decision.At.UnixMilli()) / 1000, Decision: recorded,
		Partitions: event.Decision.Observation.Partitions, Problems: event.Decision.Observation.Problems}
	if replayed {
		e.WhatIf = replayer.WhatIf(policy)
	}
	if output == "json" {
		return writeJSON(w, e)
	}
	next := "nothing later is in the log"
	if len(later) > 0 {
		next = "the next one is of " + later[0].Stamp().At.Format(time.RFC3339)
	}
	fmt.Fprintf(w, "tick %d of %s, recorded by %s; %s\n", event.Decision.Seq, event.Decision.At.Format(time.RFC3339),
		event.Decision.Writer, next)
	switch {
	case !replayed:
		fmt.Fprintln(w, "it cannot be replayed, so what would change it is not known: "+
			"the policy is neither in the configuration file nor recorded, or the log has no copy of the state before it")
	case !now.Same():
		fmt.Fprintf(w, "THIS PROGRAM AND CONFIGURATION WOULD DECIDE OTHERWISE: %s\n", now.Difference())
	}
	fmt.Fprintln(w)
	return e.print(w)
}

// mostAhead is how far the clock of a tick's owner can have been ahead, so that ticks after it are of earlier times: brokers refuse what
// is further ahead (message.timestamp.after.max.ms, unless changed).
const mostAhead = time.Hour
