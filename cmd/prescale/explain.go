package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

type explainOptions struct {
	server, daemonConfig          string
	policy, observations, history string
	at, output                    string
}

func newExplainCommand() *cobra.Command {
	var o explainOptions
	c := &cobra.Command{
		Use:   "explain [NAMESPACE/NAME]",
		Short: "Say why the answer was this number, and what would change it",
		Long: `Say why the answer is this number: what was seen, the quantiles of the forecast, what each rule
asked for, and what bound; and what would change the answer.

With a policy's name it explains the newest decision of a running daemon; what would change it, the
replica says that decides for the policy. With --config and --at too, the decision that stood then
in the daemon's event log. With --policy and --observations, both files, a replayed moment: the
observations, as prescale decide takes them, are replayed up to --at.`,
		Example: `  prescale explain ai/inference --server http://127.0.0.1:8080
  prescale explain ai/inference --config prescale.yaml --at 2026-01-31T08:00:00Z
  prescale explain --policy policy.yaml --observations observations.jsonl --at 1767225600`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(args, cmd.Flags().Changed("server")); err != nil {
				return command.Input(err)
			}
			return o.run(cmd, args)
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.server, "server", "http://127.0.0.1:8080", "a daemon's http.listen address, a `URL`")
	flags.StringVar(&o.daemonConfig, "config", "", "configuration `FILE` of a daemon that keeps its log in Kafka")
	flags.StringVar(&o.policy, "policy", "", "ScalePolicy `FILE`")
	flags.StringVar(&o.observations, "observations", "", "`FILE` of one JSON object a line; - is standard input")
	flags.StringVar(&o.history, "history", "", "CSV `FILE` of past arrivals to warm up with first, as of decide")
	flags.StringVar(&o.at, "at", "", "`TIME` to explain; of --config also how long ago (6h) (default: the last)")
	flags.StringVarP(&o.output, "output", "o", "text", "text or json")
	return c
}

// check says which flags do not go together.
func (o *explainOptions) check(args []string, server bool) error {
	switch {
	case o.output != "text" && o.output != "json":
		return fmt.Errorf("--output: %q: want text or json", o.output)
	case o.daemonConfig != "" && len(args) == 0:
		return errors.New("--config: want a policy beside it, as NAMESPACE/NAME")
	case (o.daemonConfig != "" || len(args) == 0) && server:
		return errors.New("--server: goes with NAMESPACE/NAME alone, for the newest decision of a running daemon")
	case len(args) == 1 && (o.policy != "" || o.observations != "" || o.history != ""):
		return errors.New("--policy, --observations and --history: go without NAMESPACE/NAME, whose decision a daemon knows")
	case len(args) == 0 && o.policy == "" && o.observations == "":
		return errors.New("what to explain? want NAMESPACE/NAME of a daemon's policy, or --policy and --observations")
	case len(args) == 1 && o.daemonConfig == "" && o.at != "":
		return errors.New("--at: want --config beside it: a running daemon knows the newest decision only")
	}
	return nil
}

func (o *explainOptions) run(cmd *cobra.Command, args []string) error {
	switch {
	case o.daemonConfig != "":
		return explainRecorded(cmd.Context(), cmd.OutOrStdout(), o.daemonConfig, args[0], cmp.Or(o.at, "0s"), o.output)
	case len(args) == 1:
		return explainLive(cmd.Context(), cmd.OutOrStdout(), o.server, args[0], o.output)
	}
	d, err := newDeciding(o.policy, o.history, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	until := math.Inf(1)
	if o.at != "" {
		if until, err = history.ParseNumber(o.at); err != nil || math.IsNaN(until) {
			return command.Inputf("--at: %q: want a number, in the observations' seconds", o.at)
		}
	}
	e, err := d.explain(o.observations, until)
	if err != nil {
		return command.Input(err)
	}
	if o.output == "json" {
		return writeJSON(cmd.OutOrStdout(), e)
	}
	return e.print(cmd.OutOrStdout())
}

// explanation is a decision with what would have changed it.
type explanation struct {
	T        float64         `json:"t"`
	Decision scaler.Decision `json:"decision"`
	// Partitions is how many partitions the policy's topics had together.
	Partitions series.Value `json:"partitions"`
	// Problems says what was not seen, and why.
	Problems []string        `json:"problems,omitempty"`
	WhatIf   []scaler.WhatIf `json:"whatIf"`

	last bool // a later moment was asked for than any that is known
}

// explain replays the file up to `until`.
func (d *deciding) explain(path string, until float64) (*explanation, error) {
	var in io.Reader = os.Stdin
	switch path {
	case "":
		return nil, errors.New("--observations: is missing: name a file of JSON lines")
	case "-":
	default:
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("--observations: %w", err)
		}
		defer f.Close()
		in = f
	}
	reader := bufio.NewReaderSize(in, 1<<16)
	var found *explanation
	first := math.Inf(1)
	for number := 1; ; number++ {
		line, readErr := reader.ReadBytes('\n')
		if len(line) > 0 {
			o, t, err := d.observation(line)
			if err != nil {
				return nil, fmt.Errorf("%s: line %d: %w", path, number, err)
			}
			first = min(first, t)
			if t > until {
				break
			}
			if d.autoscaler == nil {
				if err := d.begin(&o, t); err != nil {
					return nil, err
				}
			}
			d.lastTime = t
			d.ticks++
			decision := d.autoscaler.Tick(o.At, o)
			found = &explanation{T: t, Decision: decision, Partitions: o.Partitions, Problems: o.Problems}
			if peek, _ := reader.Peek(1); len(peek) == 0 || !math.IsInf(until, 1) {
				found.WhatIf = d.autoscaler.WhatIf(o.At, o)
			}
		}
		if errors.Is(readErr, io.EOF) {
			if found != nil {
				found.last = found.T < until && !math.IsInf(until, 1)
			}
			break
		}
		if readErr != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, number, readErr)
		}
	}
	if found == nil {
		if math.IsInf(first, 0) {
			return nil, fmt.Errorf("%s: empty; want one JSON object a line, as prescale decide takes them", path)
		}
		return nil, fmt.Errorf("%s: its first observation is of %s; want --at then or later", path, moment(first))
	}
	return found, nil
}

