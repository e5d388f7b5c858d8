// Package certificate makes and keeps the serving certificate of the metrics API: an Authority that signs, and a Serving
// pair that can be changed while connections are being accepted. Where an authority is kept between restarts is its
// caller's business.
package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// clockSkew is how far before now a certificate begins, so that a peer whose clock is behind accepts it.
const clockSkew = 5 * time.Minute

// Authority signs serving certificates. It is immutable and safe for concurrent use.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	certPEM     []byte
	keyPEM      []byte
}

// NewAuthority makes a self-signed authority (ECDSA P-256) that is valid from now for the lifetime.
func NewAuthority(name string, now time.Time, lifetime time.Duration) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate authority key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("encode authority key: %w", err)
	}
	id := sha256.Sum256(public)
	template, err := newTemplate(name, now, lifetime)
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	// Two authorities of one name stand in the bundle during rotation; verifiers tell them apart by this identifier.
	template.SubjectKeyId = id[:20]
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign authority: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return ParseAuthority(encodeCertificate(der), keyPEM)
}

// ParseAuthority reads an authority that CertPEM and KeyPEM wrote.
func ParseAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("parse authority: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("parse authority: the key is a %T: want ECDSA", pair.PrivateKey)
	}
	if !pair.Leaf.IsCA {
		return nil, errors.New("parse authority: the certificate is not one of an authority (CA:TRUE)")
	}
	return &Authority{certificate: pair.Leaf, key: key, certPEM: certPEM, keyPEM: keyPEM}, nil
}

// CertPEM returns the authority's own certificate, which clients trust. It must not be modified.
func (a *Authority) CertPEM() []byte { return a.certPEM }

// KeyPEM returns the authority's key, a secret. It must not be modified.
func (a *Authority) KeyPEM() []byte { return a.keyPEM }

// RenewAt is when a new authority should take over: after two thirds of its life.
func (a *Authority) RenewAt() time.Time { return renewAt(a.certificate) }

// Issue makes a serving certificate for hosts, DNS names or IP addresses, valid from now for the lifetime or until the
// authority ends, whichever is sooner.
func (a *Authority) Issue(hosts []string, now time.Time, lifetime time.Duration) (certPEM, keyPEM []byte, err error) {
	if len(hosts) == 0 {
		return nil, nil, errors.New("issue serving certificate: no host named")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate serving key: %w", err)
	}
	template, err := newTemplate(hosts[0], now, lifetime)
	if err != nil {
		return nil, nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if template.NotAfter.After(a.certificate.NotAfter) {
		template.NotAfter = a.certificate.NotAfter
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign serving certificate: %w", err)
	}
	keyPEM, err = encodeKey(key)
	if err != nil {
		return nil, nil, err
	}
	return encodeCertificate(der), keyPEM, nil
}

// Serving is a serving certificate that can be changed at any time. It is safe for concurrent use.
type Serving struct {
	mu        sync.Mutex
	cert, key []byte
	renewAt   time.Time
	listeners []dynamiccertificates.Listener
}

var _ dynamiccertificates.CertKeyContentProvider = (*Serving)(nil)

// NewServing returns a Serving that holds the pair.
func NewServing(certPEM, keyPEM []byte) (*Serving, error) {
	s := &Serving{}
	if err := s.Set(certPEM, keyPEM); err != nil {
		return nil, err
	}
	return s, nil
}

// Set replaces the pair; new connections get it. On error the old pair stays.
func (s *Serving) Set(certPEM, keyPEM []byte) error {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("serving certificate: %w", err)
	}
	s.mu.Lock()
	s.cert, s.key, s.renewAt = certPEM, keyPEM, renewAt(pair.Leaf)
	listeners := s.listeners
	s.mu.Unlock()
	for _, l := range listeners {
		l.Enqueue()
	}
	return nil
}

// RenewAt is when the pair should be replaced: after two thirds of its life.
func (s *Serving) RenewAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewAt
}

// Name identifies the certificate in the API server's logs.
func (s *Serving) Name() string { return "serving-certificate" }

// CurrentCertKeyContent returns the pair in PEM.
func (s *Serving) CurrentCertKeyContent() (certPEM, keyPEM []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cert, s.key
}

// AddListener has the listener told of every change.
func (s *Serving) AddListener(l dynamiccertificates.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, l)
}

func renewAt(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) * 2 / 3)
}

func newTemplate(name string, now time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw serial number: %w", err)
	}
	// A common name may hold 64 characters at most (RFC 5280, appendix A.1, ub-common-name).
	if len(name) > 64 {
		name = name[:64]
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(lifetime),
	}, nil
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
