package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/scaler/sim"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// backtestFlags are what the user may say and ask.
type backtestFlags struct {
	source historySource
	policy string
	stated v1alpha1.ScalePolicy // what the file of --policy holds

	capacity, price  float64
	need             float64
	lead, nodeLead   time.Duration
	nodeReplicas     int
	partitions       int
	objective        time.Duration
	ratio            float64
	minimum, maximum int
	pause            time.Duration
	assignor         string
	noise            float64
	tick             time.Duration
	seed             uint64
	output, html     string
	quiet            bool
}

func newBacktestCommand() *cobra.Command {
	f := &backtestFlags{}
	c := &cobra.Command{
		Use:   "backtest --input FILE.csv",
		Short: "Try the shipped rule and its competitors on your own history",
		Long: `Try the shipped rule and its competitors on your own history, in a simulated consumer group.

The history is a CSV file of times (seconds or dates) and counts of records per step, a Prometheus
server, a Kafka topic's timestamps, or what a daemon recorded of a policy in its event log.

The table gives each rule's cost as a multiple of the least that any rule could pay, the share of
records later than the objective, the 99th percentile of seconds behind, and changes and partition
moves a day. --html writes one self-contained page.

Every what-if is a flag: a longer --lead-time, more --partitions, another --objective or --price.
With --policy the file's schedules and events hold too; a history without dates then begins on a
Monday at 0:00 UTC. A policy that only observes or is paused is tried as if it were active, and
pools as one. Progress is shown on standard error.`,
		Example: `  prescale backtest --input arrivals.csv --capacity 500 --lead-time 90s --html report.html
  prescale backtest --prometheus http://localhost:9090 --start 2026-01-01T00:00:00Z --step 1m \
    --end 2026-01-15T00:00:00Z --query 'sum(rate(kafka_topic_records_in_total[1m]))'
  prescale backtest --from-kafka prescale.yaml --name ai/inference --start 168h`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), cmd.Flags().Changed)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.source.file, "input", "", "CSV `FILE` with the history, also .gz; - is standard input")
	f.source.bind(flags)
	flags.StringVar(&f.policy, "policy", "", "ScalePolicy `FILE`; flags given beside it win")
	flags.Float64Var(&f.capacity, "capacity", 0, "records per second that a replica can do (default: by --need)")
	flags.Float64Var(&f.need, "need", 8, "the capacity keeps so many replicas busy on average")
	flags.Float64Var(&f.noise, "noise", 0.05, "deviation among replicas, a share of the capacity")
	flags.DurationVar(&f.lead, "lead-time", time.Minute, "how long a replica takes to start")
	flags.IntVar(&f.nodeReplicas, "node-replicas", 0, "replicas that a node has room for (default: always room)")
	flags.DurationVar(&f.nodeLead, "node-lead-time", 2*time.Minute, "how much later one that needs a node starts")
	flags.IntVar(&f.partitions, "partitions", 48, "partitions of the topics")
	flags.StringVar(&f.assignor, "assignor", "range", "range, roundrobin, sticky or cooperative-sticky")
	flags.DurationVar(&f.pause, "pause", 3*time.Second, "how long a rebalance stops the group")
	flags.DurationVar(&f.objective, "objective", 30*time.Second, "how long records may wait")
	flags.Float64Var(&f.ratio, "violation-ratio", 0.001, "share of the records that may wait longer")
	flags.IntVar(&f.minimum, "min", 1, "fewest replicas")
	flags.IntVar(&f.maximum, "max", 0, "most replicas (default: as many as partitions)")
	flags.Float64Var(&f.price, "price", 0, "price of a replica-hour; adds a column")
	flags.DurationVar(&f.tick, "interval", 15*time.Second, "time between decisions")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of the simulated noise")
	flags.StringVarP(&f.output, "output", "o", "table", "table or json")
	flags.StringVar(&f.html, "html", "", "write a self-contained report to this `FILE`")
	flags.BoolVar(&f.quiet, "quiet", false, "show no progress")
	return c
}

func (f *backtestFlags) run(ctx context.Context, stdout, stderr io.Writer, changed func(string) bool) error {
	if f.output != "table" && f.output != "json" {
		return command.Inputf("--output: %q: want table or json", f.output)
	}
	if err := f.check(changed); err != nil {
		return command.Input(err)
	}
	h, err := f.history(ctx, stderr)
	if err != nil {
		return err
	}
	trace, gaps, err := h.trace()
	if err != nil {
		return command.Input(err)
	}
	s, config, err := f.scenario(trace, h.start(), changed)
	if err != nil {
		return command.Input(err)
	}
	if n := len(f.stated.Spec.Pools); n > 0 {
		fmt.Fprintf(stderr, "%s: pools: all replicas are simulated alike, as --capacity and --lead-time say, and not as of %d pools\n",
			f.policy, n)
	}
	for _, line := range f.before(&s, time.Duration(h.step*float64(time.Second))) {
		fmt.Fprintln(stderr, "prescale: "+line)
	}
	bar := &progressBar{out: stderr, quiet: f.quiet, long: isLong(&s)}
	result, err := f.tryAll(ctx, s, config, bar)
	bar.done()
	if err != nil {
		return err
	}
	result.Gaps = gaps
	if f.html != "" {
		if err := writeReport(f.html, result); err != nil {
			return err
		}
		fmt.Fprintf(stderr, "report written to %s\n", f.html)
	}
	if f.output == "json" {
		return writeJSON(stdout, result)
	}
	return result.print(stdout, f.price > 0)
}

