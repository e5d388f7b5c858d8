package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
	"k8s.io/metrics/pkg/client/external_metrics"

	"github.com/prescale/prescale/cmd/internal/console"
	"github.com/prescale/prescale/cmd/internal/metricsapi"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/cmd/internal/telemetry"
	"github.com/prescale/prescale/cmd/internal/trace"
	"github.com/prescale/prescale/feedback"
	"github.com/prescale/prescale/metrics/collector/kafka"
	"github.com/prescale/prescale/metrics/external"
)

// stage holds the parts of a demo that plays, in the order of the data flow: each method makes those of one step from the ones before.
type stage struct {
	*demo
	clock    trace.Clock
	opts     func(id string) []kgo.Opt
	registry *prometheus.Registry
	store    *readmodel.Store

	load        *traffic
	ours, plain contestant
	trainer     *feedback.Service

	line *pipeline.Pipeline

	api              *external.Server
	ourHPA, plainHPA *hpaController

	recorder *recorder
	watch    *probe
	pages    *telemetry.Server // nil without a page
}

// workloads makes the traffic, the consumers on both sides and the trainer.
func (s *stage) workloads(client *kgo.Client, examples *stream) error {
	c := s.config
	ours, plain := newMeter(s.clock), newMeter(s.clock)
	s.load = &traffic{clock: s.clock, trace: s.trace, stream: examples, client: client, meters: []*meter{ours, plain}, seed: c.Seed}
	s.ours = contestant{ourSideName, newFleet(inferenceGroup, s.clock, c.StartUp, rand.New(rand.NewPCG(c.Seed, 4)), ours,
		inferenceReplica(s.opts, s.clock, c.Service, s.registry, s.logger), s.logger), ours}
	s.plain = contestant{plainName, newFleet(plainGroup, s.clock, c.StartUp, rand.New(rand.NewPCG(c.Seed, 4)), plain,
		plainReplica(s.opts, s.clock, c.Service, plain), s.logger), plain}
	var err error
	s.trainer, err = newTrainer(c.Seed, s.registry, s.logger, s.opts("feedback"))
	return err
}

// controlPlane makes collector, forecaster, scaler and read model.
func (s *stage) controlPlane(client *kgo.Client) (err error) {
	s.registry.MustRegister(readmodel.Collector{Store: s.store})
	s.line, err = pipeline.New(pipeline.Config{
		Policies: []pipeline.Policy{
			s.config.policy(ourPolicy, inferenceGroup, true),
			s.config.policy(plainPolicy, plainGroup, false),
		},
		CollectorFor: func(cluster string, interval time.Duration) (pipeline.Collector, error) {
			cfg := kafka.DefaultConfig()
			cfg.Cluster, cfg.Clock = cluster, s.clock
			return kafka.New(cfg, client, s.registry, s.logger)
		},
		Replicas: fleets{namespace + "/" + ourPolicy: s.ours.fleet, namespace + "/" + plainPolicy: s.plain.fleet},
		Store:    s.store,
		Metrics:  pipeline.NewMetrics(s.registry),
		Logger:   s.logger,
		Clock:    s.clock,
	})
	return err
}

// autoscalers makes the metrics API, and the HPAs that read it.
func (s *stage) autoscalers() (err error) {
	external.BridgeKlog(s.logger)
	s.api, err = external.New(external.DefaultConfig(), wallSource{metricsapi.Source{Store: s.store}, s.clock}, s.logger)
	if err != nil {
		return err
	}
	metrics, err := external_metrics.NewForConfig(s.api.ClientConfig())
	if err != nil {
		return err
	}
	s.ourHPA, err = newHPA(ourRules(s.config), hpaController{clock: s.clock, metrics: metrics, policy: ourPolicy,
		metric: readmodel.DesiredReplicas, averageValue: 1, fleet: s.ours.fleet, logger: s.logger})
	if err != nil {
		return err
	}
	s.plainHPA, err = newHPA(plainRules(s.config), hpaController{clock: s.clock, metrics: metrics, policy: plainPolicy,
		metric: readmodel.LagRecords, averageValue: s.config.plainLagRecords(), fleet: s.plain.fleet, logger: s.logger})
	return err
}

// views makes what people see, and writes the first line.
func (s *stage) views(examples *stream) {
	page := console.New(s.config.hello(s.trace))
	s.recorder = newRecorder(s.demo, s.clock, page, s.store, examples, []contestant{s.ours, s.plain})
	s.watch = &probe{
		opts: s.opts("probe"), clock: s.clock, service: s.config.Service, meter: s.ours.meter,
		accuracy: s.recorder.accuracy, swapped: s.recorder.swapped, logger: s.logger,
	}
	url := ""
	if s.page != nil {
		url = "http://" + s.page.Addr().String()
		s.pages = telemetry.New(telemetry.Config{
			Listener: s.page, Gatherer: s.registry, Pages: page, OnShutdown: page.Close, Logger: s.logger,
			Ready: func() error { _, err := s.store.Get(namespace + "/" + ourPolicy); return err },
		})
	}
	s.recorder.start(url)
}

// run runs everything until the last answer, a failure or ctx's end.
func (s *stage) run(ctx context.Context) error {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	group, running := errgroup.WithContext(running)
	run := func(what string, f func(context.Context) error) {
		group.Go(func() error {
			if err := f(running); err != nil && running.Err() == nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			return nil
		})
	}
	if s.pages != nil {
		run("page", s.pages.Run)
	}
	run("metrics API", s.api.Run)
	run("inference", func(ctx context.Context) error { return s.ours.fleet.Run(ctx, s.config.Replicas) })
	run("plain HPA's group", func(ctx context.Context) error { return s.plain.fleet.Run(ctx, s.config.Replicas) })
	run("trainer", s.trainer.Run)
	run("probe", s.watch.Run)
	run("pipeline", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(s.clock.Wall(s.clock.Start()))):
			return s.line.Run(ctx)
		}
	})
	run("HPA", s.ourHPA.Run)
	run("plain HPA", s.plainHPA.Run)
	run("outcomes", s.load.sendOutcomes)
	run("report", s.recorder.Run)
	run("requests", func(ctx context.Context) error {
		if err := s.load.sendRequests(ctx); err != nil {
			return err
		}
		s.recorder.drain(ctx)
		stop(errFinished)
		return nil
	})
	err := group.Wait()
	s.recorder.finish()
	return err
}

var errFinished = errors.New("the trace is over")
