package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/kafkaclient"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/collector/kafka"
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

// standsOutSeconds and standsOutTimes are how far behind a partition is that stands out, in seconds and beside the median of them all.
const standsOutSeconds, standsOutTimes = 10, 2
