// Package workload is what the mains of the bundled workloads share: the flags of Kafka, HTTP and the log, and the life of a
// service beside its HTTP server. Its main type is Flags. What a workload does with its records is its own.
package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/kafkaclient"
	"github.com/prescale/prescale/cmd/internal/kafkatopic"
	"github.com/prescale/prescale/cmd/internal/telemetry"
)

// Flags are what every workload can be told.
type Flags struct {
	// Name is the binary's. In capitals it is the prefix of its environment variables, after "prescale-" its client id.
	Name string
	// Listen is the address of HTTP.
	Listen string
	// Instance tells this process from the others.
	Instance string
	// Partitions is how many a topic gets where the service does not say it.
	Partitions int32

	kafkaFile string
	brokers   []string
	create    bool
	level     slog.Level
	reach     *kafkaclient.Reach // made by Command
}

// Command returns the workload's command with the flags bound to f, whose Listen is the default. It calls serve once flags
// and environment are read; one that cannot be read is an InputError.
func (f *Flags) Command(short string, args []string, stdout, stderr io.Writer, serve func(context.Context) error) *cobra.Command {
	root := &cobra.Command{
		Use:   f.Name,
		Short: short,
		Long: fmt.Sprintf("%s.\n\nEvery flag can be set by an environment variable: --batch-records is %s.", short,
			command.EnvironmentName(f.Name, "batch-records")),
		Args:          cobra.ArbitraryArgs, // refused below, with exit code 2
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return command.Inputf("unexpected argument %q: %s takes flags only, see --help", args[0], f.Name)
			}
			if err := command.Environment(cmd.Flags(), f.Name); err != nil {
				return err
			}
			if f.Partitions < 1 {
				return command.Inputf("--partitions: %d: want 1 or more", f.Partitions)
			}
			if err := topicNames(cmd.Flags()); err != nil {
				return err
			}
			return serve(cmd.Context())
		},
	}
	f.reach = &kafkaclient.Reach{}
	flags := root.Flags()
	flags.StringSliceVar(&f.brokers, "brokers", nil,
		"Kafka bootstrap addresses, host:port, of a cluster without authentication (default localhost:9092)")
	flags.StringVar(&f.kafkaFile, "kafka-config", "", "YAML file with brokers, tls and sasl, as in the clusters of prescale's own config")
	flags.StringVar(&f.Listen, "listen", f.Listen, "address of HTTP: /livez, /readyz, /metrics")
	flags.StringVar(&f.Instance, "instance", command.Instance(),
		"what tells this process from the others; best kept over a restart (default $POD_NAME, else host and process)")
	flags.Lookup("instance").DefValue = "" // help would show what this process's happens to be
	flags.BoolVar(&f.create, "create-topics", true, "create topics that do not exist")
	flags.Int32Var(&f.Partitions, "partitions", 12, "partitions of topics that are created")
	flags.TextVar(&f.level, "log-level", slog.LevelInfo, "DEBUG, INFO, WARN or ERROR")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return command.BadFlag(f.Name, err) })
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root
}

// topicName matches what Kafka allows (org.apache.kafka.common.internals.Topic). A broker refuses another name for ever.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// topicNames refuses flags named for a topic whose value cannot be one's name.
func topicNames(flags *pflag.FlagSet) error {
	var problems []error
	flags.VisitAll(func(f *pflag.Flag) {
		if name := f.Value.String(); strings.HasSuffix(f.Name, "-topic") && (!topicName.MatchString(name) || name == "." || name == "..") {
			problems = append(problems, fmt.Errorf(
				"--%s: %q: want a topic's name, neither . nor ..: 1 to 249 letters, digits, ., _ and -", f.Name, name))
		}
	})
	return command.Input(errors.Join(problems...))
}

// Logger returns the logger at the level that was asked for.
func (f *Flags) Logger(stderr io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: f.level}))
}

// Kafka returns how to reach the cluster; Serve is not ready while clients made with the options cannot. A flag or file that is wrong
// is an InputError.
func (f *Flags) Kafka() (kafkaclient.Config, []kgo.Opt, error) {
	cluster, err := kafkaclient.Flags(f.brokers, f.kafkaFile)
	if err != nil {
		return cluster, nil, command.Input(err)
	}
	return cluster, append(cluster.Options(), kgo.ClientID("prescale-"+f.Name), kgo.WithHooks(f.reach)), nil
}

// drain is for how long callers may go on that keep their connections, as those of inference do in a rolling update: several of
// their calls, each of which tells them to close.
const drain = 2 * time.Second

// Service is a workload's inner part.
type Service interface {
	// Run works until the context ends, and then returns nil.
	Run(context.Context) error
	// Live and Ready answer the probes: nil is well. Live is as of now.
	Live(now time.Time) error
	Ready() error
}

// Serve runs the service and answers HTTP on f.Listen until the context ends, which is a clean end, or one of them fails.
// Topics that do not exist are created first, unless --create-topics=false; an unreachable cluster is waited for, not ready
// and with the cause. Pages, where not nil, answers all paths but /livez, /readyz and /metrics.
func (f *Flags) Serve(ctx context.Context, logger *slog.Logger, metrics prometheus.Gatherer, kafka []kgo.Opt, topics []kafkatopic.Topic,
	service Service, pages http.Handler) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.Listen)
	if err != nil {
		return command.Inputf("--listen: %s: %w", f.Listen, err)
	}
	var creating atomic.Pointer[error]
	web := telemetry.New(telemetry.Config{
		Listener: listener, Gatherer: metrics, Pages: pages, Logger: logger, Drain: drain,
		Live: func() error { return service.Live(time.Now()) },
		Ready: func() error {
			if err := creating.Load(); err != nil && *err != nil {
				return *err
			}
			return errors.Join(f.reach.Problem(time.Now()), service.Ready())
		},
	})
	logger.Info("listening", "address", listener.Addr().String())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return web.Run(ctx) })
	group.Go(func() error {
		if f.create {
			client, err := kgo.NewClient(kafka...)
			if err != nil {
				return err
			}
			kafkatopic.EnsureUntilDone(ctx, logger, client, func(err error) { creating.Store(&err) }, topics...)
			client.Close()
		}
		return service.Run(ctx)
	})
	return group.Wait()
}
