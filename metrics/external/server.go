package external

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/apiserver/pkg/server/healthz"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/rest"
	openapicommon "k8s.io/kube-openapi/pkg/common"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver"
	generatedcore "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/core"
	generatedcustom "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/custommetrics"
	generatedexternal "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/externalmetrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/prescale/prescale/metrics/external/certificate"
)

// serverName is how the server calls itself in its OpenAPI document and logs.
const serverName = "prescale"

// selfSignedLifetime is how long a certificate made in memory is good for; it is renewed after two thirds of it.
const selfSignedLifetime = 30 * 24 * time.Hour

// renewCheck is how often Run looks whether the self-signed certificate should be renewed.
const renewCheck = time.Hour

// Server serves the metrics API. Its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	logger   *slog.Logger
	listener net.Listener
	generic  *genericapiserver.GenericAPIServer
	// forwarder is nil unless Config.Forward is set.
	forwarder *forwarder

	// selfSigned is set when the certificate is made here, with the authority that clients in this process trust.
	selfSigned *certificate.Serving
	authority  *certificate.Authority
	cert       dynamiccertificates.CertKeyContentProvider
}

// New listens on cfg.Address and prepares the server; nothing is answered before Run. With AccessDelegated it asks the
// cluster for its authentication settings, and fails when it cannot be reached.
func New(cfg Config, source Source, logger *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, logger: logger}
	now := time.Now //nolint:forbidigo // the serving loop's clock: expiry is judged when a request arrives
	if err := s.loadCertificate(now()); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("listen for the metrics API: %w", err)
	}
	s.listener = listener
	if err := s.build(source, now); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return s, nil
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx is cancelled. Then it withdraws readiness at once, answers for Config.ShutdownDelay more, finishes
// what it is answering, and returns nil.
func (s *Server) Run(ctx context.Context) error {
	renewals, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.renewSelfSigned(renewals)
	}()
	s.logger.Info("serving the metrics API", "address", s.Addr(), "access", string(s.cfg.Access))
	err := s.generic.PrepareRun().RunWithContext(ctx)
	stop()
	<-done
	if err != nil {
		return fmt.Errorf("serve the metrics API: %w", err)
	}
	return nil
}

// renewSelfSigned replaces the self-signed certificate in time, until ctx is cancelled.
func (s *Server) renewSelfSigned(ctx context.Context) {
	if s.selfSigned == nil {
		return
	}
	ticker := time.NewTicker(renewCheck) //nolint:forbidigo // part of Run
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if err := s.tickSelfSigned(now); err != nil {
				s.logger.Error("renewing the self-signed certificate failed; the old one is still served", "error", err)
			}
		}
	}
}

func (s *Server) tickSelfSigned(now time.Time) error {
	if now.Before(s.selfSigned.RenewAt()) {
		return nil
	}
	cert, key, err := s.authority.Issue(s.cfg.Hosts, now, selfSignedLifetime)
	if err != nil {
		return err
	}
	return s.selfSigned.Set(cert, key)
}

func (s *Server) loadCertificate(now time.Time) error {
	switch {
	case s.cfg.CertFile != "":
		content, err := dynamiccertificates.NewDynamicServingContentFromFiles("serving-certificate", s.cfg.CertFile, s.cfg.KeyFile)
		if err != nil {
			return fmt.Errorf("metricsAPI.certFile, metricsAPI.keyFile: %w", err)
		}
		s.cert = content
	case s.cfg.Certificate != nil:
		s.cert = s.cfg.Certificate
	default:
		// The authority lives as long as the process; ten years is longer than that.
		authority, err := certificate.NewAuthority(serverName+" in-memory authority", now, 10*365*24*time.Hour)
		if err != nil {
			return err
		}
		cert, key, err := authority.Issue(s.cfg.Hosts, now, selfSignedLifetime)
		if err != nil {
			return err
		}
		s.authority = authority
		if s.selfSigned, err = certificate.NewServing(cert, key); err != nil {
			return err
		}
		s.cert = s.selfSigned
	}
	return nil
}

