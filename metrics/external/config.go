package external

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// Access says who may ask.
type Access string

const (
	// AccessDelegated asks the cluster's API server who each caller is (TokenReview, or the aggregator's headers under its
	// client certificate) and whether it may (SubjectAccessReview). Answers are kept for ten seconds.
	AccessDelegated Access = "Delegated"
	// AccessOpen answers everyone who can connect. It is for a demo or a test and only allowed on a loopback address.
	AccessOpen Access = "Open"
)

// Config says where and to whom a Server answers.
type Config struct {
	// Address is the TCP address to listen on, host:port. Port 0 takes a free one; Server.Addr tells which.
	Address string
	// Access says who may ask.
	Access Access
	// Kubeconfig is the file by which AccessDelegated reaches the cluster; empty means the pod's service account.
	Kubeconfig string

	// CertFile and KeyFile hold the serving certificate in PEM. They are watched, and a new pair is used without a restart.
	CertFile, KeyFile string
	// Certificate is used when there are no files: a serving certificate that its owner may change at any time. When nil, a
	// self-signed one for Hosts is made in memory and renewed before it ends.
	Certificate dynamiccertificates.CertKeyContentProvider
	// Hosts are the DNS names and IP addresses of the self-signed certificate. Default localhost, 127.0.0.1 and ::1.
	Hosts []string

	// ShutdownDelay is how long requests are still answered after readiness has been withdrawn: the time that endpoints
	// and load balancers need to notice. Default 0; 10s suits a cluster.
	ShutdownDelay time.Duration

	// Object and ObjectKind are what the values describe, as custom.metrics.k8s.io addresses it. ObjectLabel is the label
	// of a value that holds the object's name. An empty Object switches custom.metrics.k8s.io off.
	Object      schema.GroupVersionResource
	ObjectKind  string
	ObjectLabel string

	// Ready reports why the Source cannot answer anything yet, or nil. It decides /readyz. Nil means always ready.
	Ready func() error
	// Live reports why the process should be restarted, or nil. It decides /livez. Nil means always live.
	Live func() error

	// Forward hands some queries to a former owner of external.metrics.k8s.io. Nil means that none is.
	Forward *Forward
}

// DefaultConfig answers everyone on a free loopback port, for ScalePolicy objects.
func DefaultConfig() Config {
	return Config{
		Address:     "127.0.0.1:0",
		Access:      AccessOpen,
		Hosts:       []string{"localhost", "127.0.0.1", "::1"},
		Object:      schema.GroupVersionResource{Group: "prescale.dev", Version: "v1alpha1", Resource: "scalepolicies"},
		ObjectKind:  "ScalePolicy",
		ObjectLabel: "policy",
	}
}

// Validate reports every problem, each with the key path of the daemon's configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		bad("metricsAPI.address: %q: want host:port such as 127.0.0.1:6443", c.Address)
	}
	switch c.Access {
	case AccessDelegated:
	case AccessOpen:
		if err == nil && !isLoopback(host) {
			bad("metricsAPI.access: Open: only allowed on a loopback address, and metricsAPI.address is %q; use 127.0.0.1 or access: "+
				"Delegated with a kubeconfig", c.Address)
		}
		if c.Kubeconfig != "" {
			bad("metricsAPI.kubeconfig: %q: has no effect with access: Open; remove it or use access: Delegated", c.Kubeconfig)
		}
	default:
		bad("metricsAPI.access: %q: want Delegated or Open", c.Access)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		bad("metricsAPI.certFile, metricsAPI.keyFile: want both or neither")
	}
	if c.CertFile == "" && c.Certificate == nil && len(c.Hosts) == 0 {
		bad("metricsAPI.hosts: want at least one name or address for the self-signed certificate")
	}
	if c.ShutdownDelay < 0 {
		bad("metricsAPI.shutdownDelay: %v: want 0 or more", c.ShutdownDelay)
	}
	if c.Object.Resource != "" && (c.ObjectKind == "" || c.ObjectLabel == "") {
		bad("objectKind, objectLabel: want both with object %s", c.Object.Resource)
	}
	if c.Forward != nil {
		errs = append(errs, c.Forward.Validate())
	}
	return errors.Join(errs...)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
