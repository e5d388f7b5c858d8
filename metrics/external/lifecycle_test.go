package external_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/external"
	"github.com/prescale/prescale/metrics/external/certificate"
)

func TestReadinessIsTheSources(t *testing.T) {
	var ready atomic.Bool
	cfg := external.DefaultConfig()
	cfg.Ready = func() error {
		if ready.Load() {
			return nil
		}
		return errors.New("no policy has a sample yet")
	}
	server := start(t, cfg, newMemory())
	if response, _ := get(t, server, "/readyz"); response.StatusCode != http.StatusInternalServerError {
		t.Errorf("before: got %s", response.Status)
	}
	if response, _ := get(t, server, "/livez"); response.StatusCode != http.StatusOK {
		t.Errorf("live before ready: got %s", response.Status)
	}
	ready.Store(true)
	if response, body := get(t, server, "/readyz"); response.StatusCode != http.StatusOK {
		t.Errorf("after: got %s: %s", response.Status, body)
	}
}

// running returns a server that is ready; cancel begins its shutdown and done tells how Run ended.
func running(t *testing.T, cfg external.Config) (server *external.Server, cancel context.CancelFunc, done <-chan error) {
	t.Helper()
	server, err := external.New(cfg, newMemory(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	for {
		if response, _ := get(t, server, "/readyz"); response.StatusCode == http.StatusOK {
			return server, cancel, ended
		}
	}
}

// TestShutdownWithdrawsReadinessFirst: after the context is cancelled /readyz fails at once while queries are still
// answered, and then Run returns.
func TestShutdownWithdrawsReadinessFirst(t *testing.T) {
	cfg := external.DefaultConfig()
	cfg.ShutdownDelay = 5 * time.Second
	server, cancel, done := running(t, cfg)
	cancel()
	for {
		response, _ := get(t, server, "/readyz")
		if response.StatusCode == http.StatusInternalServerError {
			break
		}
		select {
		case err := <-done:
			t.Fatalf("Run returned before readiness was withdrawn: %v", err)
		default:
		}
	}
	if response, body := get(t, server, em+"/namespaces/ai/desired"); response.StatusCode != http.StatusOK {
		t.Errorf("a query after readiness was withdrawn: got %s: %s", response.Status, body)
	}
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A connection whose handshake ends after the shutdown began, and whose client then says nothing, does not hold it up.
func TestShutdownDoesNotWaitForALateConnection(t *testing.T) {
	server, cancel, done := running(t, external.DefaultConfig())
	early, err := net.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	cancel()
	for {
		conn, err := net.Dial("tcp", server.Addr())
		if err != nil {
			break // it listens no more: the shutdown has begun
		}
		conn.Close()
	}
	client := tls.Client(early, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(40 * time.Second): // without the bound it is a minute
		t.Error("Run still waits for the connection")
	}
}

func TestAddressInUseAndBadConfigAreRefused(t *testing.T) {
	server := start(t, external.DefaultConfig(), newMemory())
	taken := external.DefaultConfig()
	taken.Address = server.Addr()
	if _, err := external.New(taken, newMemory(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), server.Addr()) {
		t.Errorf("an address in use: got %v", err)
	}
	bad := external.DefaultConfig()
	bad.Address, bad.CertFile, bad.ShutdownDelay = "0.0.0.0:6443", "tls.crt", -1
	bad.Forward = &external.Forward{URL: "http://keda", Metrics: []string{"("}}
	err := bad.Validate()
	for _, want := range []string{
		"metricsAPI.access: Open: only allowed on a loopback address", "metricsAPI.certFile, metricsAPI.keyFile", "metricsAPI.shutdownDelay",
		"metricsAPI.forward.url", "metricsAPI.forward.caFile", "metricsAPI.forward.metrics[0]", "proxyCertFile and proxyKeyFile, or tokenFile",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

// TestCertificateFilesAreReRead: a pair that is replaced on disk is served without a restart.
func TestCertificateFilesAreReRead(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	authority, err := certificate.NewAuthority("test", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	write := func(host string) {
		cert, key, err := authority.Issue([]string{host}, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.WriteFile(keyFile, key, 0o600), os.WriteFile(certFile, cert, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("first.example")
	cfg := external.DefaultConfig()
	cfg.CertFile, cfg.KeyFile = certFile, keyFile
	server, err := external.New(cfg, newMemory(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.CertPEM())
	handshake := func(host string) error {
		c, err := tls.Dial("tcp", server.Addr(), &tls.Config{RootCAs: roots, ServerName: host})
		if err != nil {
			return err
		}
		return c.Close()
	}
	await := func(host string) {
		t.Helper()
		var last error
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
			if last = handshake(host); last == nil {
				return
			}
		}
		t.Fatalf("%s: %v", host, last)
	}
	await("first.example")
	write("second.example")
	await("second.example")
	if err := handshake("first.example"); err == nil {
		t.Error("the first certificate is still served")
	}
}
