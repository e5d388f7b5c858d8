package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"syscall"

	"github.com/twmb/franz-go/pkg/kerr"
)

// ErrNoAnswer is the cause when a broker was asked and said nothing in time.
var ErrNoAnswer = errors.New("no answer")

// Remedy says what a person can do about an error of reaching a cluster, as the end of a sentence; "" where that is not known.
func Remedy(err error) string {
	var name *net.DNSError
	var plain tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return ": check the host name of the bootstrap address"
	case errors.Is(err, syscall.ECONNREFUSED):
		return ": nothing listens there: check the port, and whether the broker runs"
	case errors.As(err, &plain):
		return ": that listener does not speak TLS: take the port of one that does, or leave tls out"
	case errors.As(err, &authority):
		return ": set tls.caFile to the authority of the brokers' certificates"
	case errors.As(err, &host):
		return ": use a name that the certificate carries, or set tls.serverName to one"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ": it is the brokers' certificate: renew it, or set this machine's clock"
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return ": check the user, its secret, and that the mechanism is the one that the secret was made for"
	case errors.Is(err, ErrNoAnswer):
		return ": a listener that wants TLS or SASL does not answer without: check the port, tls and sasl"
	}
	return ""
}
