package external

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
)

// objectProvider answers custom.metrics.k8s.io from a Source: the same values as externalProvider, addressed by the object
// that they describe. It needs no lookup of objects: the Source's values name them.
type objectProvider struct {
	source Source
	now    func() time.Time
	object schema.GroupVersionResource
	kind   string
	label  string
	infos  []provider.CustomMetricInfo
}

var _ provider.CustomMetricsProvider = (*objectProvider)(nil)

func newObjectProvider(cfg Config, source Source, now func() time.Time) *objectProvider {
	p := &objectProvider{source: source, now: now, object: cfg.Object, kind: cfg.ObjectKind, label: cfg.ObjectLabel}
	for _, info := range source.Metrics() {
		p.infos = append(p.infos, provider.CustomMetricInfo{GroupResource: cfg.Object.GroupResource(), Namespaced: true, Metric: info.Name})
	}
	return p
}

// ListAllMetrics returns the constant list of metrics of the object.
func (p *objectProvider) ListAllMetrics() []provider.CustomMetricInfo { return p.infos }

// GetMetricByName returns the metric's one value for the object. More than one is an error that names the labels by which
// a metric selector can choose, because adding up quantiles, say, would be a number without a meaning.
func (p *objectProvider) GetMetricByName(ctx context.Context, name types.NamespacedName, info provider.CustomMetricInfo,
	metricSelector labels.Selector) (*custom_metrics.MetricValue, error) {
	if !p.serves(info) {
		return nil, notFound(info.GroupResource, name.Name, info.Metric)
	}
	byName, err := labels.NewRequirement(p.label, selection.Equals, []string{name.Name})
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("object name %q: %v", name.Name, err))
	}
	values, err := query(p.source, p.now(), name.Namespace, info.Metric, and(metricSelector, *byName))
	if errors.Is(err, ErrUnknownMetric) || err == nil && len(values) == 0 {
		return nil, notFound(info.GroupResource, name.Name, info.Metric)
	}
	if err != nil {
		return nil, statusError(ctx, custom_metrics.GroupName, info.Metric, err)
	}
	if err := p.onePerObject(info.Metric, values); err != nil {
		return nil, err
	}
	value := p.value(name.Namespace, info.Metric, metricSelector, values[0])
	return &value, nil
}

// GetMetricBySelector returns the metric's value for each object whose own labels match, sorted by name.
func (p *objectProvider) GetMetricBySelector(ctx context.Context, namespace string, selector labels.Selector,
	info provider.CustomMetricInfo, metricSelector labels.Selector) (*custom_metrics.MetricValueList, error) {
	if !p.serves(info) {
		return nil, notFound(info.GroupResource, "*", info.Metric)
	}
	values, err := query(p.source, p.now(), namespace, info.Metric, metricSelector)
	if errors.Is(err, ErrUnknownMetric) {
		return nil, notFound(info.GroupResource, "*", info.Metric)
	}
	if err != nil {
		return nil, statusError(ctx, custom_metrics.GroupName, info.Metric, err)
	}
	list := &custom_metrics.MetricValueList{Items: []custom_metrics.MetricValue{}}
	labeler, _ := p.source.(ObjectLabeler)
	chosen := values[:0]
	for _, v := range values {
		matches := selector.Empty()
		if !matches && labeler != nil {
			if set, ok := labeler.ObjectLabels(namespace, v.Labels[p.label]); ok {
				matches = selector.Matches(set)
			}
		}
		if matches {
			chosen = append(chosen, v)
		}
	}
	if err := p.onePerObject(info.Metric, chosen); err != nil {
		return nil, err
	}
	for _, v := range chosen {
		list.Items = append(list.Items, p.value(namespace, info.Metric, metricSelector, v))
	}
	return list, nil
}

func (p *objectProvider) serves(info provider.CustomMetricInfo) bool {
	return info.Namespaced && info.GroupResource == p.object.GroupResource()
}

// onePerObject returns an error when two values describe the same object.
func (p *objectProvider) onePerObject(metric string, values []Value) error {
	first := map[string]Value{}
	for _, v := range values {
		name := v.Labels[p.label]
		other, twice := first[name]
		if !twice {
			first[name] = v
			continue
		}
		return apierrors.NewBadRequest(fmt.Sprintf(
			"metric %s has several values for %s %q, such as {%s} and {%s}: choose one with a metric selector (metricLabelSelector=%s)",
			metric, strings.ToLower(p.kind), name, other.Labels, v.Labels, difference(other.Labels, v.Labels)))
	}
	return nil
}

func (p *objectProvider) value(namespace, metric string, metricSelector labels.Selector, v Value) custom_metrics.MetricValue {
	q, _ := quantity(v.Value)
	value := custom_metrics.MetricValue{
		DescribedObject: custom_metrics.ObjectReference{
			APIVersion: p.object.GroupVersion().String(),
			Kind:       p.kind,
			Namespace:  namespace,
			Name:       v.Labels[p.label],
		},
		Metric:    custom_metrics.MetricIdentifier{Name: metric},
		Timestamp: metav1.NewTime(v.At),
		Value:     q,
	}
	if !metricSelector.Empty() {
		// An HPA's selector round-trips through its text; a selector that came over the wire always parses.
		if parsed, err := metav1.ParseToLabelSelector(metricSelector.String()); err == nil {
			value.Metric.Selector = parsed
		}
	}
	return value
}

// difference returns a selector by which a differs from b, or "" when they are the same.
func difference(a, b labels.Set) string {
	for _, key := range sortedKeys(a) {
		if b[key] != a[key] {
			return key + "=" + a[key]
		}
	}
	return ""
}

func sortedKeys(set labels.Set) []string {
	return slices.Sorted(maps.Keys(set))
}

func and(selector labels.Selector, requirement labels.Requirement) labels.Selector {
	return selector.DeepCopySelector().Add(requirement)
}