// build composes the generic API server from the parts that a metrics API needs: no storage, no admission, no profiling.
func (s *Server) build(source Source, now func() time.Time) error {
	cfg := genericapiserver.NewConfig(apiserver.Codecs)
	cfg.SecureServing = &genericapiserver.SecureServingInfo{
		Listener:      s.listener,
		Cert:          s.cert,
		MinTLSVersion: tls.VersionTLS12,
	}
	// The generic server wants a client for its own hooks; ours have none that calls it.
	cfg.LoopbackClientConfig = &rest.Config{}
	cfg.EnableProfiling = false
	cfg.ShutdownDelayDuration = s.cfg.ShutdownDelay
	// New requests that arrive while the last ones drain get 429 and Retry-After rather than a refused connection. It also
	// bounds the wait for connections, once the requests are done, by 2 s and not by a minute: an HTTP/2 connection whose
	// handshake ends after the shutdown began is not told of it and would be waited for all that time.
	cfg.ShutdownSendRetryAfter = true
	if s.cfg.Forward != nil {
		forwarder, err := newForwarder(*s.cfg.Forward)
		if err != nil {
			return err
		}
		s.forwarder = forwarder
	}
	cfg.BuildHandlerChainFunc = s.handlerChain
	cfg.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(openAPIDefinitions, openapinamer.NewDefinitionNamer(apiserver.Scheme))
	cfg.OpenAPIConfig.Info.Title = serverName
	cfg.OpenAPIConfig.Info.Version = "v1"
	cfg.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(openAPIDefinitions, openapinamer.NewDefinitionNamer(apiserver.Scheme))
	cfg.OpenAPIV3Config.Info.Title = serverName
	cfg.OpenAPIV3Config.Info.Version = "v1"
	if s.cfg.Ready != nil {
		cfg.AddReadyzChecks(healthz.NamedCheck("source", func(*http.Request) error { return s.cfg.Ready() }))
	}
	if s.cfg.Live != nil {
		check := healthz.NamedCheck("loop", func(*http.Request) error { return s.cfg.Live() })
		cfg.AddLivezChecks(check)
		cfg.AddHealthzChecks(check)
	}
	if err := s.authenticate(cfg); err != nil {
		return err
	}
	complete := (&apiserver.Config{GenericConfig: cfg}).Complete(nil)
	// An untyped nil switches the group off.
	var object provider.CustomMetricsProvider
	if s.cfg.Object.Resource != "" {
		object = newObjectProvider(s.cfg, source, now)
	}
	metrics := newExternalProvider(source, now)
	server, err := complete.New(serverName, object, metrics)
	if err != nil {
		return fmt.Errorf("build the metrics API: %w", err)
	}
	if err := addDiscovery(server.GenericAPIServer, metrics, object); err != nil {
		return err
	}
	s.generic = server.GenericAPIServer
	return nil
}

// authenticate sets who may ask.
func (s *Server) authenticate(cfg *genericapiserver.Config) error {
	if s.cfg.Access == AccessOpen {
		cfg.Authentication.Authenticator = anonymous.NewAuthenticator(nil)
		cfg.Authorization.Authorizer = authorizerfactory.NewAlwaysAllowAuthorizer()
		return nil
	}
	authentication := genericoptions.NewDelegatingAuthenticationOptions()
	authentication.RemoteKubeConfigFile = s.cfg.Kubeconfig
	if err := authentication.ApplyTo(&cfg.Authentication, cfg.SecureServing, cfg.OpenAPIConfig); err != nil {
		return fmt.Errorf("delegate authentication to the cluster: %w", err)
	}
	authorization := genericoptions.NewDelegatingAuthorizationOptions()
	authorization.RemoteKubeConfigFile = s.cfg.Kubeconfig
	if err := authorization.ApplyTo(&cfg.Authorization); err != nil {
		return fmt.Errorf("delegate authorization to the cluster: %w", err)
	}
	return nil
}

// handlerChain puts our parts around and inside of the generic server's: forwarding happens once the caller is known and
// allowed.
func (s *Server) handlerChain(api http.Handler, cfg *genericapiserver.Config) http.Handler {
	if s.forwarder != nil {
		api = s.forwarder.before(api)
	}
	return withCaller(genericapiserver.DefaultBuildHandlerChain(api, cfg))
}

func openAPIDefinitions(ref openapicommon.ReferenceCallback) map[string]openapicommon.OpenAPIDefinition {
	all := map[string]openapicommon.OpenAPIDefinition{}
	for _, get := range []openapicommon.GetOpenAPIDefinitions{
		generatedcore.GetOpenAPIDefinitions, generatedcustom.GetOpenAPIDefinitions, generatedexternal.GetOpenAPIDefinitions,
	} {
		for name, definition := range get(ref) {
			all[name] = definition
		}
	}
	return all
}
