package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/cmd/internal/kube"
	"github.com/prescale/prescale/cmd/internal/metricsapi"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/external"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// settleTime is how long a new replica waits for an answer for every policy before it calls itself ready with those that it
// has: in a rolling update the old replica serves until then.
const settleTime = time.Minute

// crdTimeout is how long the policies of the file wait for those of the cluster. A cluster that does not know ScalePolicy
// never answers.
const crdTimeout = 15 * time.Second

// inKubernetes is what the daemon does besides where it has a cluster: policies, pods and status by informers, and the
// serving certificate that the aggregator trusts.
type inKubernetes struct {
	cfg         config.Config
	line        *line
	store       *readmodel.Store
	certificate *kube.Certificate // nil when the certificate comes from files
	controller  *kube.Controller
	started     time.Time
	logger      *slog.Logger

	// applying is held while policies are taken.
	applying sync.Mutex

	mu      sync.Mutex
	applied bool
	latched bool
}

// openKubernetes connects to the cluster that the configuration names, and fails when it does not answer.
func openKubernetes(ctx context.Context, cfg config.Config, line *line, store *readmodel.Store, registry prometheus.Registerer,
	logger *slog.Logger) (*inKubernetes, error) {
	clients, err := kube.Connect(cfg.MetricsAPI.Kubeconfig)
	if err != nil {
		return nil, err
	}
	k := &inKubernetes{cfg: cfg, line: line, store: store, started: time.Now(), logger: logger}
	if cfg.MetricsAPI.CertFile == "" {
		c := kube.DefaultCertificateConfig()
		c.Namespace = cmp.Or(os.Getenv("POD_NAMESPACE"), c.Namespace)
		if k.certificate, err = kube.NewCertificate(ctx, c, clients, k.started, logger); err != nil {
			return nil, fmt.Errorf("prepare the serving certificate: %w", err)
		}
	}
	c := kube.DefaultConfig()
	c.Clients, c.Store, c.Registerer, c.Logger = clients, store, registry, logger
	c.Apply, c.Owns = k.apply, line.owns
	if k.controller, err = kube.New(c); err != nil {
		return nil, err
	}
	workloads := k.controller.Workloads()
	line.replicas, line.addresses, line.poolAddresses = workloads, workloads.Addresses, workloads.PoolAddresses
	return k, nil
}

// apply hands the policies of the cluster and those of the file to the line. A policy of the file wins over one of the
// cluster with its name.
func (k *inKubernetes) apply(_ context.Context, policies []*v1alpha1.ScalePolicy) map[string]error {
	k.applying.Lock()
	defer k.applying.Unlock()
	return k.take(policies)
}

// take is apply; k.applying is held.
func (k *inKubernetes) take(policies []*v1alpha1.ScalePolicy) map[string]error {
	unusable := map[string]error{}
	all, err := k.cfg.PipelinePolicies()
	if err != nil {
		// The file was valid when it was loaded.
		k.logger.Error("the policies of the configuration file cannot be used", "error", err)
	}
	named := map[string]bool{}
	for _, p := range all {
		named[p.Name()] = true
	}
	for _, p := range policies {
		if named[p.PolicyName()] {
			unusable[p.PolicyName()] = errors.New("a policy of this name stands in the daemon's configuration file, which wins")
			continue
		}
		if s := p.Spec.Sources; s != nil && s.Prometheus != nil && len(s.Prometheus.URLs) > 0 {
			unusable[p.PolicyName()] = errors.New(
				"sources.prometheus.urls: only for policies in the daemon's configuration file: give port, and the pods are asked")
			continue
		}
		if h := p.Spec.History; h != nil && h.File != nil {
			unusable[p.PolicyName()] = errors.New(
				"history.file: only for policies in the daemon's configuration file: give topic or prometheus")
			continue
		}
		one := k.cfg
		one.Policies = []v1alpha1.ScalePolicy{*p}
		usable, err := one.PipelinePolicies()
		if err != nil {
			unusable[p.PolicyName()] = err
			continue
		}
		all = append(all, usable...)
	}
	if all == nil {
		all = []pipeline.Policy{}
	}
	k.line.set(all)
	k.mu.Lock()
	k.applied = true
	k.mu.Unlock()
	return unusable
}

// withoutCRD begins with the policies of the file alone, when the cluster's have not come.
func (k *inKubernetes) withoutCRD(ctx context.Context) {
	k.applying.Lock()
	defer k.applying.Unlock()
	k.mu.Lock()
	applied := k.applied
	k.mu.Unlock()
	if applied || ctx.Err() != nil {
		return
	}
	k.logger.Warn("the cluster's ScalePolicies cannot be read: is the CustomResourceDefinition installed (kubectl apply --server-side " +
		"-k manifests/crd), and may we list them?")
	k.take(nil)
}

// ready says why this replica should not be asked yet. Once it is ready it stays so: an outage of Kafka is answered with its
// cause, policy by policy, and an APIService without endpoints would stand in the way of the whole cluster (a namespace
// cannot be deleted while one is unavailable).
func (k *inKubernetes) ready() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.latched {
		return nil
	}
	if !k.applied {
		return errors.New("the ScalePolicies have not been read yet")
	}
	if time.Since(k.started) < settleTime {
		for _, st := range k.store.All() {
			if st.Err != nil {
				return st.Err
			}
		}
	}
	k.latched = true
	return nil
}

// configure completes the metrics API's settings.
func (k *inKubernetes) configure(c *external.Config) {
	c.Ready = k.ready
	if k.certificate != nil {
		c.Certificate = k.certificate.Serving()
	}
}

// run keeps the certificate and follows the cluster until the context ends.
func (k *inKubernetes) run(ctx context.Context, start func(func() error)) {
	if k.certificate != nil {
		start(func() error { return k.certificate.Run(ctx) })
	}
	start(func() error { return k.controller.Run(ctx) })
}

// labelled is the metrics API's source in a cluster: it knows the labels of the ScalePolicies.
type labelled struct {
	metricsapi.Source
	controller *kube.Controller
}

// ObjectLabels implements external.ObjectLabeler.
func (l labelled) ObjectLabels(namespace, name string) (labels.Set, bool) {
	return l.controller.Labels(namespace, name)
}