// coarseRows is the longest row that still shows loads which change while replicas start.
const coarseRows = 10 * time.Minute

// before is what the user should know of rows of this length, and of how long it takes.
func (f *backtestFlags) before(s *sim.Scenario, row time.Duration) []string {
	var lines []string
	if row > coarseRows {
		lines = append(lines, fmt.Sprintf("rows of %v: within each the load counts as even, "+
			"and no rule meets what it really does there; want rows of a minute or so", row))
	}
	if isLong(s) && !f.quiet {
		ticks := s.Trace.Duration() / s.Tick
		// On an idle core, within a factor of two: twenty days at 15 s took 15 s with 48 partitions, which are a thirtieth of it.
		cost := time.Duration(ticks * (125e3 + 100*float64(s.Partitions)))
		interval := time.Duration(s.Tick * float64(time.Second))
		lines = append(lines, fmt.Sprintf("%.0f decisions by each rule take about %v of a core; --interval %v takes a tenth of it",
			ticks, cost.Round(time.Second), 10*interval))
	}
	return lines
}

// mostPartitions is more than a Kafka cluster has. A hundred thousand take a minute for each day of history.
const mostPartitions = 200_000

// check says which flags cannot be, all of them at once. A default of 0 stands for something else, which nobody means who gives it.
func (f *backtestFlags) check(given func(flag string) bool) error {
	finite := func(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
	most := f.maximum
	if most == 0 {
		most = f.partitions
	}
	// Where one is the policy's, its own rules tell; a most that cannot be is told of by itself.
	bounds := most >= 1 && (f.policy == "" || given("min") && given("max"))
	var errs []error
	for _, flag := range []struct {
		name  string
		value any
		ok    bool
		want  string
	}{
		{"capacity", f.capacity, finite(f.capacity) && (f.capacity > 0 || !given("capacity")), "more than 0 records per second"},
		{"need", f.need, finite(f.need) && f.need > 0, "more than 0"},
		{"noise", f.noise, f.noise >= 0 && f.noise < 1, "a share from 0 to below 1, such as 0.05"},
		{"lead-time", f.lead, f.lead >= 0, "0 or more"},
		{"node-replicas", f.nodeReplicas, f.nodeReplicas >= 0, "0 or more"},
		{"node-lead-time", f.nodeLead, f.nodeLead >= 0, "0 or more"},
		{"partitions", f.partitions, f.partitions >= 1 && f.partitions <= mostPartitions, fmt.Sprintf("from 1 to %d", mostPartitions)},
		{"pause", f.pause, f.pause >= 0, "0 or more"},
		{"objective", f.objective, f.objective > 0, "more than 0"},
		{"violation-ratio", f.ratio, f.ratio > 0 && f.ratio < 1, "a share between 0 and 1, such as 0.001"},
		{"min", f.minimum, f.minimum >= 0, "0 or more"},
		{"max", f.maximum, f.maximum >= 1 || !given("max"), "1 or more"},
		{"price", f.price, finite(f.price) && f.price >= 0, "0 or more"},
		{"interval", f.tick, f.tick > 0, "more than 0, such as 15s"},
		{"min", f.minimum, f.minimum <= most || !bounds, fmt.Sprintf("at most --max, which is %d", most)},
	} {
		if !flag.ok {
			errs = append(errs, fmt.Errorf("--%s: %v: want %s", flag.name, flag.value, flag.want))
		}
	}
	if given("need") && given("capacity") {
		errs = append(errs, errors.New("--need: goes without --capacity, which it takes the place of"))
	}
	if given("node-lead-time") && f.nodeReplicas == 0 {
		errs = append(errs, errors.New("--node-lead-time: want --node-replicas beside it"))
	}
	if _, err := sim.ParseAssignor(f.assignor); err != nil {
		errs = append(errs, fmt.Errorf("--%w", err))
	}
	if f.html != "" {
		if err := writable(f.html, f.source.file, f.source.kafkaConfig, f.source.daemonConfig, f.policy); err != nil {
			errs = append(errs, fmt.Errorf("--html: %w", err))
		}
	}
	return errors.Join(errs...)
}

// writable says why a file could not be written, before there is anything to write, and leaves it as it is. None of those that are read
// is written over.
func writable(path string, read ...string) error {
	if path == "-" {
		return errors.New("-: want a file's name: the table is what goes to standard output")
	}
	there, missing := os.Stat(path)
	for _, other := range read {
		if one, err := os.Stat(other); err == nil && missing == nil && os.SameFile(there, one) {
			return fmt.Errorf("%s: is read itself: want another file", path)
		}
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	if err = file.Close(); errors.Is(missing, os.ErrNotExist) {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
