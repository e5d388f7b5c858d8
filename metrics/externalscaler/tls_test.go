package externalscaler

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// pki is an authority that signs a certificate for a server on loopback that is good for a client as well.
type pki struct{ ca, cert, key []byte }

func newPKI(t *testing.T) pki {
	t.Helper()
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		DNSNames: []string{"scaler.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	ca, err1 := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	der, err2 := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, authorityKey)
	keyDER, err3 := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return pki{encode("CERTIFICATE", ca), encode("CERTIFICATE", der), encode("PRIVATE KEY", keyDER)}
}

func (p pki) write(t *testing.T, cfg Config) {
	t.Helper()
	if err := errors.Join(os.WriteFile(cfg.ClientCAFile, p.ca, 0o600), os.WriteFile(cfg.CertFile, p.cert, 0o600), os.WriteFile(cfg.KeyFile, p.key, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// client returns credentials that trust trusted, and show shown's certificate unless it is nil.
func clientOf(t *testing.T, trusted pki, shown *pki) credentials.TransportCredentials {
	t.Helper()
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "scaler.example"}
	cfg.RootCAs.AppendCertsFromPEM(trusted.ca)
	if shown != nil {
		pair, err := tls.X509KeyPair(shown.cert, shown.key)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(cfg)
}

func TestMutualTLS(t *testing.T) {
	dir := t.TempDir()
	cfg := DefaultConfig()
	cfg.CertFile, cfg.KeyFile, cfg.ClientCAFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")
	ours, theirs := newPKI(t), newPKI(t)
	ours.write(t, cfg)
	source := &counts{of: map[string]*float64{}}
	source.set("ai/p", 1)
	for _, test := range []struct {
		name      string
		transport credentials.TransportCredentials
		code      codes.Code
	}{
		{"our authority's client", clientOf(t, ours, &ours), codes.OK},
		{"no client certificate", clientOf(t, ours, nil), codes.Unavailable},
		{"another authority's client", clientOf(t, ours, &theirs), codes.Unavailable},
		{"a client that does not trust us", clientOf(t, theirs, &ours), codes.Unavailable},
		{"plaintext", insecure.NewCredentials(), codes.Unavailable},
	} {
		client := start(t, cfg, source, test.transport)
		if _, err := client.IsActive(t.Context(), ref("p")); status.Code(err) != test.code {
			t.Errorf("%s: got %v, want %v", test.name, err, test.code)
		}
	}
	// New files, no restart: a client of the new authority gets in.
	client := start(t, cfg, source, clientOf(t, theirs, &theirs))
	theirs.write(t, cfg)
	if _, err := client.IsActive(t.Context(), ref("p")); err != nil {
		t.Errorf("after the files changed: %v", err)
	}
}

func TestBadConfig(t *testing.T) {
	for want, cfg := range map[string]Config{
		"externalScaler.listen":    {Address: "9090", Plaintext: true, Poll: 1},
		"mutual TLS":               {Address: ":9090", CertFile: "a", Poll: 1},
		"externalScaler.plaintext": {Address: ":9090", CertFile: "a", Plaintext: true, Poll: 1},
		"externalScaler.poll":      {Address: ":9090", Plaintext: true},
	} {
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %s", cfg, err, want)
		}
	}
}
