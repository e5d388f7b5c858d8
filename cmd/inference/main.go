// Command inference is the inference service: it answers the requests of a Kafka topic exactly once, with the model version
// that the registry names champion, and answers the Open Inference Protocol over HTTP.
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
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
	"github.com/prescale/prescale/inference/server"
)

func main() { os.Exit(command.Main("inference", run)) }

// settings are what the flags say.
type settings struct {
	server     server.Config
	kafkaFile  string
	brokers    []string
	listen     string
	modelFile  string
	partitions int32
	create     bool
	level      slog.Level
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s := settings{server: server.DefaultConfig()}
	root := &cobra.Command{
		Use:           "inference",
		Short:         "Answer inference requests from Kafka, exactly once, and over HTTP",
		Long:          "Answer inference requests from Kafka, exactly once, and over HTTP.\n\nEvery flag can be set by an environment variable: --batch-records is INFERENCE_BATCH_RECORDS.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := command.Environment(cmd.Flags(), "INFERENCE"); err != nil {
				return err
			}
			return serve(cmd.Context(), s, stderr)
		},
	}
	b := &s.server.Batch
	b.Instance = command.Instance()
	f := root.Flags()
	f.StringSliceVar(&s.brokers, "brokers", nil, "Kafka bootstrap addresses, host:port, of a cluster without authentication (default localhost:9092)")
	f.StringVar(&s.kafkaFile, "kafka-config", "", "YAML file with brokers, tls and sasl, as in the clusters of prescale's own config")
	f.StringVar(&s.listen, "listen", ":8000", "address of HTTP: /v2, /metrics")
	f.StringVar(&s.server.Registry.Name, "model", s.server.Registry.Name, "model name in the registry")
	f.StringVar(&s.server.Registry.Topic, "models-topic", s.server.Registry.Topic, "the registry's topic")
	f.StringVar(&s.modelFile, "model-file", "", "serve this safetensors file as version 1 instead of following the registry")
	f.StringVar(&b.Group, "group", b.Group, "consumer group")
	f.StringVar(&b.Instance, "instance", b.Instance, "what tells this replica from the others; best kept over a restart (default $POD_NAME, else host and process)")
	f.StringVar(&b.Requests, "requests-topic", b.Requests, "topic of requests")
	f.StringVar(&b.Predictions, "predictions-topic", b.Predictions, "topic of predictions")
	f.StringVar(&b.DeadLetters, "dead-letters-topic", b.DeadLetters, "topic of requests that cannot be answered")
	f.IntVar(&b.BatchRecords, "batch-records", b.BatchRecords, "most requests of one transaction")
	f.DurationVar(&b.ServiceTime, "service-time", b.ServiceTime, "least time one request takes; stands for an accelerator's work in load tests")
	f.DurationVar(&b.TransactionTimeout, "transaction-timeout", b.TransactionTimeout, "how long a dead process's open transaction holds readers back")
	f.DurationVar(&b.SessionTimeout, "session-timeout", b.SessionTimeout, "how long a dead replica keeps its partitions")
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
	if s.modelFile != "" {
		entry, err := readModel(s.server.Registry.Name, s.modelFile)
		if err != nil {
			return command.Input(err)
		}
		s.server.Entry = entry
	}
	if err := s.server.Validate(); err != nil {
		return command.Input(err)
	}
	cluster, err := kafkaclient.Flags(s.brokers, s.kafkaFile)
	if err != nil {
		return command.Input(err)
	}
	kafka := append(cluster.Options(), kgo.ClientID("prescale-inference"))
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	replica, err := server.New(s.server, logger, metrics, kafka...)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return command.Input(fmt.Errorf("--listen %s: %w", s.listen, err))
	}
	mux := http.NewServeMux()
	mux.Handle("/v2", replica.Handler())
	mux.Handle("/v2/", replica.Handler())
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	logger.Info("inference: starting", "listen", listener.Addr().String(), "brokers", cluster.Brokers, "security", cluster.Security(), "group", s.server.Batch.Group, "instance", s.server.Batch.Instance)
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
		return replica.Run(ctx)
	})
	group.Go(func() error { // calls in flight are answered after Kafka's side has stopped being ready
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return web.Shutdown(grace)
	})
	return group.Wait()
}

func topics(s settings) []kafkatopic.Topic {
	out := []kafkatopic.Topic{
		{Name: s.server.Batch.Requests, Partitions: s.partitions},
		{Name: s.server.Batch.Predictions, Partitions: s.partitions},
		{Name: s.server.Batch.DeadLetters, Partitions: 1},
	}
	if s.server.Entry == nil {
		out = append(out, kafkatopic.Topic{Name: s.server.Registry.Topic, Partitions: 1, Compact: true})
	}
	return out
}

func readModel(name, path string) (*registry.Entry, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--model-file: %w", err)
	}
	m, err := model.Load(path, file)
	if err != nil {
		return nil, err
	}
	lineage, err := registry.ParseLineage(m.Metadata)
	if err != nil {
		return nil, fmt.Errorf("--model-file %s: %w", path, err)
	}
	return &registry.Entry{Name: name, Version: 1, Model: m, Lineage: lineage}, nil
}
