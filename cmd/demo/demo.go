package main

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/console"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/cmd/internal/telemetry"
	"github.com/prescale/prescale/cmd/internal/trace"
	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/hpa"
)

// traceStart is midnight, so that the trace's time of day tells how long it has run.
var traceStart = time.Date(2023, 11, 16, 0, 0, 0, 0, time.UTC)

// The two policies: the one that Prescale keeps, and the plain HPA's group, which it only observes.
const (
	namespace   = "ai"
	ourPolicy   = "inference"
	plainPolicy = "plain-hpa"
	clusterName = "main"
	ourSideName = "Prescale"
	plainName   = "plain HPA"
	drainedWait = 5 * time.Second // of the wall's time, for the last requests' answers
	// settle is how long, of the wall's time, the first replicas have before the traffic begins.
	settle = time.Second
)

// demo is one run, made by newDemo and started by its Run.
type demo struct {
	config Config
	trace  *trace.Trace
	print  printer
	logger *slog.Logger
	page   net.Listener // nil without a page
}

// newDemo reads the trace and takes the page's port, so that what can go wrong does so before anything runs.
func newDemo(config Config, out printer, logger *slog.Logger) (*demo, error) {
	t, err := trace.Open(config.Trace)
	if err != nil {
		return nil, command.Inputf("--trace: %w", err)
	}
	if config.Duration > 0 {
		t = t.Until(time.Duration(float64(config.Duration) * config.Speed))
	}
	if len(t.Arrivals) == 0 {
		return nil, command.Inputf("--duration: %v: the trace has no request in it at --speed %g; give more", config.Duration, config.Speed)
	}
	d := &demo{config: config, trace: t, print: out, logger: logger}
	if config.Address != "" {
		if d.page, err = net.Listen("tcp", config.Address); err != nil {
			return nil, command.Inputf(
				"--addr: %w; give another one, such as --addr 127.0.0.1:0 for any free port, or --addr \"\" for no page", err)
		}
	}
	return d, nil
}

// span is how much of the trace is played.
func (d *demo) span() time.Duration {
	span := d.trace.Span() + time.Nanosecond
	if d.config.Duration > 0 {
		span = min(span, time.Duration(float64(d.config.Duration)*d.config.Speed))
	}
	return span
}

// Run plays the trace and returns nil at its end, or when the context ends: then with the summary of what was.
func (d *demo) Run(ctx context.Context) error {
	cluster, err := startKafka(d.config.Partitions)
	if err != nil {
		return err
	}
	defer cluster.Close()
	opts := func(id string) []kgo.Opt { return clientOpts(cluster, id) }
	client, err := kgo.NewClient(opts("demo")...)
	if err != nil {
		return err
	}
	defer client.Close()

	examples := newStream(d.config.Seed, d.span()/2)
	if err := publishFirstModel(ctx, client, examples, time.Now()); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	clock := trace.NewClock(time.Now().Add(settle), traceStart, d.config.Speed)
	return d.play(ctx, client, examples, opts, clock)
}

// play builds every part in the order of the data flow and runs them in one group.
func (d *demo) play(ctx context.Context, client *kgo.Client, examples *stream, opts func(string) []kgo.Opt, clock trace.Clock) error {
	s := stage{
		demo: d, clock: clock, opts: opts, registry: telemetry.NewRegistry(),
		store: readmodel.NewStore(func() time.Time { return clock.At(time.Now()) }),
	}
	if err := s.workloads(client, examples); err != nil {
		return err
	}
	watchClient, err := kgo.NewClient(opts("prescale")...)
	if err != nil {
		return err
	}
	defer watchClient.Close()
	if err := s.controlPlane(watchClient); err != nil {
		return err
	}
	if err := s.autoscalers(); err != nil {
		return err
	}
	s.views(examples)
	return s.run(ctx)
}

// policy returns the policy for one consumer group.
func (c Config) policy(name, group string, readCommitted bool) pipeline.Policy {
	cfg := scaler.DefaultConfig()
	cfg.Policy = namespace + "/" + name
	cfg.Interval = c.Interval
	cfg.ObjectiveLag = c.Objective
	cfg.MaxReplicas = c.MaxReplicas
	target := collector.Target{
		Policy: cfg.Policy, Cluster: clusterName, Group: group, Topics: []string{event.TopicRequests},
		Reset: collector.ResetEarliest, ReadCommitted: readCommitted,
	}
	return pipeline.NewPolicy(target, cfg, nil)
}

// plainLagRecords is the lag for each replica that the plain HPA aims at: what a replica works off in half the promised time.
func (c Config) plainLagRecords() float64 { return c.Objective.Seconds() / 2 / c.Service.Seconds() }

func (c Config) hello(t *trace.Trace) console.Hello {
	policy := func(name string) console.Policy {
		return console.Policy{Name: namespace + "/" + name, IntervalSeconds: c.Interval.Seconds(),
			ObjectiveLagSeconds: c.Objective.Seconds()}
	}
	return console.Hello{
		Title: "replaying " + t.Name, Speed: c.Speed, Workloads: true, UTC: true,
		Policies: []console.Policy{policy(ourPolicy), policy(plainPolicy)}, Compare: namespace + "/" + plainPolicy,
	}
}

// ourRules are those of the HPA in manifests/base/workloads: Prescale has already weighed what a change costs.
func ourRules(c Config) hpa.Config {
	cfg := hpa.DefaultConfig()
	up, down, none := time.Duration(0), time.Minute, 0.0
	cfg.Behavior = &hpa.Behavior{
		ScaleUp: hpa.Rules{Stabilization: &up, Tolerance: &none, Select: hpa.SelectMax, Policies: []hpa.Policy{
			{Percent: true, Value: 900, Period: 15 * time.Second}, {Value: 8, Period: 15 * time.Second},
		}},
		ScaleDown: hpa.Rules{Stabilization: &down, Tolerance: &none, Select: hpa.SelectMax, Policies: []hpa.Policy{
			{Percent: true, Value: 50, Period: 30 * time.Second},
		}},
	}
	cfg.SyncPeriod, cfg.MaxReplicas = c.SyncPeriod, c.MaxReplicas
	return cfg
}

// plainRules are the controller's defaults.
func plainRules(c Config) hpa.Config {
	cfg := hpa.DefaultConfig()
	cfg.SyncPeriod, cfg.MaxReplicas = c.SyncPeriod, c.MaxReplicas
	return cfg
}

func newHPA(rules hpa.Config, c hpaController) (*hpaController, error) {
	controller, err := hpa.New(rules)
	if err != nil {
		return nil, err
	}
	c.rules, c.period, c.namespace = controller, rules.SyncPeriod, namespace
	return &c, nil
}
