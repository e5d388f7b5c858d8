// Package config reads the daemon's configuration file: Kafka clusters, where to listen, and the policies. Its main type is
// Config. It opens no connection; Validate looks at the file alone.
package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prescale/prescale/cmd/internal/kafkaclient"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// Config is the file of `prescale serve --config`.
type Config struct {
	// Log says where observations and decisions are kept.
	Log Log `json:"log"`
	// EventLog says how, where they are kept in Kafka.
	EventLog EventLog `json:"eventLog"`
	// Clusters are the Kafka clusters that policies name.
	Clusters map[string]kafkaclient.Config `json:"clusters"`
	// Prometheus are the servers that policies name for their histories.
	Prometheus map[string]Prometheus `json:"prometheus"`
	// MetricsAPI is the external metrics API that the HPA reads.
	MetricsAPI MetricsAPI `json:"metricsAPI"`
	// ExternalScaler is the same for KEDA, over gRPC. Off by default.
	ExternalScaler ExternalScaler `json:"externalScaler"`
	// HTTP serves the page, /metrics and the probes.
	HTTP HTTP `json:"http"`
	// Policies stand in the file itself; PolicyFiles names more files, as glob patterns relative to this file.
	Policies    []v1alpha1.ScalePolicy `json:"policies"`
	PolicyFiles []string               `json:"policyFiles"`

	// dir is where the file is, for the paths in it.
	dir string
}

// Log says where observations and decisions are kept.
type Log string

// The logs: in Kafka, where they survive the daemon and let several share the work, or in this process alone.
const (
	LogMemory Log = "memory"
	LogKafka  Log = "kafka"
)

// MetricsAPI says how the external metrics API is served.
type MetricsAPI struct {
	// Listen is "host:port". Default "127.0.0.1:6443".
	Listen string `json:"listen"`
	// CertFile and KeyFile are the serving certificate; without them a self-signed one is made.
	CertFile string `json:"certFile"`
	KeyFile  string `json:"keyFile"`
	// Kubeconfig names the cluster that authenticates and authorizes callers; "in-cluster" uses the pod's service account.
	// Empty serves without either, on loopback addresses only.
	Kubeconfig string `json:"kubeconfig"`
	// Forward hands queries that are not ours to a former owner of the API. Off by default.
	Forward *Forward `json:"forward"`
}

// HTTP says where the page, /metrics and the probes are served.
type HTTP struct {
	// Listen is "host:port". Default "127.0.0.1:8080".
	Listen string `json:"listen"`
}

// Default returns the defaults.
func Default() Config {
	return Config{
		Log:        LogKafka,
		EventLog:   defaultEventLog(),
		MetricsAPI: MetricsAPI{Listen: "127.0.0.1:6443"},
		HTTP:       HTTP{Listen: "127.0.0.1:8080"},
	}
}

// Load reads the file and every policy file that it names. The error joins every problem of decoding and validation, each with its
// key path.
func Load(path string) (Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	if _, err := v1alpha1.Parse(data); err == nil {
		return Config{}, errors.New("it is a ScalePolicy: want the daemon's configuration, which names this file under policyFiles")
	}
	c := Default()
	c.dir = filepath.Dir(path)
	decodeErr := v1alpha1.Decode(data, &c)
	var key *v1alpha1.KeyError
	if decodeErr != nil && !errors.As(decodeErr, &key) {
		return Config{}, decodeErr // Not YAML: nothing of it was read that could be checked.
	}
	filesErr := c.readPolicyFiles(c.dir)
	if err := errors.Join(decodeErr, filesErr, notAbout(decodeErr, c.Validate())); err != nil {
		return Config{}, err
	}
	return c, nil
}

func (c *Config) readPolicyFiles(dir string) error {
	var errs []error
	for i, pattern := range c.PolicyFiles {
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(dir, pattern)
		}
		files, err := filepath.Glob(pattern)
		if err == nil && len(files) == 0 {
			err = errors.New("no file matches")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("policyFiles[%d]: %s: %w", i, pattern, err))
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			policy, err := v1alpha1.Parse(data)
			if err != nil {
				errs = append(errs, prefixEach(file+": ", err))
				continue
			}
			c.Policies = append(c.Policies, *policy)
		}
	}
	return errors.Join(errs...)
}

