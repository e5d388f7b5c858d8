package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/trace"
	"github.com/prescale/prescale/feedback"
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
	"github.com/prescale/prescale/inference/server"
)

// inferenceGroup is the consumer group that Prescale scales.
const inferenceGroup = "inference"

// inferenceReplica returns replicas of the bundled inference service: each follows the model registry, predicts with a
// Gorgonia model and answers in transactions.
func inferenceReplica(opts func(id string) []kgo.Opt, clock trace.Clock, service time.Duration, registerer prometheus.Registerer,
	logger *slog.Logger) replica {
	return func(ctx context.Context, id int, ready func()) error {
		name := fmt.Sprintf("%s-%d", inferenceGroup, id)
		config := server.DefaultConfig()
		config.Batch.Group = inferenceGroup
		config.Batch.Instance = name
		config.Batch.BatchRecords = batchRecords
		config.Batch.ServiceTime = clock.WallSpan(service)
		own := prometheus.NewRegistry()
		s, err := server.New(config, logger, own, append(opts(name), memberOpts()...)...)
		if err != nil {
			return err
		}
		labelled := prometheus.WrapRegistererWith(prometheus.Labels{"replica": name}, registerer)
		if err := labelled.Register(own); err != nil {
			return err
		}
		defer labelled.Unregister(own)
		watch, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			for s.Ready() != nil {
				select {
				case <-watch.Done():
					return
				case <-time.After(10 * time.Millisecond):
				}
			}
			ready()
		}()
		return s.Run(ctx)
	}
}

// The first model's training, on examples from before the drift: enough for about nine right answers of ten.
const (
	firstExamples     = 6000
	firstBatch        = 128
	firstLearningRate = 0.01
	firstHidden       = 16
)

// architecture is that of every model version.
func architecture() model.Architecture {
	return model.Architecture{Inputs: streamInputs, Hidden: []int{firstHidden}, Classes: streamClasses}
}

// publishFirstModel trains a model on examples of the stream's first meaning and makes it champion, as if it had been
// trained the day before.
func publishFirstModel(ctx context.Context, client *kgo.Client, s *stream, at time.Time) error {
	random := rand.New(rand.NewPCG(s.seed, 3))
	weights := model.NewWeights(architecture(), random)
	trainer, err := model.NewTrainer(weights, firstBatch, firstLearningRate)
	if err != nil {
		return fmt.Errorf("train the first model: %w", err)
	}
	defer trainer.Close()
	x, classes := make([]float32, 0, firstBatch*streamInputs), make([]int, 0, firstBatch)
	var loss float64
	for i := range firstExamples {
		// Examples beyond any trace's, so that no request has been trained on.
		features, class := s.example(1<<40+i, 0)
		x, classes = append(x, features...), append(classes, class)
		if len(classes) == firstBatch {
			if loss, err = trainer.Step(x, classes); err != nil {
				return fmt.Errorf("train the first model: %w", err)
			}
			x, classes = x[:0], classes[:0]
		}
	}
	file := registry.File(trainer.Snapshot(), registry.Lineage{CreatedAt: at, Examples: firstExamples, LossNats: loss,
		Description: "trained before the run"})
	return client.ProduceSync(ctx,
		registry.VersionRecord(registry.Topic, registry.DefaultName, 1, file),
		registry.ChampionRecord(registry.Topic, registry.DefaultName, registry.Champion{Version: 1, Reason: "the first", At: at}),
	).FirstErr()
}

// newTrainer returns the bundled trainer: it joins predictions with their outcomes, learns, and publishes a version when the
// evidence says that it is better.
func newTrainer(seed uint64, registerer prometheus.Registerer, logger *slog.Logger, opts []kgo.Opt) (*feedback.Service, error) {
	config := feedback.DefaultConfig()
	config.Instance = "demo"
	config.Train.Architecture = architecture()
	config.Train.Seed = seed
	return feedback.New(config, logger, registerer, append(opts, kgo.FetchMaxWait(100*time.Millisecond))...)
}
