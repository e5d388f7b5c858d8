package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// Prometheus is a server that histories are asked of.
type Prometheus struct {
	// URL is its address, such as http://prometheus:9090; a user and a password in it are sent as basic authentication.
	URL string `json:"url"`
}

// validatePrometheus checks the servers.
func (c *Config) validatePrometheus() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Prometheus)) {
		text := c.Prometheus[name].URL
		if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, fmt.Errorf("prometheus.%s.url: %q: want a URL such as http://prometheus:9090", name, text))
		}
	}
	return errors.Join(errs...)
}

// history puts a policy's history in the terms of what reads it, and checks what the policy alone does not tell.
func (c *Config) history(p *v1alpha1.ScalePolicy, cluster string) (history.Source, error) {
	h := p.Spec.History
	if h == nil {
		return history.Source{}, nil
	}
	from := history.Source{Span: h.Reach()}
	switch {
	case h.Topic && p.Spec.Sources.Work() != "":
		return from, fmt.Errorf("history.topic: true: counts records, and the policy reckons in %s: "+
			"want history.prometheus with a query of that per second", p.Spec.Sources.Work())
	case h.Topic:
		from.Cluster, from.Topics = cluster, p.Spec.Kafka.Topics
	case h.Prometheus != nil:
		name := cmp.Or(h.Prometheus.Server, "main")
		server, ok := c.Prometheus[name]
		if !ok {
			return from, fmt.Errorf("history.prometheus.server: %q: not among the daemon's prometheus servers: %v", name,
				slices.Sorted(maps.Keys(c.Prometheus)))
		}
		from.Server, from.Query = server.URL, h.Prometheus.Query
	case h.File != nil:
		from.File, from.Column = h.File.Path, h.File.Column
		if !filepath.IsAbs(from.File) {
			from.File = filepath.Join(c.dir, from.File)
		}
	}
	return from, nil
}
