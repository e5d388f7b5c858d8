// Command feedback is the trainer: it joins predictions with their outcomes, learns, and publishes model versions that are
// better.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/kafkaclient"
	"github.com/prescale/prescale/cmd/internal/kafkatopic"
	"github.com/prescale/prescale/feedback"
	"github.com/prescale/prescale/inference/model"
)

func main() { os.Exit(command.Main("feedback", run)) }

// settings are what the flags say.
type settings struct {
	feedback     feedback.Config
	architecture string
	kafkaFile    string
	brokers      []string
	listen       string
	partitions   int32
	create       bool
	level        slog.Level
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s := settings{feedback: feedback.DefaultConfig()}
	root := &cobra.Command{
		Use:           "feedback",
		Short:         "Learn from outcomes and publish better model versions, exactly once",
		Long:          "Learn from outcomes and publish better model versions, exactly once.\n\nEvery flag can be set by an environment variable: --learning-rate is FEEDBACK_LEARNING_RATE.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := command.Environment(cmd.Flags(), "FEEDBACK"); err != nil {
				return err
			}
			return serve(cmd.Context(), s, stderr)
		},
	}
	c, t := &s.feedback, &s.feedback.Train
	c.Instance = command.Instance()
	f := root.Flags()
	f.StringSliceVar(&s.brokers, "brokers", nil, "Kafka bootstrap addresses, host:port, of a cluster without authentication (default localhost:9092)")
	f.StringVar(&s.kafkaFile, "kafka-config", "", "YAML file with brokers, tls and sasl, as in the clusters of prescale's own config")
	f.StringVar(&s.listen, "listen", ":8001", "address of HTTP: /livez, /readyz, /metrics")
	f.StringVar(&c.Instance, "instance", c.Instance, "what tells this instance from the others; best kept over a restart (default $POD_NAME, else host and process)")
	f.StringVar(&t.Registry.Name, "model", t.Registry.Name, "model name in the registry")
	f.StringVar(&t.Registry.Topic, "models-topic", t.Registry.Topic, "the registry's topic")
	f.StringVar(&s.architecture, "architecture", "3-16-16-2", "widths of new models, from features to classes")
	f.Uint64Var(&t.Seed, "seed", t.Seed, "of the first weights and the draws of minibatches")
	f.IntVar(&t.Batch, "minibatch", t.Batch, "examples of one minibatch")
	f.IntVar(&t.StepsPerBatch, "steps", t.StepsPerBatch, "minibatches trained each time that many new examples have come")
	f.Float64Var(&t.LearningRate, "learning-rate", t.LearningRate, "Adam's step size")
	f.IntVar(&t.Window, "window", t.Window, "newest examples that minibatches are drawn from")
	f.Float64Var(&t.Alpha, "alpha", t.Alpha, "bound on the chance that a promotion is false")
	f.BoolVar(&t.ProtectPast, "protect-past", t.ProtectPast, "block promotions that forget a past regime; for meanings that come back")
	f.StringVar(&c.Join.Predictions, "predictions-topic", c.Join.Predictions, "topic of predictions")
	f.StringVar(&c.Join.Outcomes, "outcomes-topic", c.Join.Outcomes, "topic of outcomes")
	f.StringVar(&c.Join.Examples, "examples-topic", c.Join.Examples, "topic of joined examples, one partition")
	f.DurationVar(&c.Join.MaxAge, "max-age", c.Join.MaxAge, "how long a prediction waits for its outcome")
	f.IntVar(&c.BatchRecords, "batch-records", c.BatchRecords, "most records of one transaction")
	f.BoolVar(&s.create, "create-topics", true, "create topics that do not exist")
	f.Int32Var(&s.partitions, "partitions", 12, "partitions of topics that are created")
	f.TextVar(&s.level, "log-level", slog.LevelInfo, "DEBUG, INFO, WARN or ERROR")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return command.Input(err) })
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

func serve(ctx context.Context, s settings, stderr io.Writer) error {
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: s.level}))
	architecture, err := model.ParseArchitecture(s.architecture)
	if err != nil {
		return command.Input(fmt.Errorf("--architecture: %w", err))
	}
	s.feedback.Train.Architecture = architecture
	if err := s.feedback.Validate(); err != nil {
		return command.Input(err)
	}
	cluster, err := kafkaclient.Flags(s.brokers, s.kafkaFile)
	if err != nil {
		return command.Input(err)
	}
	kafka := append(cluster.Options(), kgo.ClientID("prescale-feedback"))
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	service, err := feedback.New(s.feedback, logger, metrics, kafka...)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return command.Input(fmt.Errorf("--listen %s: %w", s.listen, err))
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { probe(w, service.Live(time.Now())) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { probe(w, service.Ready()) })
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	logger.Info("feedback: starting", "listen", listener.Addr().String(), "brokers", cluster.Brokers, "security", cluster.Security(), "instance", s.feedback.Instance, "architecture", s.architecture)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		if s.create {
			kafkatopic.EnsureUntilDone(ctx, logger, kafka, topics(s)...)
		}
		return service.Run(ctx)
	})
	group.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return web.Shutdown(grace)
	})
	return group.Wait()
}

func probe(w http.ResponseWriter, problem error) {
	if problem != nil {
		http.Error(w, problem.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func topics(s settings) []kafkatopic.Topic {
	c := s.feedback
	return []kafkatopic.Topic{
		{Name: c.Join.Predictions, Partitions: s.partitions},
		{Name: c.Join.Outcomes, Partitions: s.partitions},
		{Name: c.JoinStateTopic, Partitions: s.partitions, Compact: true},
		{Name: c.Join.Examples, Partitions: 1},
		{Name: c.TrainStateTopic, Partitions: 1, Compact: true},
		{Name: c.Train.Registry.Topic, Partitions: 1, Compact: true},
	}
}
