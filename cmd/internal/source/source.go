// Package source runs what measures latencies and busy ratios beside Kafka's offsets, for the policies that this process
// decides for. Its main type is Sources. How something is measured is in metrics/collector/latency; here is only for whom,
// where and when.
package source

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/prescale/prescale/metrics/collector/latency"
	"github.com/prescale/prescale/metrics/series"
)

// Spec says where one policy's latency and busy ratio are measured. The zero value measures nothing.
type Spec struct {
	// Quantile is that of the latency.
	Quantile float64
	// Headers measures by the records of a topic on the policy's own cluster; nil does not.
	Headers *latency.HeadersConfig
	// Endpoints reads the replicas' own metrics; nil does not.
	Endpoints *Endpoints
}

// Endpoints are the replicas' metrics: Port and Path of each address that the orchestrator knows, or the URLs.
type Endpoints struct {
	Scraper latency.ScraperConfig
	Port    int
	Path    string
	URLs    []string
}

// Policy is one policy that may have something measured.
type Policy struct {
	Name, Cluster string
	Interval      time.Duration
	Spec          Spec
}

// Config is what Sources are made with.
type Config struct {
	Policies []Policy
	// Owns reports whether this process decides for a policy now. Only then is anything asked: what other processes measure
	// is in the log.
	Owns func(policy string) bool
	// Cluster returns the options that reach a Kafka cluster.
	Cluster func(name string) []kgo.Opt
	// Addresses returns the addresses of a policy's ready replicas. It may be nil, where nothing knows them.
	Addresses func(policy string) []string
	Logger    *slog.Logger
}

// Sources measure. They are a collector.Source while Run runs.
type Sources struct {
	config   Config
	headers  map[string]*latency.Headers // by cluster
	scrapers map[string]*latency.Scraper // by policy
}

// New returns the Sources of the policies that have any. It makes no connection.
func New(config Config) (*Sources, error) {
	s := &Sources{config: config, headers: map[string]*latency.Headers{}, scrapers: map[string]*latency.Scraper{}}
	for _, p := range config.Policies {
		if p.Spec.Headers != nil && s.headers[p.Cluster] == nil {
			h, err := latency.NewHeaders(config.Cluster(p.Cluster)...)
			if err != nil {
				return nil, fmt.Errorf("policy %s: %w", p.Name, err)
			}
			s.headers[p.Cluster] = h
		}
		if e := p.Spec.Endpoints; e != nil {
			scraper, err := latency.NewScraper(e.Scraper, &http.Client{Transport: &http.Transport{
				MaxIdleConnsPerHost: 1, IdleConnTimeout: 4 * p.Interval,
			}})
			if err != nil {
				return nil, fmt.Errorf("policy %s: %w", p.Name, err)
			}
			s.scrapers[p.Name] = scraper
		}
	}
	return s, nil
}

// Annotate implements collector.Source.
func (s *Sources) Annotate(now time.Time, o *series.Observation) {
	for _, h := range s.headers {
		h.Annotate(now, o)
	}
	if scraper := s.scrapers[o.Policy]; scraper != nil {
		scraper.Annotate(now, o)
	}
	slices.Sort(o.Problems)
}

// Run measures until the context ends, and then returns nil.
func (s *Sources) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for cluster, h := range s.headers {
		g.Go(func() error { return h.Run(ctx) })
		g.Go(func() error { s.followHeaders(ctx, cluster, h); return nil })
	}
	for _, p := range s.config.Policies {
		if scraper := s.scrapers[p.Name]; scraper != nil {
			g.Go(func() error { s.scrape(ctx, p, scraper); return nil })
		}
	}
	return g.Wait()
}

const (
	// ownedInterval is how often it is looked which policies are this process's.
	ownedInterval = time.Second
	// topicInterval is how often it is looked whether the topics are there.
	topicInterval = 15 * time.Second
)

// followHeaders has the records of one cluster's owned policies read.
func (s *Sources) followHeaders(ctx context.Context, cluster string, h *latency.Headers) {
	var reading []latency.HeadersConfig
	var checked time.Time
	every(ctx, ownedInterval, func(now time.Time) {
		var owned []latency.HeadersConfig
		for _, p := range s.config.Policies {
			if p.Spec.Headers != nil && p.Cluster == cluster && s.config.Owns(p.Name) {
				owned = append(owned, *p.Spec.Headers)
			}
		}
		if !slices.Equal(owned, reading) {
			h.SetPolicies(owned)
			reading, checked = owned, time.Time{}
		}
		if len(reading) > 0 && now.Sub(checked) >= topicInterval {
			checked = now
			asking, cancel := context.WithTimeout(ctx, topicInterval)
			defer cancel()
			if err := h.Check(asking); err != nil && ctx.Err() == nil {
				s.config.Logger.Warn("latency topics cannot be looked for", "cluster", cluster, "error", err)
			}
		}
	})
}

// scrape reads one policy's endpoints twice an interval while the policy is owned, so that a tick's values are at most half
// an interval old.
func (s *Sources) scrape(ctx context.Context, p Policy, scraper *latency.Scraper) {
	failing := false
	every(ctx, p.Interval/2, func(now time.Time) {
		if !s.config.Owns(p.Name) {
			scraper.Forget()
			return
		}
		err := scraper.Scrape(ctx, now, s.endpoints(ctx, p))
		if ctx.Err() == nil && (err != nil) != failing {
			failing = err != nil
			s.config.Logger.Info("reading the replicas' metrics changed", "policy", p.Name, "error", err)
		}
	})
}

// every calls f at once and then at every interval until the context ends.
func every(ctx context.Context, interval time.Duration, f func(now time.Time)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for now := time.Now(); ; {
		f(now)
		select {
		case <-ctx.Done():
			return
		case now = <-ticker.C:
		}
	}
}

// endpoints returns the URLs to read, sorted.
func (s *Sources) endpoints(ctx context.Context, p Policy) []string {
	e := p.Spec.Endpoints
	all := map[string]bool{}
	if e.Port != 0 && s.config.Addresses != nil {
		for _, address := range s.config.Addresses(p.Name) {
			all["http://"+net.JoinHostPort(address, strconv.Itoa(e.Port))+cmp.Or(e.Path, "/metrics")] = true
		}
	}
	for _, text := range e.URLs {
		for _, each := range resolve(ctx, text) {
			all[each] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// resolve returns the URL once for every address of its host. One that is not found stays as it is, so that asking it says
// why; so does one of https, whose certificate is of the name.
func resolve(ctx context.Context, text string) []string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" || net.ParseIP(u.Hostname()) != nil {
		return []string{text}
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
	if addresses = replicas(addresses); err != nil || len(addresses) < 2 {
		return []string{text}
	}
	var all []string
	for _, address := range addresses {
		one := *u
		one.Host = net.JoinHostPort(address, cmp.Or(u.Port(), "80"))
		all = append(all, one.String())
	}
	return all
}

// replicas returns one address of each replica that a name stands for. With two families each has one of both: it would be read twice, and
// be told as not read where it listens on one of them.
func replicas(addresses []string) []string {
	one := slices.DeleteFunc(slices.Clone(addresses), func(a string) bool { return strings.Contains(a, ":") })
	if len(one) == 0 {
		return addresses
	}
	return one
}
