package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/kafkaclient"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/collector/kafka"
	"github.com/prescale/prescale/metrics/series"
)

// lagOptions is what the flags of `prescale lag` say.
type lagOptions struct {
	brokers       []string
	config        string
	clusters      []string
	groups        []string
	interval      time.Duration
	watch         bool
	output        string
	reset         string
	readCommitted bool
}

func newLagCommand() *cobra.Command {
	var o lagOptions
	cmd := &cobra.Command{
		Use:   "lag",
		Short: "Show how far behind every consumer group is, in records and in seconds",
		Long: `Show how far behind every consumer group is, in records and in seconds, with what arrives and what
is consumed.

Rates need two samples, so the answer takes one --interval. Values that are not known are shown as
"?" (null in JSON), each with its reason; they are never zero. A cluster that cannot be asked, a
broker that does not list its groups, and partitions of __consumer_offsets without a leader, whose
groups nobody can list, are named on standard error; the others are shown, and the exit code is 1.`,
		Example: `  prescale lag --brokers kafka:9092
  prescale lag --brokers kafka:9092 --group inference --group 'fl.*' -o json
  prescale lag --config prescale.yaml --watch`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.brokers, "brokers", nil, "`HOST:PORT` of a cluster without authentication, a comma between several")
	flags.StringVar(&o.config, "config", "", "configuration `FILE` of a daemon, whose clusters are asked")
	flags.StringSliceVar(&o.clusters, "cluster", nil, "ask only the clusters of --config with these `NAMES`")
	flags.StringArrayVar(&o.groups, "group", nil, "only groups whose whole name is or matches this `REGEXP`; may be repeated")
	flags.DurationVar(&o.interval, "interval", 2*time.Second, "time between samples")
	flags.BoolVarP(&o.watch, "watch", "w", false, "go on sampling until Ctrl-C")
	flags.StringVarP(&o.output, "output", "o", "table", "table or json: with --watch one array a line")
	flags.StringVar(&o.reset, "reset", string(collector.ResetEarliest), "where no commit is, begin: earliest or latest")
	flags.BoolVar(&o.readCommitted, "read-committed", false, "count up to open transactions, as consumers may read")
	return cmd
}

func (o *lagOptions) run(ctx context.Context, out, errs io.Writer) error {
	selection, err := o.selection()
	if err != nil {
		return err
	}
	configs, err := o.clusterConfigs()
	if err != nil {
		return err
	}
	var sources []*kafka.Collector
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		client, err := kgo.NewClient(configs[name].Options()...)
		if err != nil {
			return fmt.Errorf("cluster %s: %w", name, err)
		}
		defer client.Close()
		settings := kafka.DefaultConfig()
		settings.Cluster, settings.Security = name, configs[name].Security()
		source, err := kafka.New(settings, client, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		source.SetSelection(selection)
		sources = append(sources, source)
	}
	return o.sample(ctx, sources, out, errs)
}

