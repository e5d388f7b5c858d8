package v1alpha1

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Sources say where that is measured which Kafka's offsets do not tell: the latency that objective.latencySeconds bounds,
// and how busy the replicas are.
//
// +kubebuilder:validation:XValidation:rule="has(self.headers) || has(self.prometheus)",message="want headers, prometheus or both"
// +kubebuilder:validation:XValidation:rule="!has(self.headers) || !has(self.prometheus) || !has(self.prometheus.latencyHistogram) || size(self.prometheus.latencyHistogram) == 0",message="want one source of latency: headers or prometheus.latencyHistogram"
type Sources struct {
	// LatencyQuantile is the quantile of the latencies that is held against objective.latencySeconds. Default 0.99.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:ExclusiveMinimum=true
	// +kubebuilder:validation:Maximum=1
	// +kubebuilder:validation:ExclusiveMaximum=true
	// +kubebuilder:default=0.99
	// +optional
	LatencyQuantile float64 `json:"latencyQuantile,omitempty"`
	// Headers measures the latency of the records of an output topic.
	// +optional
	Headers *HeaderSource `json:"headers,omitempty"`
	// Prometheus reads what the replicas say of themselves.
	// +optional
	Prometheus *PrometheusSource `json:"prometheus,omitempty"`
}

// HeaderSource names records that carry the instant of their request. The daemon reads the whole topic, from its end on and
// without a group; its user needs Read on it.
type HeaderSource struct {
	// Topic is the output topic, on the same cluster.
	// +kubebuilder:validation:MaxLength=249
	// +kubebuilder:validation:Pattern=`^(\.*[a-zA-Z0-9_-][a-zA-Z0-9._-]*|\.{3,})$`
	Topic string `json:"topic"`
	// Header holds the instant: Unix milliseconds in decimal ASCII. The latency is the record's timestamp less it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Header string `json:"header"`
}

// PrometheusSource names endpoints in Prometheus's format and what to read there.
//
// +kubebuilder:validation:XValidation:rule="(has(self.port) && self.port != 0) != (has(self.urls) && size(self.urls) > 0)",message="want either port or urls"
// +kubebuilder:validation:XValidation:rule="has(self.latencyHistogram) && size(self.latencyHistogram) > 0 || has(self.busyCounter) && size(self.busyCounter) > 0 || has(self.workCounter) && size(self.workCounter) > 0",message="want latencyHistogram, busyCounter, workCounter or several"
// +kubebuilder:validation:XValidation:rule="(has(self.workCounter) && size(self.workCounter) > 0) == (has(self.recordsCounter) && size(self.recordsCounter) > 0)",message="want both workCounter and recordsCounter, or neither"
type PrometheusSource struct {
	// Port is where every ready pod of scaleTargetRef and of the pools serves its metrics.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Port int32 `json:"port,omitempty"`
	// Path is where on Port. Default /metrics.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^(/.*)?$`
	// +optional
	Path string `json:"path,omitempty"`
	// URLs are the endpoints where there are no pods to ask: only in policies of the daemon's own configuration, since the
	// daemon would ask any address for whoever may write a policy. Of a host name with several addresses all are asked.
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MaxLength=2048
	// +kubebuilder:validation:items:Pattern=`^https?://[^/]+`
	// +listType=atomic
	// +optional
	URLs []string `json:"urls,omitempty"`
	// LatencyHistogram names a histogram of latencies in seconds, classic or native.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	LatencyHistogram string `json:"latencyHistogram,omitempty"`
	// BusyCounter names a counter of the seconds that a replica spent working. A replica counts one second a second at most.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	BusyCounter string `json:"busyCounter,omitempty"`
	// WorkCounter names a counter of the work that a replica did, such as tokens, and RecordsCounter one of the records that it did
	// it for. Arrivals, backlog and capacity are then reckoned in that work: where records become heavier while their number
	// stays, more replicas are asked for, and a heavier hour that comes every day is foreseen.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	WorkCounter string `json:"workCounter,omitempty"`
	// +kubebuilder:validation:MaxLength=253
	// +optional
	RecordsCounter string `json:"recordsCounter,omitempty"`
	// Labels narrow all of them to series that have all of these.
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
}

// Work returns the unit in which the policy's arrivals are reckoned, the name of its counter; empty means records.
func (s *Sources) Work() string {
	if s == nil || s.Prometheus == nil {
		return ""
	}
	return s.Prometheus.WorkCounter
}

// validate joins every problem, each with its key path below spec. The rules are those of the markers above.
func (s *Sources) validate() error {
	if s == nil {
		return nil
	}
	var errs []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	add(s.Headers == nil && s.Prometheus == nil, "sources: empty: want headers, prometheus or both, or leave sources out")
	add(s.LatencyQuantile < 0 || s.LatencyQuantile >= 1, "sources.latencyQuantile: %v: want more than 0 and less than 1, such as 0.99",
		s.LatencyQuantile)
	if h := s.Headers; h != nil {
		add(h.Topic == "", "sources.headers.topic: missing: name the topic whose records carry the header")
		add(h.Topic != "" && !namesTopic(h.Topic), "sources.headers.topic: %q: %s", h.Topic, topicWanted)
		add(h.Header == "", "sources.headers.header: missing: name the header that holds the instant of the request")
	}
	if p := s.Prometheus; p != nil {
		add(s.Headers != nil && p.LatencyHistogram != "",
			"sources.prometheus.latencyHistogram: %q: sources.headers measures the latency already: want one of the two",
			p.LatencyHistogram)
		add(p.LatencyHistogram == "" && p.BusyCounter == "" && p.WorkCounter == "",
			"sources.prometheus.latencyHistogram: missing, and so are busyCounter and workCounter: want at least one of them")
		add((p.WorkCounter == "") != (p.RecordsCounter == ""),
			"sources.prometheus.workCounter: %q with recordsCounter %q: want both or neither", p.WorkCounter, p.RecordsCounter)
		add(p.Port < 0 || p.Port > 65535, "sources.prometheus.port: %d: want a port number", p.Port)
		add((p.Port == 0) == (len(p.URLs) == 0), "sources.prometheus.port: %d with %d urls: want either the pods' port or urls", p.Port,
			len(p.URLs))
		add(p.Path != "" && !strings.HasPrefix(p.Path, "/"), "sources.prometheus.path: %q: want it to begin with /", p.Path)
		for i, text := range p.URLs {
			u, err := url.Parse(text)
			add(err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https",
				"sources.prometheus.urls[%d]: %q: want a URL such as http://10.0.0.7:8080/metrics", i, text)
		}
	}
	return errors.Join(errs...)
}
