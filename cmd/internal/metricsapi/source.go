// Package metricsapi puts the read model's answers in the metrics API's terms. It holds nothing itself; it stands apart from
// the read model so that only binaries that serve the API link the API server's libraries.
package metricsapi

import (
	"errors"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/external"
)

// Source gives the store's values to the metrics API: it is the external.Source over a Store.
type Source struct{ Store *readmodel.Store }

// Metrics lists every metric, sorted by name.
func (x Source) Metrics() []external.Info {
	var infos []external.Info
	for _, i := range readmodel.Infos() {
		infos = append(infos, external.Info{Name: i.Name, Help: i.Help})
	}
	return infos
}

// Query answers from memory. A selector that pins the policy is answered by that policy alone; any other one by all
// policies of the namespace.
func (x Source) Query(namespace, metric string, selector labels.Selector) ([]external.Value, error) {
	match := func(l map[string]string) bool { return selector.Matches(labels.Set(l)) }
	samples, err := x.Store.Query(namespace, metric, match, pinnedPolicy(selector))
	if errors.Is(err, readmodel.ErrUnknownMetric) {
		return nil, external.ErrUnknownMetric
	}
	if err != nil {
		return nil, unavailable(err)
	}
	values := make([]external.Value, len(samples))
	for i, s := range samples {
		values[i] = external.Value{Labels: s.Labels, Value: s.Value, At: s.At, Expires: s.Expires}
	}
	return values, nil
}

// pinnedPolicy returns a test of policy names by the selector's requirements on the policy label, or nil where it has none.
func pinnedPolicy(selector labels.Selector) func(string) bool {
	requirements, selectable := selector.Requirements()
	if !selectable {
		return func(string) bool { return false }
	}
	var on []labels.Requirement
	for _, r := range requirements {
		if r.Key() == readmodel.PolicyLabel && (r.Operator() == selection.Equals || r.Operator() == selection.DoubleEquals ||
			r.Operator() == selection.In) {
			on = append(on, r)
		}
	}
	if len(on) == 0 {
		return nil
	}
	return func(policy string) bool {
		for _, r := range on {
			if !r.Matches(labels.Set{readmodel.PolicyLabel: policy}) {
				return false
			}
		}
		return true
	}
}

// unavailable says which of stale and not ready holds. A missing value counts as not ready: it has not been there yet, or
// is not there now, while the policy itself is fresh.
func unavailable(err error) error {
	var stale *readmodel.StaleError
	var notReady *readmodel.NotReadyError
	switch {
	case errors.As(err, &stale):
		return &external.UnavailableError{Cause: external.CauseStale, Detail: err.Error(),
			RetryAfter: stale.Limit / readmodel.StaleAfterTicks}
	case errors.As(err, &notReady):
		return &external.UnavailableError{Cause: external.CauseNotReady, Detail: err.Error(), RetryAfter: notReady.Interval}
	default:
		return &external.UnavailableError{Cause: external.CauseNotReady, Detail: err.Error()}
	}
}