// sample takes two samples an interval apart and prints, and goes on so where it is to watch. Its error says what is wrong with
// each cluster that is not in what was printed, or not with all its groups; a watch writes that to errs and asks the cluster again,
// as long as any answers.
func (o *lagOptions) sample(ctx context.Context, sources []*kafka.Collector, out, errs io.Writer) error {
	tick := time.NewTicker(o.interval)
	defer tick.Stop()
	var left error // of clusters that are not asked again
	for i := 0; ; i++ {
		report, failed, unlisted := sampleAll(ctx, sources)
		if ctx.Err() != nil {
			return nil
		}
		problem := errors.Join(left, errors.Join(failed...))
		if !slices.Contains(failed, nil) {
			return problem
		}
		if i > 0 {
			incomplete := errors.Join(problem, unlisted)
			if err := o.print(out, report, incomplete == nil); err != nil {
				return err
			}
			if !o.watch {
				return incomplete
			}
			if incomplete != nil {
				fmt.Fprintln(errs, incomplete)
			}
		}
		if !o.watch {
			answering := sources[:0:0]
			for n, err := range failed {
				if err == nil {
					answering = append(answering, sources[n])
				}
			}
			sources, left = answering, problem
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sampleAll takes a sample of every cluster, side by side, so that one that does not answer holds up no other's. The report
// has the groups of those that answered, in the order of sources, failed the error of each source, nil where it answered, and
// unlisted why groups of those that answered may be missing.
func sampleAll(ctx context.Context, sources []*kafka.Collector) (report []kafka.GroupLag, failed []error, unlisted error) {
	reports := make([][]kafka.GroupLag, len(sources))
	failed = make([]error, len(sources))
	missing := make([]error, len(sources))
	var wait sync.WaitGroup
	for i, source := range sources {
		wait.Go(func() {
			if _, failed[i] = source.Collect(ctx, time.Now()); failed[i] == nil {
				reports[i], missing[i] = source.Groups(time.Now()), source.Unlisted()
			}
		})
	}
	wait.Wait()
	return slices.Concat(reports...), failed, errors.Join(missing...)
}

// selection reads the --group flags.
func (o *lagOptions) selection() (kafka.Selection, error) {
	s := kafka.Selection{All: len(o.groups) == 0, ReadCommitted: o.readCommitted, Reset: collector.Reset(o.reset)}
	if s.Reset != collector.ResetEarliest && s.Reset != collector.ResetLatest {
		return s, command.Inputf("--reset: %q: want earliest or latest", o.reset)
	}
	if o.output != "table" && o.output != "json" {
		return s, command.Inputf("--output: %q: want table or json", o.output)
	}
	if o.interval < 100*time.Millisecond {
		return s, command.Inputf("--interval: %v: want at least 100ms", o.interval)
	}
	for _, group := range o.groups {
		pattern, err := regexp.Compile("^(?:" + group + ")$")
		if err != nil {
			return s, command.Inputf("--group: %q: %w", group, err)
		}
		s.Names = append(s.Names, group)
		if regexp.QuoteMeta(group) != group {
			s.Patterns = append(s.Patterns, pattern)
		}
	}
	return s, nil
}

// clusterConfigs returns the clusters to ask, by name.
func (o *lagOptions) clusterConfigs() (map[string]kafkaclient.Config, error) {
	if (len(o.brokers) > 0) == (o.config != "") {
		return nil, command.Inputf("--brokers, --config: want one of them")
	}
	if len(o.brokers) > 0 {
		if len(o.clusters) > 0 {
			return nil, command.Inputf("--cluster: goes with --config")
		}
		cluster := kafkaclient.Config{Brokers: o.brokers}
		if err := cluster.Validate(); err != nil {
			return nil, command.Inputf("--%w", err)
		}
		return map[string]kafkaclient.Config{"default": cluster}, nil
	}
	file, err := loadConfig(o.config)
	if err != nil {
		return nil, err
	}
	if len(o.clusters) == 0 {
		return file.Clusters, nil
	}
	picked := map[string]kafkaclient.Config{}
	for _, name := range o.clusters {
		cluster, ok := file.Clusters[name]
		if !ok {
			return nil, command.Inputf("--cluster: %s is not in %s, which has %s", name, o.config,
				strings.Join(slices.Sorted(maps.Keys(file.Clusters)), ", "))
		}
		picked[name] = cluster
	}
	return picked, nil
}

// print writes the report, of which complete says that no group is missing.
func (o *lagOptions) print(out io.Writer, report []kafka.GroupLag, complete bool) error {
	if o.output == "json" {
		list := append([]kafka.GroupLag{}, report...) // [] where there is none
		if o.watch {
			return json.NewEncoder(out).Encode(list)
		}
		return writeJSON(out, list)
	}
	if o.watch {
		fmt.Fprint(out, "\x1b[H\x1b[2J")
	}
	if len(report) == 0 && !complete {
		_, err := fmt.Fprintln(out, "no groups are known")
		return err
	}
	return lagTable(out, report)
}

// lagTable prints one line for each group and topic, those furthest behind first and an event log's owners last, and below it the
// reasons for what is not known.
func lagTable(out io.Writer, report []kafka.GroupLag) error {
	if len(report) == 0 {
		_, err := fmt.Fprintln(out, "no groups")
		return err
	}
	slices.SortStableFunc(report, func(a, b kafka.GroupLag) int {
		if a, b := ofOwners(&a), ofOwners(&b); a != b {
			if a {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(b.LagSeconds.Or(math.Inf(1)), a.LagSeconds.Or(math.Inf(1))),
			cmp.Compare(b.LagRecords.Or(math.Inf(1)), a.LagRecords.Or(math.Inf(1))))
	})
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	// The cluster is told only where there are several.
	several := slices.ContainsFunc(report, func(g kafka.GroupLag) bool { return g.Cluster != report[0].Cluster })
	if several {
		fmt.Fprint(table, "CLUSTER\t")
	}
	fmt.Fprintln(table, "GROUP\tTYPE\tSTATE\tMEMBERS\tTOPIC\tPARTITIONS\tLAG\tBEHIND\tARRIVING/S\tCONSUMED/S\tVERDICT\t")
	var notes []string
	for _, g := range report {
		if several {
			fmt.Fprintf(table, "%s\t", g.Cluster)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t\n", g.Group, g.Type, g.State, number(g.Members, "%.0f"),
			cmp.Or(g.Topic, "-"), len(g.Partitions), number(g.LagRecords, "%.0f"), behind(g.LagSeconds, g.LagSecondsError),
			number(g.ArrivalRecordsPerSecond, "%.1f"), number(g.ConsumedRecordsPerSecond, "%.1f"), verdict(&g))
		if ofOwners(&g) {
			continue
		}
		if g.Reason != "" {
			notes = append(notes, fmt.Sprintf("%s %s: %s", g.Group, g.Topic, g.Reason))
		}
		if note := standsOut(g.Partitions); note != "" {
			notes = append(notes, fmt.Sprintf("%s %s: %s", g.Group, g.Topic, note))
		}
		states := map[kafka.State]int{}
		for _, p := range g.Partitions {
			states[p.State]++
		}
		for _, s := range []kafka.State{kafka.StateNeverCommitted, kafka.StateExpired, kafka.StateTruncated, kafka.StateResidue} {
			if states[s] > 0 {
				notes = append(notes, fmt.Sprintf("%s %s: %d of %d partitions %s", g.Group, g.Topic, states[s], len(g.Partitions), s))
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintln(out, "  "+note)
	}
	return nil
}

// standsOutSeconds and standsOutTimes are how far behind a partition is that stands out, in seconds and beside the median of them all.
const standsOutSeconds, standsOutTimes = 10, 2

// standsOut says which partition is much further behind than the others, from where on and whose it is; empty where none is.
func standsOut(partitions []kafka.PartitionLag) string {
	var waits []float64
	var worst kafka.PartitionLag
	for _, p := range partitions {
		seconds, ok := p.LagSeconds.Get()
		if !ok {
			continue
		}
		if waits = append(waits, seconds); seconds > worst.LagSeconds.Or(-1) {
			worst = p
		}
	}
	if len(waits) < 2 {
		return ""
	}
	slices.Sort(waits)
	median, most := waits[(len(waits)-1)/2], worst.LagSeconds.Or(0)
	if most < standsOutSeconds || most < standsOutTimes*median {
		return ""
	}
	return fmt.Sprintf("partition %d is %s behind, half of them at most %s: it waits from offset %s on, for %s", worst.Partition,
		behind(worst.LagSeconds, worst.LagSecondsError),
		spoken(median), number(worst.Committed, "%.0f"), cmp.Or(worst.Owner, "nobody"))
}

// ofOwners reports whether the group is that by which daemons share the shards of an event log. It reads nothing, so its lag says nothing.
func ofOwners(g *kafka.GroupLag) bool {
	prefix, ok := strings.CutSuffix(g.Group, ".owners")
	return ok && g.Topic == prefix+".observations"
}

func number(v series.Value, format string) string {
	x, ok := v.Get()
	if !ok {
		return "?"
	}
	return fmt.Sprintf(format, x)
}

// behind writes how far behind as people say it, with the bound of its error where that would change what one makes of it: a
// second and more, and over a quarter.
func behind(v, bound series.Value) string {
	seconds, ok := v.Get()
	if !ok {
		return "?"
	}
	text := spoken(seconds)
	if off, ok := bound.Get(); ok && off >= 1 && off > seconds/4 {
		text += "±" + spoken(off)
	}
	return text
}

// spoken writes seconds as people say them.
func spoken(seconds float64) string {
	if seconds < 60 {
		return fmt.Sprintf("%.1fs", seconds)
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

// verdict says in a few words where a group is heading, at the rates of the last interval.
func verdict(g *kafka.GroupLag) string {
	lag, known := g.LagRecords.Get()
	arrival, arrivalKnown := g.ArrivalRecordsPerSecond.Get()
	consumed, consumedKnown := g.ConsumedRecordsPerSecond.Get()
	switch {
	case ofOwners(g):
		return "prescale serve, never commits"
	case !known:
		return "unknown"
	case lag == 0 && arrivalKnown && arrival == 0:
		return "idle"
	case lag == 0:
		return "caught up"
	case !arrivalKnown || !consumedKnown:
		return "unknown"
	case consumed == 0 && g.Members == series.Of(0):
		return "nobody consumes"
	case consumed == 0:
		return "not committing"
	case lag <= arrival*2: // what is on its way, whichever of the two rates was the higher by chance
		return "keeping up"
	case consumed > arrival:
		left := time.Duration(lag / (consumed - arrival) * float64(time.Second))
		return "caught up in " + left.Round(time.Second).String()
	default:
		return "falling behind"
	}
}
