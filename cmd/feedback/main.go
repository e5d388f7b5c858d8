// Command feedback is the trainer: it joins predictions with their outcomes, learns, and publishes model versions that are
// better.
package main

import (
	"context"
	"io"
	"os"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/kafkatopic"
	"github.com/prescale/prescale/cmd/internal/telemetry"
	"github.com/prescale/prescale/cmd/internal/workload"
	"github.com/prescale/prescale/feedback"
	"github.com/prescale/prescale/inference/model"
)

func main() { os.Exit(command.Main("feedback", run)) }

// settings are what the flags say.
type settings struct {
	workload.Flags
	feedback     feedback.Config
	architecture string
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s := settings{Flags: workload.Flags{Name: "feedback", Listen: ":8001"}, feedback: feedback.DefaultConfig()}
	root := s.Command("Learn from outcomes and publish better model versions, exactly once", args, stdout, stderr,
		func(ctx context.Context) error { return serve(ctx, s, stderr) })
	c, t := &s.feedback, &s.feedback.Train
	f := root.Flags()
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
	f.StringVar(&c.JoinGroup, "join-group", c.JoinGroup, "consumer group that joins; each model needs its own, as of what follows")
	f.StringVar(&c.JoinStateTopic, "join-state-topic", c.JoinStateTopic, "topic of what waits for its counterpart, compacted")
	f.StringVar(&c.TrainGroup, "train-group", c.TrainGroup, "consumer group that trains")
	f.StringVar(&c.TrainStateTopic, "train-state-topic", c.TrainStateTopic, "topic of what the trainer knows, compacted")
	f.DurationVar(&c.Join.MaxAge, "max-age", c.Join.MaxAge, "how long a prediction waits for its outcome")
	f.IntVar(&c.Join.MaxHeld, "max-held", c.Join.MaxHeld,
		"most predictions that wait in one partition, some 500 bytes of memory each; the oldest are given up first")
	f.IntVar(&c.BatchRecords, "batch-records", c.BatchRecords, "most records of one transaction")
	return root.ExecuteContext(ctx)
}

func serve(ctx context.Context, s settings, stderr io.Writer) error {
	logger := s.Logger(stderr)
	architecture, err := model.ParseArchitecture(s.architecture)
	if err != nil {
		return command.Inputf("--architecture: %w", err)
	}
	s.feedback.Train.Architecture = architecture
	s.feedback.Instance = s.Instance
	if err := s.feedback.Validate(); err != nil {
		return command.Input(err)
	}
	cluster, kafka, err := s.Kafka()
	if err != nil {
		return err
	}
	metrics := telemetry.NewRegistry()
	service, err := feedback.New(s.feedback, logger, metrics, kafka...)
	if err != nil {
		return err
	}
	logger.Info("feedback: starting", "brokers", cluster.Brokers, "security", cluster.Security(), "instance", s.Instance,
		"architecture", s.architecture)
	return s.Serve(ctx, logger, metrics, kafka, topics(s), service, nil)
}

func topics(s settings) []kafkatopic.Topic {
	c := s.feedback
	return []kafkatopic.Topic{
		{Name: c.Join.Predictions, Partitions: s.Partitions},
		{Name: c.Join.Outcomes, Partitions: s.Partitions},
		{Name: c.JoinStateTopic, Partitions: s.Partitions, Compact: true},
		{Name: c.Join.Examples, Partitions: 1},
		{Name: c.TrainStateTopic, Partitions: 1, Compact: true},
		{Name: c.Train.Registry.Topic, Partitions: 1, Compact: true},
	}
}
