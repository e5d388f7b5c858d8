package external

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
)

// externalProvider answers external.metrics.k8s.io from a Source.
type externalProvider struct {
	source Source
	now    func() time.Time
	names  []provider.ExternalMetricInfo
}

var _ provider.ExternalMetricsProvider = (*externalProvider)(nil)

func newExternalProvider(source Source, now func() time.Time) *externalProvider {
	p := &externalProvider{source: source, now: now}
	for _, info := range source.Metrics() {
		p.names = append(p.names, provider.ExternalMetricInfo{Metric: info.Name})
	}
	return p
}

// ListAllExternalMetrics returns the constant list of names.
func (p *externalProvider) ListAllExternalMetrics() []provider.ExternalMetricInfo { return p.names }

// GetExternalMetric returns the values sorted by their labels; none for an unknown metric.
func (p *externalProvider) GetExternalMetric(ctx context.Context, namespace string, selector labels.Selector,
	info provider.ExternalMetricInfo) (*external_metrics.ExternalMetricValueList, error) {
	list := &external_metrics.ExternalMetricValueList{Items: []external_metrics.ExternalMetricValue{}}
	values, err := query(p.source, p.now(), namespace, info.Metric, selector)
	if errors.Is(err, ErrUnknownMetric) {
		return list, nil
	}
	if err != nil {
		return nil, statusError(ctx, external_metrics.GroupName, info.Metric, err)
	}
	for _, v := range values {
		q, _ := quantity(v.Value)
		list.Items = append(list.Items, external_metrics.ExternalMetricValue{
			MetricName:   info.Metric,
			MetricLabels: v.Labels,
			Timestamp:    metav1.NewTime(v.At),
			Value:        q,
		})
	}
	return list, nil
}

// query asks the source and refuses what must not be served: a value past its expiry or one that is not a number. The
// values are sorted by their labels.
func query(source Source, now time.Time, namespace, metric string, selector labels.Selector) ([]Value, error) {
	values, err := source.Query(namespace, metric, selector)
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		if !v.Expires.IsZero() && !now.Before(v.Expires) {
			return nil, &UnavailableError{
				Cause: CauseStale,
				Detail: fmt.Sprintf("the value for {%s} was observed at %s, %s ago, and was good until %s",
					v.Labels, v.At.UTC().Format(time.RFC3339), now.Sub(v.At).Round(time.Second), v.Expires.UTC().Format(time.RFC3339)),
				RetryAfter: v.Expires.Sub(v.At),
			}
		}
		if _, ok := quantity(v.Value); !ok {
			return nil, fmt.Errorf("the value for {%s} is %v, which no Kubernetes quantity can hold", v.Labels, v.Value)
		}
	}
	values = slices.Clone(values)
	slices.SortFunc(values, func(a, b Value) int { return strings.Compare(a.Labels.String(), b.Labels.String()) })
	return values, nil
}
