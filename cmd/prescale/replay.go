package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/metrics/eventlog"
)

// replayOptions are the flags of replay.
type replayOptions struct {
	config, policy, from, to, output string
	check                            bool
}

// newReplayCommand runs recorded observations through the present code.
func newReplayCommand() *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use:   "replay --config FILE",
		Short: "Decide recorded observations again and show what would differ now",
		Long: `Read the event log in Kafka, run the observations of every policy through this program and its
configuration, and show each decision that differs from the recorded one, with the first rule that
asked for another count. A policy that the file does not have, one of a cluster say, is taken as it
was when the decision was made.

With --check the whole log is read, to prove that nothing was lost or written twice, and that each
decision follows from the observations before it under the policy of that time. The exit code is 1
if not.`,
		Example: `  prescale replay --config prescale.yaml --from 6h --policy ai/inference
  prescale replay --config prescale.yaml --check`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return replay(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&o.config, "config", "", "configuration `FILE` of the daemon")
	cmd.Flags().StringVar(&o.policy, "policy", "", "only this policy, `NAMESPACE/NAME` (default: all)")
	cmd.Flags().StringVar(&o.from, "from", "", "first tick to show: a `TIME` or how long ago (6h) (default: all)")
	cmd.Flags().StringVar(&o.to, "to", "", "last tick to show, likewise a `TIME` (default: now)")
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "text or json")
	cmd.Flags().BoolVar(&o.check, "check", false, "verify the whole log instead")
	return cmd
}

