package external

import (
	"fmt"
	"net"

	"k8s.io/client-go/rest"
)

// ClientConfig returns what a client in this process needs to reach the server: its loopback address and the certificate
// to trust. It carries no identity, so it serves AccessOpen; with AccessDelegated add a token or client certificate. It
// panics when the certificate is not the self-signed one, whose trust is not the server's to give.
//
// The client does not hold itself back: the default five queries a second of client-go are off.
func (s *Server) ClientConfig() *rest.Config {
	if s.authority == nil {
		panic("external: ClientConfig of a server whose certificate comes from elsewhere")
	}
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		panic(fmt.Sprintf("external: listening on %q: %v", s.Addr(), err))
	}
	return &rest.Config{
		Host: "https://" + net.JoinHostPort("127.0.0.1", port),
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: s.cfg.Hosts[0],
			CAData:     s.authority.CertPEM(),
		},
		QPS: -1,
	}
}
