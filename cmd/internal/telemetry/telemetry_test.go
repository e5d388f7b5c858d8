package telemetry

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServesAndStops(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	s := New(Config{
		Listener: listener, Gatherer: NewRegistry(), Logger: slog.New(slog.DiscardHandler),
		Ready:      func() error { return errors.New("no sample yet") },
		Pages:      http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") }),
		OnShutdown: func() { ended = true },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, c := range []struct {
		path, want string
		status     int
	}{
		{"/metrics", "go_goroutines", 200},
		{"/livez", "ok", 200},
		{"/readyz", "no sample yet", 503},
		{"/anything", "page", 200},
	} {
		response, err := client.Get("http://" + listener.Addr().String() + c.path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != c.status || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: got %d %q, want %d with %q", c.path, response.StatusCode, body, c.status, c.want)
		}
	}
	cancel()
	if err := <-done; err != nil || !ended {
		t.Errorf("Run returned %v and told of the shutdown: %t; want nil and true", err, ended)
	}
}

// A client that keeps its connection is told to close it by the answer to its next request, and loses none; the end waits no longer
// than for that.
func TestCallersAreAskedToClose(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stopping := make(chan struct{})
	s := New(Config{
		Listener: listener, Gatherer: NewRegistry(), Logger: slog.New(slog.DiscardHandler),
		OnShutdown: func() { close(stopping) }, Drain: time.Hour,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{}}
	get := func(closes bool) {
		response, err := client.Get("http://" + listener.Addr().String() + "/livez")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.Close != closes {
			t.Errorf("told to close: %v, want %v", response.Close, closes)
		}
	}
	get(false)
	cancel()
	<-stopping
	get(true)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRunFailsOnAClosedListener(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	s := New(Config{Listener: listener, Gatherer: NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), listener.Addr().String()) {
		t.Errorf("got %v, want an error that names the address", err)
	}
}

// TestAnIdleConnectionIsClosed: callers that never come back hold no connection for ever.
func TestAnIdleConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		listener := &one{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
		listener.conns <- server
		s := New(Config{Listener: listener, Gatherer: NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		if _, err := io.WriteString(client, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer := bufio.NewReader(client)
		response, err := http.ReadResponse(answer, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		began := time.Now()
		if _, err := answer.ReadByte(); err == nil || time.Since(began) != idleTimeout {
			t.Errorf("closed after %v (%v), want %v", time.Since(began), err, idleTimeout)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// one is a listener of one connection.
type one struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *one) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *one) Close() error {
	close(l.closed)
	return nil
}

func (l *one) Addr() net.Addr { return &net.TCPAddr{} }