// Validate joins every problem, each with its key path.
func (c *Config) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Log != LogMemory && c.Log != LogKafka {
		add("log: %q: want memory or kafka", c.Log)
	}
	if len(c.Clusters) == 0 {
		add("clusters: none: name at least one Kafka cluster, such as main: {brokers: [kafka:9092]}")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Clusters)) {
		cluster := c.Clusters[name]
		errs = append(errs, prefixEach("clusters."+name+".", cluster.Validate()))
	}
	errs = append(errs, c.validateEventLog(), c.validatePrometheus())
	errs = append(errs, c.validateServers()...)
	checkListen := func(path, listen string) {
		if _, _, err := net.SplitHostPort(listen); err != nil {
			add("%s: %q: want host:port, such as 127.0.0.1:8080", path, listen)
		}
	}
	checkListen("metricsAPI.listen", c.MetricsAPI.Listen)
	checkListen("http.listen", c.HTTP.Listen)
	if (c.MetricsAPI.CertFile == "") != (c.MetricsAPI.KeyFile == "") {
		add("metricsAPI.certFile: %q with metricsAPI.keyFile %q: want both or neither", c.MetricsAPI.CertFile, c.MetricsAPI.KeyFile)
	}
	seen := map[string]bool{}
	for i := range c.Policies {
		path := fmt.Sprintf("policies[%d]", i)
		p := &c.Policies[i]
		for _, part := range [][2]string{{"name", p.ObjectMeta.Name}, {"namespace", p.Namespace}} {
			if strings.ContainsAny(part[1], "/ \t\n") { // no metric of it could be asked for
				add("%s.metadata.%s: %q: want one without / and blanks", path, part[0], part[1])
			}
		}
		if p.ObjectMeta.Name == "" {
			add("%s.metadata.name: missing: every policy needs a name", path)
		} else if name := p.PolicyName(); seen[name] {
			add("%s.metadata.name: %q: defined twice", path, name)
		} else {
			seen[name] = true
		}
		if _, err := c.policy(p); err != nil {
			errs = append(errs, prefixEach(path+".spec.", err))
		}
	}
	return errors.Join(errs...)
}

// PipelinePolicies returns the policies in the pipeline's terms. The config must be valid.
func (c *Config) PipelinePolicies() ([]pipeline.Policy, error) {
	var policies []pipeline.Policy
	for i := range c.Policies {
		p, err := c.policy(&c.Policies[i])
		if err != nil {
			return nil, err
		}
		policies = append(policies, p)
	}
	return policies, nil
}

// policy checks one policy and puts it in the pipeline's terms.
func (c *Config) policy(p *v1alpha1.ScalePolicy) (pipeline.Policy, error) {
	cfg, err := p.ScalerConfig()
	errs := []error{err}
	kafka := p.Spec.Kafka
	cluster := kafka.Cluster
	if cluster == "" {
		cluster = "main"
	}
	if _, ok := c.Clusters[cluster]; !ok && len(c.Clusters) > 0 { // that there are none is told once
		errs = append(errs, fmt.Errorf("kafka.cluster: %q: not among clusters: %v", cluster, slices.Sorted(maps.Keys(c.Clusters))))
	}
	if kafka.Group == "" {
		errs = append(errs, errors.New("kafka.group: missing: name the consumer group"))
	}
	reset := collector.ResetLatest
	switch kafka.Reset {
	case "", string(collector.ResetLatest):
	case string(collector.ResetEarliest):
		reset = collector.ResetEarliest
	default:
		errs = append(errs, fmt.Errorf("kafka.reset: %q: want earliest or latest", kafka.Reset))
	}
	sources, err := c.sources(p)
	errs = append(errs, err)
	past, err := c.history(p, cluster)
	errs = append(errs, err)
	topics := slices.Clone(kafka.Topics)
	slices.Sort(topics)
	if err := errors.Join(errs...); err != nil {
		return pipeline.Policy{}, err
	}
	policy := pipeline.NewPolicy(collector.Target{
		Policy:        p.PolicyName(),
		Cluster:       cluster,
		Group:         kafka.Group,
		Topics:        slices.Compact(topics),
		Reset:         reset,
		ReadCommitted: kafka.ReadCommitted,
		ByHost:        len(cfg.Pools) > 0,
	}, cfg, p.Seasons())
	policy.Model.Events = p.Events()
	policy.Sources = sources
	policy.History = past
	return policy, nil
}

// prefixEach puts prefix before each line of a joined error.
func prefixEach(prefix string, err error) error {
	var errs []error
	for _, e := range flatten(err) {
		errs = append(errs, fmt.Errorf("%s%w", prefix, e))
	}
	return errors.Join(errs...)
}

// notAbout leaves out the problems of keys that already could not be decoded: their default is not the user's mistake.
func notAbout(decoding, validation error) error {
	var errs []error
	for _, problem := range flatten(validation) {
		told := slices.ContainsFunc(flatten(decoding), func(err error) bool {
			var key *v1alpha1.KeyError
			return errors.As(err, &key) && strings.HasPrefix(problem.Error(), key.Path)
		})
		if !told {
			errs = append(errs, problem)
		}
	}
	return errors.Join(errs...)
}

// flatten returns the errors that errors.Join joined, at any depth.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var errs []error
	for _, e := range joined.Unwrap() {
		errs = append(errs, flatten(e)...)
	}
	return errs
}