func replay(ctx context.Context, o replayOptions, stdout io.Writer) error {
	if err := required("config", o.config, "configuration file of the daemon"); err != nil {
		return err
	}
	if o.output != "text" && o.output != "json" {
		return command.Inputf("--output: %q: want text or json", o.output)
	}
	if o.check && (o.policy != "" || o.from != "" || o.to != "") {
		return command.Inputf("--check: reads the whole log: want no --policy, --from and --to beside it")
	}
	now := time.Now()
	from, to := time.Time{}, now
	var err error
	if o.from != "" {
		if from, err = history.ParseMoment(o.from, now); err != nil {
			return command.Inputf("--from: %w", err)
		}
	}
	if o.to != "" {
		if to, err = history.ParseMoment(o.to, now); err != nil {
			return command.Inputf("--to: %w", err)
		}
	}
	if !to.After(from) {
		return command.Inputf("--from and --to: %s is not before %s", from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
	}
	r, err := openRecorded(ctx, o.config)
	if err != nil {
		return err
	}
	defer r.close()
	replayer := pipeline.NewReplayer(r.policies)
	if o.check {
		return checkLog(ctx, r, replayer, o.output, stdout)
	}
	shards := make([]int32, 0, r.log.Shards)
	if o.policy != "" {
		shards = append(shards, eventlog.ShardOf(o.policy, r.log.Shards))
	} else {
		for n := range int32(r.log.Shards) {
			shards = append(shards, n)
		}
	}
	out := replayOutput{json: o.output == "json", to: stdout}
	known := false
	for _, shard := range shards {
		for e, err := range eventlog.History(ctx, r.client, r.log, shard, o.policy) {
			if err != nil {
				return err
			}
			known = true
			if e.Tick.Seq != 0 && e.Tick.At.After(to) {
				continue
			}
			replayed, ok, err := replayer.Step(&e)
			if err != nil {
				return err
			}
			if e.Tick.Seq == 0 || e.Tick.At.Before(from) {
				continue
			}
			if err := out.tick(&e.Tick, replayed, ok); err != nil {
				return err
			}
		}
	}
	if o.policy != "" && !known {
		return command.Inputf("--policy: %q: the log tells nothing of it; want the NAMESPACE/NAME of one that was decided for", o.policy)
	}
	return out.summary()
}

// replayOutput writes what differs, and counts.
type replayOutput struct {
	json bool
	to   io.Writer

	ticks, unknown, differ, desired, otherSpec int
}

// replayLine is one differing tick as JSON.
type replayLine struct {
	Policy     string          `json:"policy"`
	At         time.Time       `json:"at"`
	Seq        uint64          `json:"seq"`
	Difference string          `json:"difference"`
	Recorded   json.RawMessage `json:"recorded"`
	Now        json.RawMessage `json:"now"`
}

func (o *replayOutput) tick(t *eventlog.Tick, r pipeline.Replayed, ok bool) error {
	o.ticks++
	if !ok {
		o.unknown++
		return nil
	}
	if r.OtherSpec {
		o.otherSpec++
	}
	if r.Same() {
		return nil
	}
	o.differ++
	if r.Recorded.DesiredReplicas != r.Now.DesiredReplicas {
		o.desired++
	}
	if o.json {
		return json.NewEncoder(o.to).Encode(replayLine{t.Policy, t.At, t.Seq, r.Difference(), r.RecordedJSON, r.NowJSON})
	}
	_, err := fmt.Fprintf(o.to, "%s %s tick %d: %s\n", t.At.Format(time.RFC3339), t.Policy, t.Seq, r.Difference())
	return err
}

func (o *replayOutput) summary() error {
	if o.json {
		return json.NewEncoder(o.to).Encode(map[string]int{
			"ticks": o.ticks, "notReplayed": o.unknown, "differ": o.differ, "differInReplicas": o.desired,
			"otherConfiguration": o.otherSpec,
		})
	}
	_, err := fmt.Fprintf(o.to, "%d ticks: %d decided alike, %d differently (%d in the number of replicas)\n",
		o.ticks, o.ticks-o.unknown-o.differ, o.differ, o.desired)
	if err == nil && o.unknown > 0 {
		_, err = fmt.Fprintf(o.to, "%d could not be replayed: of a policy that is neither configured here nor recorded, "+
			"without a recorded decision, or before the first copy of the state in the log\n", o.unknown)
	}
	if err == nil && o.otherSpec > 0 {
		_, err = fmt.Fprintf(o.to, "%d were decided under another configuration of their policy\n", o.otherSpec)
	}
	return err
}

// checkLog verifies the whole log and prints the report; a violation is an error.
func checkLog(ctx context.Context, r *recorded, replayer *pipeline.Replayer, output string, stdout io.Writer) error {
	report, err := eventlog.Check(ctx, r.client, r.log, replayer)
	if err != nil {
		return err
	}
	if output == "json" {
		if err := json.NewEncoder(stdout).Encode(report); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(stdout, "%s, %s by %s in %s, %d decisions derived again; longest gap %s (%s)\n",
			howMany(report.Policies, "policy", "policies"), howMany(report.Ticks, "tick", "ticks"),
			howMany(len(report.Writers), "writer", "writers"),
			howMany(report.TakeOvers, "term", "terms"), report.Derived, report.LongestGap, report.GapPolicy)
		if report.SetBacks > 0 {
			fmt.Fprintf(stdout, "%s before the one before: a clock was set back, or another owner's was ahead\n",
				howMany(report.SetBacks, "tick is of a time", "ticks are of a time"))
		}
		for _, v := range report.Violations {
			fmt.Fprintln(stdout, v)
		}
	}
	return broken(report)
}

// broken returns what is wrong with a log as an error; nil where nothing is.
func broken(report *eventlog.Report) error {
	switch other := report.DerivedOtherwise; {
	case report.ViolationCount > other:
		return fmt.Errorf("the log is broken: %s", howMany(report.ViolationCount, "violation", "violations"))
	case other > 0:
		return fmt.Errorf(
			"nothing is lost or written twice, but %d of %d decisions are not what this program makes of the observations before them: "+
				"another version of it made them, as before an upgrade, or the log was changed", other, report.Derived)
	}
	return nil
}
