package external

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

type clientGoKey struct{}

// withCaller notes in the request's context whether client-go is asking.
//
// client-go obeys a Retry-After header on any 5xx by waiting and asking again, ten times, inside one call
// (k8s.io/client-go/rest, with_retry.go and request.go, maxRetries). The HPA controller has five workers; a Retry-After of
// 15 s on a stale metric would hold each of them for 150 s, and five stale metrics would stop every HPA of the cluster. So
// the header goes to everyone else, and client-go gets the error at once and comes back at its next sync.
func withCaller(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.UserAgent(), " kubernetes/") {
			r = r.WithContext(context.WithValue(r.Context(), clientGoKey{}, true))
		}
		next.ServeHTTP(w, r)
	})
}

// statusError turns what a Source returned into what goes over the wire.
func statusError(ctx context.Context, group, metric string, err error) *apierrors.StatusError {
	var unavailable *UnavailableError
	if !errors.As(err, &unavailable) {
		return apierrors.NewInternalError(fmt.Errorf("metric %s: %w", metric, err))
	}
	status := metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusServiceUnavailable,
		Reason:  metav1.StatusReasonServiceUnavailable,
		Message: fmt.Sprintf("metric %s: %v", metric, unavailable),
		Details: &metav1.StatusDetails{
			Group: group,
			Name:  metric,
			Causes: []metav1.StatusCause{{
				Type:    metav1.CauseType(unavailable.Cause),
				Message: unavailable.Detail,
				Field:   metric,
			}},
		},
	}
	if ctx.Value(clientGoKey{}) == nil && unavailable.RetryAfter > 0 {
		// The API server's machinery writes the Retry-After header from this field.
		status.Details.RetryAfterSeconds = int32(math.Ceil(min(unavailable.RetryAfter, time.Hour).Seconds()))
	}
	return &apierrors.StatusError{ErrStatus: status}
}

// notFound says that there is no such metric for the object.
func notFound(object schema.GroupResource, name, metric string) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusNotFound,
		Reason:  metav1.StatusReasonNotFound,
		Message: fmt.Sprintf("there is no metric %s for %s %q", metric, object, name),
		Details: &metav1.StatusDetails{Group: object.Group, Kind: object.Resource, Name: name},
	}}
}

// CauseOf returns the cause that a client's error carries, and whether it carries one.
func CauseOf(err error) (Cause, bool) {
	for _, cause := range []Cause{CauseStale, CauseNotReady} {
		if apierrors.HasStatusCause(err, metav1.CauseType(cause)) {
			return cause, true
		}
	}
	return "", false
}
