package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/cmd/internal/console"
	"github.com/prescale/prescale/cmd/internal/kube"
	"github.com/prescale/prescale/cmd/internal/metricsapi"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/cmd/internal/telemetry"
	"github.com/prescale/prescale/metrics/external"
)

// leastConfig is the least that a configuration says. It is shown where one is asked for.
const leastConfig = `clusters: {main: {brokers: ["kafka:9092"]}}
policies:
- metadata: {name: orders, namespace: shop}
  spec: {kafka: {group: orders, topics: [orders]}, objective: {lagSeconds: 30}, replicas: {max: 12}}
`

// newServeCommand runs the daemon: collect, forecast, decide, answer.
func newServeCommand() *cobra.Command {
	var path, logFlag string
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the daemon: collect, forecast, decide and answer the HPA",
		Long: `Run the daemon: collect, forecast, decide and answer the HPA, until SIGINT or SIGTERM.

What was seen and decided is kept in a log. In Kafka it survives this process, and several share
the work; in memory it is this process's alone and lost with it.

The least that FILE says, which ` + "`prescale check`" + ` looks at before anything runs:

` + leastConfig,
		Example: `  prescale serve --config prescale.yaml
  prescale serve --config prescale.yaml --log memory`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required("config", path, "configuration file"); err != nil {
				return err
			}
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			if logFlag != "" {
				cfg.Log = config.Log(logFlag)
				if err := cfg.Validate(); err != nil {
					return command.Input(err)
				}
			}
			return serve(cmd.Context(), cfg, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration `FILE`")
	cmd.Flags().StringVar(&logFlag, "log", "", "where the log is kept: kafka or memory (default: as the file says)")
	return cmd
}

// serve builds every part in the order in which data flows and runs them until the context ends or one of them fails.
func serve(ctx context.Context, cfg config.Config, stderr io.Writer) error {
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	external.BridgeKlog(logger)
	registry := telemetry.NewRegistry()

	store := readmodel.NewStore(time.Now)
	registry.MustRegister(readmodel.Collector{Store: store})

	policies, err := cfg.PipelinePolicies()
	if err != nil {
		return command.Input(err)
	}
	clusters, err := openClusters(cfg, registry, logger)
	if err != nil {
		return err
	}
	defer clusters.close()

	line := newLine(cfg, clusters, store, registry, logger)
	line.expect(policies)

	apiConfig := metricsAPIConfig(cfg.MetricsAPI, store)
	var source external.Source = metricsapi.Source{Store: store}
	var cluster *inKubernetes
	first := policies
	if cfg.MetricsAPI.Kubeconfig != "" {
		if cluster, err = openKubernetes(ctx, cfg, line, store, registry, logger); err != nil {
			return err
		}
		cluster.configure(&apiConfig)
		source = labelled{metricsapi.Source{Store: store}, cluster.controller}
		// The cluster's policies and the file's begin together; a cluster without the CustomResourceDefinition has none.
		first = nil
		time.AfterFunc(crdTimeout, func() { cluster.withoutCRD(ctx) })
	}
	api, err := external.New(apiConfig, source, logger)
	if err != nil {
		return fmt.Errorf("%s: %w", unlessListening(err, "metricsAPI.listen", "start the metrics API"), err)
	}
	keda, err := openExternalScaler(cfg.ExternalScaler, store, logger)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.HTTP.Listen)
	if err != nil {
		return fmt.Errorf("http.listen: %q: %w", cfg.HTTP.Listen, err)
	}
	page := console.New(hello(policies))
	web := telemetry.New(telemetry.Config{
		Listener:   listener,
		Gatherer:   registry,
		Ready:      ready(store),
		Pages:      pages(page, store, line.explain),
		OnShutdown: page.Close,
		Logger:     logger,
	})
	logger.Info("serving", "metricsAPI", api.Addr(), "http", listener.Addr().String(), "policies", len(policies), "log", string(cfg.Log))
	if cfg.Log == config.LogMemory {
		logger.Info("the log is this process's memory: a restart forgets what was learned, and a second replica would decide on its own")
	}

	g, running := errgroup.WithContext(ctx)
	g.Go(func() error { return line.run(running, first) })
	if cluster != nil {
		cluster.run(running, g.Go)
	}
	if keda != nil {
		g.Go(func() error { return keda.Run(running) })
	}
	g.Go(func() error { return page.Follow(running, store) })
	g.Go(func() error { return api.Run(running) })
	g.Go(func() error { return web.Run(running) })
	return unlessAsked(ctx, g.Wait())
}

// unlessListening returns what was done, and the key of the address where err says that nothing can listen there.
func unlessListening(err error, key, act string) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "listen" {
		return key
	}
	return act
}

// unlessAsked returns the error with which the parts ended, or nil where that is no more than their having been asked to: ctx
// ended. A part that gives up with a cancelled context of its own has failed, and all that it did stands still.
func unlessAsked(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// pages serves the live page and, for prescale explain, the newest answers.
func pages(page http.Handler, store *readmodel.Store, explain readmodel.Explainer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/v1/", readmodel.Handler(store, explain))
	mux.Handle("/", page)
	return mux
}

// metricsAPIConfig puts the file's terms in the server's.
func metricsAPIConfig(c config.MetricsAPI, store *readmodel.Store) external.Config {
	out := external.DefaultConfig()
	out.Address = c.Listen
	out.CertFile, out.KeyFile = c.CertFile, c.KeyFile
	out.Forward = c.Forward.Server()
	out.Ready = ready(store)
	if c.Kubeconfig != "" {
		out.Access = external.AccessDelegated
		out.ShutdownDelay = 10 * time.Second
		if c.Kubeconfig != kube.InCluster {
			out.Kubeconfig = c.Kubeconfig
		}
	}
	return out
}

// ready says that there is enough data to answer: at least one policy does, or there is none to wait for. A policy whose
// cluster is down must not take the answers of all the others from the HPA.
func ready(store *readmodel.Store) func() error {
	return func() error {
		all := store.All()
		var first error
		for _, st := range all {
			if st.Err == nil {
				return nil
			}
			if first == nil {
				first = st.Err
			}
		}
		return first
	}
}

func hello(policies []pipeline.Policy) console.Hello {
	h := console.Hello{Title: "prescale serve", Speed: 1}
	for _, p := range policies {
		h.Policies = append(h.Policies, console.Policy{
			Name:                p.Name(),
			IntervalSeconds:     p.Scaler.Interval.Seconds(),
			ObjectiveLagSeconds: p.Scaler.ObjectiveLag.Seconds(),
		})
	}
	return h
}
