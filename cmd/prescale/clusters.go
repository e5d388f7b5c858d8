package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/cmd/internal/kafkaclient"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/metrics/collector/kafka"
)

// clusters holds one Kafka client a cluster, shared by every collector of it.
type clusters struct {
	open     map[string]cluster
	configs  map[string]kafkaclient.Config
	registry prometheus.Registerer
	logger   *slog.Logger
}

type cluster struct {
	client *kgo.Client
	// security says in words how the cluster is reached, for messages.
	security string
}

// openClusters makes the clients. No connection is made before the first request, so an unreachable cluster does not keep
// the daemon from starting.
func openClusters(cfg config.Config, registry prometheus.Registerer, logger *slog.Logger) (*clusters, error) {
	cs := &clusters{open: map[string]cluster{}, configs: cfg.Clusters, registry: registry, logger: logger}
	for name, c := range cfg.Clusters {
		client, err := kgo.NewClient(c.Options()...)
		if err != nil {
			cs.close()
			return nil, fmt.Errorf("make the client of cluster %s: %w", name, err)
		}
		cs.open[name] = cluster{client, c.Security()}
	}
	return cs, nil
}

func (cs *clusters) close() {
	for _, c := range cs.open {
		c.client.Close()
	}
}

// client returns the client of a cluster that all share.
func (cs *clusters) client(name string) *kgo.Client { return cs.open[name].client }

// options returns the options of a further client of a cluster, for what cannot share the collectors': reading records.
func (cs *clusters) options(name string) []kgo.Opt {
	c := cs.configs[name]
	return c.Options()
}

// collector returns a new collector that ticks at the interval.
func (cs *clusters) collector(name string, interval time.Duration) (pipeline.Collector, error) {
	cfg := kafka.DefaultConfig()
	cfg.Cluster, cfg.Security = name, cs.open[name].security
	cfg.RequestTimeout = min(cfg.RequestTimeout, interval)
	labelled := prometheus.WrapRegistererWith(prometheus.Labels{"interval": interval.String()}, cs.registry)
	return kafka.New(cfg, cs.open[name].client, labelled, cs.logger)
}
