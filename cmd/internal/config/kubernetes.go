package config

import (
	"github.com/prescale/prescale/metrics/external"
	"github.com/prescale/prescale/metrics/externalscaler"
)

// ExternalScaler says how KEDA's gRPC interface is served.
type ExternalScaler struct {
	// Listen is "host:port"; empty switches it off. KEDA expects :9090.
	Listen string `json:"listen"`
	// CertFile, KeyFile and ClientCAFile are ours and the authority of KEDA's client certificate, for mutual TLS.
	CertFile     string `json:"certFile"`
	KeyFile      string `json:"keyFile"`
	ClientCAFile string `json:"clientCAFile"`
	// Plaintext serves without TLS.
	Plaintext bool `json:"plaintext"`
}

// Server returns the server's settings, and whether it is to be served at all.
func (e ExternalScaler) Server() (externalscaler.Config, bool) {
	c := externalscaler.DefaultConfig()
	c.Address, c.CertFile, c.KeyFile, c.ClientCAFile, c.Plaintext = e.Listen, e.CertFile, e.KeyFile, e.ClientCAFile, e.Plaintext
	return c, e.Listen != ""
}

// Forward names a former owner of external.metrics.k8s.io and what is handed to it.
type Forward struct {
	// URL is its service, such as https://keda-operator-metrics-apiserver.keda.svc; CAFile what it is verified against.
	URL        string `json:"url"`
	CAFile     string `json:"caFile"`
	ServerName string `json:"serverName"`
	// Selectors are label keys and Metrics patterns of names: a query with either is handed on. Default: the label by
	// which KEDA asks.
	Selectors []string `json:"selectors"`
	Metrics   []string `json:"metrics"`
	// ProxyCertFile and ProxyKeyFile are a front-proxy certificate; without them the pod's token is used and the caller
	// impersonated.
	ProxyCertFile string `json:"proxyCertFile"`
	ProxyKeyFile  string `json:"proxyKeyFile"`
	TokenFile     string `json:"tokenFile"`
}

// Server returns the forwarding in the metrics API's terms; nil when f is.
func (f *Forward) Server() *external.Forward {
	if f == nil {
		return nil
	}
	out := external.DefaultForward()
	out.URL, out.CAFile, out.ServerName, out.Metrics = f.URL, f.CAFile, f.ServerName, f.Metrics
	out.ProxyCertFile, out.ProxyKeyFile = f.ProxyCertFile, f.ProxyKeyFile
	if f.Selectors != nil {
		out.Selectors = f.Selectors
	}
	if f.TokenFile != "" {
		out.TokenFile = f.TokenFile
	}
	return &out
}

// validateServers checks what the servers of Kubernetes would refuse.
func (c *Config) validateServers() []error {
	var errs []error
	if server, on := c.ExternalScaler.Server(); on {
		errs = append(errs, server.Validate())
	}
	if f := c.MetricsAPI.Forward.Server(); f != nil {
		errs = append(errs, f.Validate())
	}
	return errs
}
