package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/metrics/pkg/client/external_metrics"

	"github.com/prescale/prescale/cmd/internal/trace"
	"github.com/prescale/prescale/scaler/hpa"
)

// errNoValues is what the HPA says of a metric without values.
var errNoValues = errors.New("no metrics returned from external metrics API")

// hpaController stands in for the HPA controller: it reads one external metric over HTTPS, as Kubernetes does, applies the
// HPA's rules and scales a fleet. Times are the trace's.
type hpaController struct {
	clock   trace.Clock
	rules   *hpa.Controller
	period  time.Duration
	metrics external_metrics.ExternalMetricsClient
	// metric of the policy in the namespace is compared with averageValue for each replica.
	namespace, policy, metric string
	averageValue              float64
	fleet                     *fleet
	logger                    *slog.Logger
	failing                   bool
}

// Run looks at every period until the context ends, and then returns nil.
func (c *hpaController) Run(ctx context.Context) error {
	for next := c.clock.At(time.Now()).Truncate(c.period); ; {
		next = next.Add(c.period)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(c.clock.Wall(next))):
		}
		c.tick(ctx, c.clock.At(time.Now()))
	}
}

func (c *hpaController) tick(ctx context.Context, now time.Time) {
	value, err := c.read()
	if ctx.Err() != nil {
		return
	}
	// Before the first sample the API answers "not ready"; that is an error to the HPA, which then keeps what it has.
	if failing := err != nil; failing != c.failing {
		c.failing = failing
		c.logger.Debug("reading the metric", "policy", c.policy, "metric", c.metric, "error", err)
	}
	all, ready := c.fleet.count()
	result := c.rules.Reconcile(now, hpa.Input{
		SpecReplicas: all, StatusReplicas: all, ReadyPods: ready,
		Metrics: []hpa.Metric{{Value: value, Target: c.averageValue, Average: true, Err: err}},
	})
	if result.Rescaled {
		c.fleet.Scale(now, result.Replicas)
	}
}

// read returns the metric's sum over the values that match, as the HPA does.
func (c *hpaController) read() (float64, error) {
	list, err := c.metrics.NamespacedMetrics(c.namespace).List(c.metric, labels.SelectorFromSet(labels.Set{"policy": c.policy}))
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for i := range list.Items {
		sum += list.Items[i].Value.AsApproximateFloat64()
	}
	if len(list.Items) == 0 {
		return 0, errNoValues
	}
	return sum, nil
}
