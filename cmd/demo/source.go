package main

import (
	"k8s.io/apimachinery/pkg/labels"

	"github.com/prescale/prescale/cmd/internal/metricsapi"
	"github.com/prescale/prescale/cmd/internal/trace"
	"github.com/prescale/prescale/metrics/external"
)

// wallSource is the read model with the trace's times turned into the wall's, by which the metrics API judges what is
// stale.
type wallSource struct {
	metricsapi.Source
	clock trace.Clock
}

// Query is the read model's, with its times in the wall's.
func (s wallSource) Query(namespace, metric string, selector labels.Selector) ([]external.Value, error) {
	values, err := s.Source.Query(namespace, metric, selector)
	for i := range values {
		values[i].At = s.clock.Wall(values[i].At)
		if !values[i].Expires.IsZero() {
			values[i].Expires = s.clock.Wall(values[i].Expires)
		}
	}
	return values, err
}
