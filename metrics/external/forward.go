package external

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver"
)

// kedaSelector is the label by which KEDA's own queries name the ScaledObject that they are for.
const kedaSelector = "scaledobject.keda.sh/name"

// Forward hands queries to the former owner of external.metrics.k8s.io, because a cluster has one owner only. A query is
// handed on after its caller has been authenticated and authorised here, and the former owner authorises it again under
// the same name.
type Forward struct {
	// URL is the former owner's service: https://keda-operator-metrics-apiserver.keda.svc.
	URL string
	// CAFile holds the certificates that the former owner is verified against. There is no insecure way.
	CAFile string
	// ServerName is the name that its certificate is for, when that is not the URL's host.
	ServerName string

	// Selectors are label keys: a query whose selector speaks of one is handed on.
	Selectors []string
	// Metrics are regular expressions; a query for a metric whose whole name matches one is handed on.
	Metrics []string

	// ProxyCertFile and ProxyKeyFile are a front-proxy client certificate that the former owner trusts; with it the
	// caller's identity goes in X-Remote headers, as the aggregator sends it.
	ProxyCertFile, ProxyKeyFile string
	// TokenFile is used when there is no front-proxy certificate: our own service account's token, with the caller's
	// identity in Impersonate headers. Our account then needs the verb impersonate on those callers.
	TokenFile string

	// Timeout is how long the former owner may take to answer; 0 means 10 s. One of the five workers of the HPA's controller waits
	// meanwhile.
	Timeout time.Duration
}

// DefaultForward hands on what KEDA asks itself for, with the pod's own token. It names no former owner.
func DefaultForward() Forward {
	return Forward{
		Selectors: []string{kedaSelector},
		TokenFile: "/var/run/secrets/kubernetes.io/serviceaccount/token",
	}
}

// Validate reports every problem, each with the key path of the daemon's configuration.
func (f *Forward) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if u, err := url.Parse(f.URL); err != nil || u.Scheme != "https" || u.Host == "" {
		bad("metricsAPI.forward.url: %q: want https://service.namespace.svc", f.URL)
	}
	if f.CAFile == "" {
		bad("metricsAPI.forward.caFile: want a file with the certificates that the former owner is verified against")
	}
	if len(f.Selectors) == 0 && len(f.Metrics) == 0 {
		bad("metricsAPI.forward: want selectors or metrics, or nothing is handed on")
	}
	for i, pattern := range f.Metrics {
		if _, err := regexp.Compile(pattern); err != nil {
			bad("metricsAPI.forward.metrics[%d]: %q: %w", i, pattern, err)
		}
	}
	switch {
	case (f.ProxyCertFile == "") != (f.ProxyKeyFile == ""):
		bad("metricsAPI.forward.proxyCertFile, metricsAPI.forward.proxyKeyFile: want both or neither")
	case f.ProxyCertFile == "" && f.TokenFile == "":
		bad("metricsAPI.forward: want proxyCertFile and proxyKeyFile, or tokenFile")
	}
	return errors.Join(errs...)
}

// forwarder is a Forward in use.
type forwarder struct {
	target    *url.URL
	base      http.RoundTripper
	proxyCert bool
	selectors map[string]bool
	metrics   []*regexp.Regexp
	timeout   time.Duration
}

func newForwarder(f Forward) (*forwarder, error) {
	target, err := url.Parse(f.URL)
	if err != nil {
		return nil, fmt.Errorf("metricsAPI.forward.url: %w", err)
	}
	cfg := &rest.Config{
		Host:            f.URL,
		TLSClientConfig: rest.TLSClientConfig{CAFile: f.CAFile, ServerName: f.ServerName},
	}
	if f.ProxyCertFile != "" {
		cfg.CertFile, cfg.KeyFile = f.ProxyCertFile, f.ProxyKeyFile
	} else {
		cfg.BearerTokenFile = f.TokenFile
	}
	base, err := rest.TransportFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("metricsAPI.forward: %w", err)
	}
	w := &forwarder{
		target: target, base: base, proxyCert: f.ProxyCertFile != "", selectors: map[string]bool{},
		timeout: cmp.Or(f.Timeout, 10*time.Second),
	}
	for _, key := range f.Selectors {
		w.selectors[key] = true
	}
	for _, pattern := range f.Metrics {
		w.metrics = append(w.metrics, regexp.MustCompile("^(?:"+pattern+")$"))
	}
	return w, nil
}

// before returns next with the forwarding in front of it.
func (w *forwarder) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(response http.ResponseWriter, r *http.Request) {
		info, ok := request.RequestInfoFrom(r.Context())
		caller, known := request.UserFrom(r.Context())
		if !ok || !known || !w.wants(info, r) {
			next.ServeHTTP(response, r)
			return
		}
		proxy := httputil.ReverseProxy{
			Rewrite: func(p *httputil.ProxyRequest) {
				p.SetURL(w.target)
				stripIdentity(p.Out.Header)
			},
			Transport:    w.as(caller),
			ErrorHandler: failed,
		}
		ctx, cancel := context.WithTimeout(r.Context(), w.timeout)
		defer cancel()
		proxy.ServeHTTP(response, r.WithContext(ctx))
	})
}

func (w *forwarder) wants(info *request.RequestInfo, r *http.Request) bool {
	if !info.IsResourceRequest || info.APIGroup != external_metrics.GroupName || info.Resource == "" {
		return false
	}
	for _, pattern := range w.metrics {
		if pattern.MatchString(info.Resource) {
			return true
		}
	}
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		return false
	}
	requirements, _ := selector.Requirements()
	for _, requirement := range requirements {
		if w.selectors[requirement.Key()] {
			return true
		}
	}
	return false
}

// as returns a transport that speaks for the caller.
func (w *forwarder) as(caller user.Info) http.RoundTripper {
	if w.proxyCert {
		return transport.NewAuthProxyRoundTripper(caller.GetName(), caller.GetUID(), caller.GetGroups(), caller.GetExtra(), w.base)
	}
	return transport.NewImpersonatingRoundTripper(transport.ImpersonationConfig{
		UserName: caller.GetName(), UID: caller.GetUID(), Groups: caller.GetGroups(), Extra: caller.GetExtra(),
	}, w.base)
}

// stripIdentity removes what the client said of itself: only what we authenticated goes on.
func stripIdentity(h http.Header) {
	for key := range h {
		lower := strings.ToLower(key)
		if lower == "authorization" || lower == "cookie" || strings.HasPrefix(lower, "x-remote-") ||
			strings.HasPrefix(lower, "impersonate-") {
			delete(h, key) // as it is written, which Del would not find were it not the usual way
		}
	}
}

func failed(w http.ResponseWriter, r *http.Request, err error) {
	status := apierrors.NewServiceUnavailable(fmt.Sprintf("the former owner of %s did not answer: %v", external_metrics.GroupName, err))
	responsewriters.ErrorNegotiated(status, apiserver.Codecs,
		schema.GroupVersion{Group: external_metrics.GroupName, Version: "v1beta1"}, w, r)
}
