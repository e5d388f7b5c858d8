// Command inference is the inference service: it answers the requests of a Kafka topic exactly once, with the model version
// that the registry names champion, and answers the Open Inference Protocol over HTTP.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/kafkatopic"
	"github.com/prescale/prescale/cmd/internal/telemetry"
	"github.com/prescale/prescale/cmd/internal/workload"
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
	"github.com/prescale/prescale/inference/server"
)

func main() { os.Exit(command.Main("inference", run)) }

// settings are what the flags say.
type settings struct {
	workload.Flags
	server    server.Config
	modelFile string
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s := settings{Flags: workload.Flags{Name: "inference", Listen: ":8000"}, server: server.DefaultConfig()}
	root := s.Command("Answer inference requests from Kafka, exactly once, and over HTTP (Open Inference Protocol, /v2)", args,
		stdout, stderr,
		func(ctx context.Context) error { return serve(ctx, s, stderr) })
	b := &s.server.Batch
	f := root.Flags()
	f.StringVar(&s.server.Registry.Name, "model", s.server.Registry.Name, "model name in the registry")
	f.StringVar(&s.server.Registry.Topic, "models-topic", s.server.Registry.Topic, "the registry's topic")
	f.StringVar(&s.modelFile, "model-file", "", "serve this safetensors file as version 1 instead of following the registry")
	f.StringVar(&b.Group, "group", b.Group, "consumer group")
	f.StringVar(&b.Requests, "requests-topic", b.Requests, "topic of requests")
	f.StringVar(&b.Predictions, "predictions-topic", b.Predictions, "topic of predictions")
	f.StringVar(&b.DeadLetters, "dead-letters-topic", b.DeadLetters, "topic of requests that cannot be answered")
	f.IntVar(&b.BatchRecords, "batch-records", b.BatchRecords, "most requests of one transaction")
	f.DurationVar(&b.ServiceTime, "service-time", b.ServiceTime,
		"least time one request takes; stands for an accelerator's work in load tests")
	f.DurationVar(&b.TransactionTimeout, "transaction-timeout", b.TransactionTimeout,
		"how long a dead process's open transaction holds readers back")
	f.DurationVar(&b.SessionTimeout, "session-timeout", b.SessionTimeout, "how long a dead replica keeps its partitions")
	return root.ExecuteContext(ctx)
}

func serve(ctx context.Context, s settings, stderr io.Writer) error {
	logger := s.Logger(stderr)
	if s.modelFile != "" {
		entry, err := readModel(s.server.Registry.Name, s.modelFile)
		if err != nil {
			return command.Input(err)
		}
		s.server.Entry = entry
	}
	s.server.Batch.Instance = s.Instance
	if err := s.server.Validate(); err != nil {
		return command.Input(err)
	}
	cluster, kafka, err := s.Kafka()
	if err != nil {
		return err
	}
	metrics := telemetry.NewRegistry()
	replica, err := server.New(s.server, logger, metrics, kafka...)
	if err != nil {
		return err
	}
	logger.Info("inference: starting", "brokers", cluster.Brokers, "security", cluster.Security(), "group", s.server.Batch.Group,
		"instance", s.Instance)
	return s.Serve(ctx, logger, metrics, kafka, topics(s), replica, replica.Handler())
}

func topics(s settings) []kafkatopic.Topic {
	out := []kafkatopic.Topic{
		{Name: s.server.Batch.Requests, Partitions: s.Partitions},
		{Name: s.server.Batch.Predictions, Partitions: s.Partitions},
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
