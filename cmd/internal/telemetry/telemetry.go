// Package telemetry is how a binary is watched: a Prometheus registry with the process's own metrics, and an HTTP server that
// serves /metrics, /livez and /readyz beside whatever pages the binary adds, and that shuts down cleanly. It defines no
// metric of its own: a component builds its metrics from the registerer that it is given.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewRegistry returns a registry with the metrics of the Go runtime, the process and the build.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	return r
}

// shutdownGrace is how long open requests may take once the server stops.
const shutdownGrace = 10 * time.Second

// idleTimeout is how long a connection may wait for its next request: longer than the minute that passes between two scrapes mostly.
const idleTimeout = 3 * time.Minute

// Config is what a Server is made with.
type Config struct {
	// Listener is served and closed by Run.
	Listener net.Listener
	// Gatherer answers /metrics.
	Gatherer prometheus.Gatherer
	// Live and Ready answer /livez and /readyz: nil is well, an error is 503 with its text. A nil func is always well. Live means
	// that the loop still ticks, Ready that there is enough data to answer.
	Live, Ready func() error
	// Pages answers every other path; nil answers 404.
	Pages http.Handler
	// OnShutdown is called when Run begins to stop, so that streams can end.
	OnShutdown func()
	// Drain is for how long at most clients are then asked to close their connections, each with the answer to its next request:
	// one that is closed by the server while a request is on its way loses that request. It ends when no connection is left.
	// 0 closes those that are idle at once.
	Drain  time.Duration
	Logger *slog.Logger
}

// Server serves over HTTP. Make it with New.
type Server struct {
	config   Config
	http     *http.Server
	stopping atomic.Bool
	open     atomic.Int64 // connections
}

// New returns a Server that does not serve yet.
func New(config Config) *Server {
	mux := http.NewServeMux()
	// A metric that cannot be collected fails the whole scrape: a scrape that silently lacks it would read as a gap.
	mux.Handle("GET /metrics", promhttp.HandlerFor(config.Gatherer, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(config.Logger.Handler(), slog.LevelError),
	}))
	mux.HandleFunc("GET /livez", probe(config.Live))
	mux.HandleFunc("GET /readyz", probe(config.Ready))
	if config.Pages != nil {
		mux.Handle("/", config.Pages)
	}
	s := &Server{config: config}
	s.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if s.stopping.Load() {
				w.Header().Set("Connection", "close")
			}
			mux.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(config.Logger.Handler(), slog.LevelWarn),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.open.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.open.Add(-1)
			default:
			}
		},
	}
	return s
}

func probe(well func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if well != nil {
			if err := well(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintln(w, "ok")
	}
}

// Run serves until the context ends and returns nil after a clean shutdown. Requests that are still open after Config.Drain have
// shutdownGrace to finish before their connections are cut.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.config.Listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP on %s: %w", s.config.Listener.Addr(), err)
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	if s.config.OnShutdown != nil {
		s.config.OnShutdown()
	}
	s.drain()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	err := s.http.Shutdown(grace)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// drain waits until clients have closed their connections, Config.Drain at most.
func (s *Server) drain() {
	end := time.After(s.config.Drain)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for s.config.Drain > 0 && s.open.Load() > 0 {
		select {
		case <-end:
			return
		case <-look.C:
		}
	}
}
