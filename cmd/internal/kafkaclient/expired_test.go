package kafkaclient

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	rig "github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/metrics/collector/kafka"
)

// TestBrokersCertificateExpired: the error names cluster, protection and cause, and what to do.
func TestBrokersCertificateExpired(t *testing.T) {
	authority, err := rig.NewAuthority("test authority")
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := authority.Issue(rig.Certificate{Name: "broker", Server: true, NotAfter: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func(conn net.Conn) {
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 1)) // shakes hands, or fails to
			}(conn)
		}
	}()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	config := Config{Brokers: []string{listener.Addr().String()}, TLS: &TLS{CAFile: ca}}
	client, err := kgo.NewClient(config.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	settings := kafka.DefaultConfig()
	settings.Cluster, settings.Security = "main", config.Security()
	c, err := kafka.New(settings, client, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Collect(t.Context(), time.Now()); err == nil {
		t.Fatal("it was trusted")
	}
	for _, part := range []string{"cluster main (TLS)", "certificate has expired", "it is the brokers' certificate"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q, want it to say %q", err, part)
		}
	}
}
