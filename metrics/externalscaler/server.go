// Package externalscaler answers KEDA's gRPC interface for external scalers, for clusters in which KEDA owns
// external.metrics.k8s.io. Its main type is Server, which answers from a Source in memory.
//
// A ScaledObject names its policy in the trigger's metadata (policy: NAME; by default the ScaledObject's own name), and
// its pool where the policy is split over several (pool: NAME). The metric is the wanted count with a target of one. A policy
// without a fresh answer is an error, so that KEDA and its HPA keep the replicas that there are; what is asked for
// (GetMetricSpec) is answered from configuration alone, so that a ScaledObject can always be set up. The package decides nothing.
package externalscaler

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/prescale/prescale/metrics/externalscaler/protocol"
)

// MetricName is the name of the one metric that is served.
const MetricName = "prescale_desired_replicas"

// policyKey and poolKey are the keys of the trigger's metadata that name the policy, and its pool where it has several.
const (
	policyKey = "policy"
	poolKey   = "pool"
)

// Source holds the newest decisions. It answers from memory and is called concurrently.
type Source interface {
	// Desired returns the wanted replicas of a policy, or of one pool of it where it is split over pools; else pool is empty.
	// It returns ErrUnknownPolicy for one that does not exist, an ErrUnknownPool that says which there are where pool is none
	// of the policy's, and any other error, which says why, when there is no fresh answer.
	Desired(namespace, policy, pool string) (float64, error)
}

// ErrUnknownPolicy says that a Source has no policy of that name, ErrUnknownPool that the policy has no such pool.
var (
	ErrUnknownPolicy = errors.New("unknown policy")
	ErrUnknownPool   = errors.New("unknown pool")
)

// Config says where and to whom a Server answers.
type Config struct {
	// Address is host:port. Port 0 takes a free one.
	Address string
	// CertFile and KeyFile are our certificate, ClientCAFile the authority of KEDA's. All three are read at every
	// handshake, so that new ones need no restart.
	CertFile, KeyFile, ClientCAFile string
	// Plaintext serves without TLS: KEDA's own default. Anyone who can connect may read every policy's count.
	Plaintext bool
	// Poll is how often a stream looks for a change. Default 1s.
	Poll time.Duration
}

// DefaultConfig answers on every interface, under mutual TLS with files still to be named.
func DefaultConfig() Config { return Config{Address: ":9090", Poll: time.Second} }

// Validate reports every problem, each with the key path of the daemon's configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, _, err := net.SplitHostPort(c.Address); err != nil {
		bad("externalScaler.listen: %q: want host:port such as :9090", c.Address)
	}
	files := 0
	for _, f := range []string{c.CertFile, c.KeyFile, c.ClientCAFile} {
		if f != "" {
			files++
		}
	}
	switch {
	case c.Plaintext && files > 0:
		bad("externalScaler.plaintext: true with certificate files: want one or the other")
	case !c.Plaintext && files < 3:
		bad("externalScaler: want certFile, keyFile and clientCAFile for mutual TLS, or plaintext: true")
	}
	if c.Poll <= 0 {
		bad("externalScaler.poll: %v: want a positive duration such as 1s", c.Poll)
	}
	return errors.Join(errs...)
}

// Server serves KEDA's interface. It is safe for concurrent use.
type Server struct {
	protocol.UnimplementedExternalScalerServer

	cfg      Config
	source   Source
	logger   *slog.Logger
	listener net.Listener
	grpc     *grpc.Server
	// stopping is closed when Run ends, so that streams do.
	stopping chan struct{}
}

// New listens; nothing is answered before Run.
func New(cfg Config, source Source, logger *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, source: source, logger: logger, stopping: make(chan struct{})}
	transport := insecure.NewCredentials()
	if !cfg.Plaintext {
		if _, err := s.tlsConfig(); err != nil {
			return nil, err
		}
		transport = credentials.NewTLS(&tls.Config{
			MinVersion:         tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.tlsConfig() },
		})
	}
	listener, err := net.Listen("tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("listen for KEDA: %w", err)
	}
	s.listener = listener
	s.grpc = grpc.NewServer(grpc.Creds(transport), grpc.ConnectionTimeout(handshakeTimeout))
	protocol.RegisterExternalScalerServer(s.grpc, s)
	return s, nil
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// handshakeTimeout is how long one who connects may stay silent. The end of Run waits for as long, for no part of gRPC closes such a
// connection before; by its default that is two minutes, and Kubernetes kills after half of one.
const handshakeTimeout = 5 * time.Second

// stopWithin is how long the end of Run waits for what is being answered: a stream whose client reads nothing may wait to send for ever.
const stopWithin = handshakeTimeout + time.Second

