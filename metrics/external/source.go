package external

import (
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

// Source holds the newest values. Its methods answer from memory, at once, and are called concurrently.
type Source interface {
	// Metrics lists what can be asked for, sorted by name. The list is constant: it does not depend on which policies
	// exist, so discovery never changes under a client.
	Metrics() []Info
	// Query returns the values of a metric in a namespace whose labels match the selector, in any order. The caller may
	// keep the slice but not modify the labels.
	//
	// It returns ErrUnknownMetric for a name that is not in Metrics, and no values and no error when nothing matches. When
	// any value that matches is stale or not there yet it returns an *UnavailableError instead of the rest: an HPA adds
	// up what it is given, and a part of a sum is a wrong sum.
	Query(namespace, metric string, selector labels.Selector) ([]Value, error)
}

// ObjectLabeler is a Source that knows the labels of the objects that its values describe. It is asked for queries of
// custom.metrics.k8s.io that choose objects by label; without it only the empty selector matches.
type ObjectLabeler interface {
	// ObjectLabels returns the labels of the named object, and whether it exists.
	ObjectLabels(namespace, name string) (labels.Set, bool)
}

// Info describes a metric.
type Info struct {
	// Name is as in Prometheus, with its unit as suffix: prescale_kafka_lag_records.
	Name string
	// Help is one sentence.
	Help string
}

// Value is one value of a metric.
type Value struct {
	// Labels tell the values of one metric apart. Config.ObjectLabel among them names the object that is described.
	Labels labels.Set
	// Value is in the metric's unit; it is rounded to a millionth. NaN and infinities are answered as an error.
	Value float64
	// At is when the value was observed.
	At time.Time
	// Expires is when the value must no longer be served; the server refuses it from then on, even when the Source has
	// stopped moving. Zero means never.
	Expires time.Time
}

// ErrUnknownMetric says that a Source has no metric of that name.
var ErrUnknownMetric = errors.New("unknown metric")

// Cause is why a known metric has no value that could be served.
type Cause string

const (
	// CauseStale means that there was a value, and it is too old.
	CauseStale Cause = "Stale"
	// CauseNotReady means that there has not been a value yet.
	CauseNotReady Cause = "NotReady"
)

// UnavailableError says that a known metric has no value that could be served, and why.
type UnavailableError struct {
	Cause Cause
	// Detail says in a sentence what is missing, since when, and what is known of the reason.
	Detail string
	// RetryAfter is when asking again may help; zero means that it is not known.
	RetryAfter time.Duration
}

func (e *UnavailableError) Error() string {
	if e.Cause == CauseStale {
		return "stale: " + e.Detail
	}
	return "not ready: " + e.Detail
}