// moment writes a time in the observations' seconds, with its date where they count from 1970.
func moment(t float64) string {
	text := "t = " + strconv.FormatFloat(t, 'f', -1, 64)
	if t > 1e8 {
		text += " (" + epoch(t).Format(time.RFC3339) + ")"
	}
	return text
}

func (e *explanation) print(w io.Writer) error {
	d := &e.Decision
	fmt.Fprintf(w, "%s at %s: %s, because of %s: %s\n", d.Policy, moment(e.T), howMany(d.DesiredReplicas, "replica", "replicas"),
		d.Reason, d.Reason.Text())
	if e.last {
		fmt.Fprintln(w, "  it is the last observation's: nothing later is known")
	}
	for _, v := range d.Verdicts {
		fmt.Fprintf(w, "  verdict %s: %s\n", v, v.Text())
	}
	if text := d.Size.Text(); text != "" {
		fmt.Fprintf(w, "  size: %s\n", text)
	}
	fmt.Fprintf(w, "\nseen\n")
	for _, f := range []struct {
		name  string
		value series.Value
		unit  string
	}{
		{"arrivals", d.ArrivalRate, " records/s"}, {"lag", d.LagRecords, " records"}, {"behind", d.LagSeconds, " s"},
		{"partitions", e.Partitions, ""}, {"replicas now", d.CurrentReplicas, ""}, {"a replica does", d.CapacityPerReplica, " records/s"},
		{"a replica takes to start", d.LeadTimeSeconds, " s"},
	} {
		text := "not known"
		if x, ok := f.value.Get(); ok {
			text = plain(x) + f.unit
		}
		fmt.Fprintf(w, "  %-26s %s\n", f.name, text)
	}
	for _, problem := range e.Problems {
		fmt.Fprintf(w, "  problem: %s\n", problem)
	}
	if len(d.ArrivalForecast) > 0 {
		fmt.Fprintf(w, "\nforecast of the highest arrivals within the next %d intervals: quantile, records/s\n", d.HorizonSteps)
		for _, q := range d.ArrivalForecast {
			fmt.Fprintf(w, "  %-26g %s\n", q.Level, plain(q.Value))
		}
	} else {
		fmt.Fprintln(w, "\nno forecast was used")
	}
	printAccuracy(w, &d.Accuracy)
	fmt.Fprintf(w, "\nwhat each rule asked for\n")
	for i, t := range d.Terms {
		mark := " "
		if i == d.Binding() {
			mark = ">"
		}
		fmt.Fprintf(w, "%s %-14s %4d  %s\n", mark, t.Name, t.Replicas, t.Detail)
	}
	if len(e.WhatIf) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\nwhat would change it\n")
	for _, x := range e.WhatIf {
		change := "the same"
		if x.Replicas != d.DesiredReplicas {
			change = fmt.Sprintf("%d (%s)", x.Replicas, x.Reason)
		}
		fmt.Fprintf(w, "  %-44s %s\n", x.If, change)
	}
	return nil
}

// printAccuracy says how recent forecasts fared; nothing where none was judged.
func printAccuracy(w io.Writer, a *scaler.ForecastAccuracy) {
	if a.Outcomes == 0 {
		return
	}
	fmt.Fprintf(w, "\nhow well recent forecasts did (%d judged)\n", a.Outcomes)
	for _, q := range a.MaxCoverage {
		name := fmt.Sprintf("at or under quantile %g", q.Level)
		fmt.Fprintf(w, "  %-26s %.1f %% of the highest arrivals\n", name, 100*q.Value)
	}
	if mase, ok := a.MASE.Get(); ok {
		fmt.Fprintf(w, "  %-26s %g times that of a forecast by the last value\n", "error of the median", mase)
	}
	if bias, ok := a.BiasRatio.Get(); ok {
		way := "forecasts are too high by"
		if bias < 0 {
			way = "forecasts are too low by"
		}
		fmt.Fprintf(w, "  %-26s %.2g %% of the mean\n", way, 100*math.Abs(bias))
	}
	if a.Drifted {
		fmt.Fprintln(w, "  the errors have been to one side for longer than chance allows")
	}
	if a.Distrust != "" {
		fmt.Fprintf(w, "  not believed: %s\n", a.Distrust)
	}
}