// Run serves until ctx is cancelled, finishes what it is answering, and returns nil.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		close(s.stopping)
		hard := time.AfterFunc(stopWithin, s.grpc.Stop)
		defer hard.Stop()
		s.grpc.GracefulStop()
	})
	defer stop()
	s.logger.Info("serving KEDA's external scaler", "address", s.Addr(), "mutualTLS", !s.cfg.Plaintext)
	if err := s.grpc.Serve(s.listener); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve KEDA: %w", err)
	}
	return nil
}

func (s *Server) tlsConfig() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(s.cfg.CertFile, s.cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("externalScaler.certFile, externalScaler.keyFile: %w", err)
	}
	authority, err := os.ReadFile(s.cfg.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("externalScaler.clientCAFile: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("externalScaler.clientCAFile: %s: no certificate in PEM", s.cfg.ClientCAFile)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
		NextProtos:   []string{"h2"},
	}, nil
}

// GetMetricSpec says what will be measured: the wanted count, one for each replica. It needs no decision.
func (s *Server) GetMetricSpec(_ context.Context, ref *protocol.ScaledObjectRef) (*protocol.GetMetricSpecResponse, error) {
	if err := s.named(ref); err != nil {
		return nil, err
	}
	return spec(), nil
}

// StreamMetricSpec sends the spec, which never changes, and then holds the stream open.
func (s *Server) StreamMetricSpec(ref *protocol.ScaledObjectRef, stream grpc.ServerStreamingServer[protocol.GetMetricSpecResponse]) error {
	if err := s.named(ref); err != nil {
		return err
	}
	if err := stream.Send(spec()); err != nil {
		return err
	}
	select {
	case <-stream.Context().Done():
	case <-s.stopping:
	}
	return nil
}

// GetMetrics returns the wanted count.
func (s *Server) GetMetrics(_ context.Context, request *protocol.GetMetricsRequest) (*protocol.GetMetricsResponse, error) {
	if name := request.GetMetricName(); name != MetricName {
		return nil, status.Errorf(codes.NotFound, "there is no metric %q, only %s", name, MetricName)
	}
	n, err := s.desired(request.GetScaledObjectRef())
	if err != nil {
		return nil, err
	}
	return &protocol.GetMetricsResponse{MetricValues: []*protocol.MetricValue{{
		MetricName: MetricName, MetricValue: int64(math.Ceil(n)), MetricValueFloat: n,
	}}}, nil
}

// IsActive reports whether any replica is wanted.
func (s *Server) IsActive(_ context.Context, ref *protocol.ScaledObjectRef) (*protocol.IsActiveResponse, error) {
	n, err := s.desired(ref)
	if err != nil {
		return nil, err
	}
	return &protocol.IsActiveResponse{Result: n > 0}, nil
}

// StreamIsActive sends whether any replica is wanted, now and at every change. Without a fresh answer it is silent: KEDA
// keeps what it was told last.
func (s *Server) StreamIsActive(ref *protocol.ScaledObjectRef, stream grpc.ServerStreamingServer[protocol.IsActiveResponse]) error {
	if err := s.named(ref); err != nil {
		return err
	}
	ticker := time.NewTicker(s.cfg.Poll) //nolint:forbidigo // part of Run: one stream's loop
	defer ticker.Stop()
	sent, last := false, false
	for {
		n, err := s.desired(ref)
		if status.Code(err) == codes.NotFound {
			return err
		}
		if active := n > 0; err == nil && (!sent || active != last) {
			if err := stream.Send(&protocol.IsActiveResponse{Result: active}); err != nil {
				return err
			}
			sent, last = true, active
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-s.stopping:
			return nil
		case <-ticker.C:
		}
	}
}

func (s *Server) named(ref *protocol.ScaledObjectRef) error {
	if policyOf(ref) == "" || ref.GetNamespace() == "" {
		return status.Error(codes.InvalidArgument, "no policy named: set metadata.policy in the trigger of the ScaledObject")
	}
	return nil
}

func (s *Server) desired(ref *protocol.ScaledObjectRef) (float64, error) {
	if err := s.named(ref); err != nil {
		return 0, err
	}
	n, err := s.source.Desired(ref.GetNamespace(), policyOf(ref), ref.GetScalerMetadata()[poolKey])
	switch {
	case errors.Is(err, ErrUnknownPolicy):
		return 0, status.Errorf(codes.NotFound, "there is no policy %s in namespace %s", policyOf(ref), ref.GetNamespace())
	case errors.Is(err, ErrUnknownPool):
		return 0, status.Error(codes.NotFound, err.Error())
	case err != nil:
		return 0, status.Error(codes.Unavailable, err.Error())
	}
	return n, nil
}

func policyOf(ref *protocol.ScaledObjectRef) string {
	if name := ref.GetScalerMetadata()[policyKey]; name != "" {
		return name
	}
	return ref.GetName()
}

func spec() *protocol.GetMetricSpecResponse {
	return &protocol.GetMetricSpecResponse{MetricSpecs: []*protocol.MetricSpec{{
		MetricName: MetricName, TargetSize: 1, TargetSizeFloat: 1,
	}}}
}
