// Package latency collects what Kafka's offsets do not tell: how long a request took from end to end, and how busy the
// replicas are.
//
// Two sources, each with a Run-free core that the caller steps: Headers measures records of an output topic that carry the
// instant of their request in a header, and Scraper reads histograms and counters from the Prometheus endpoints of the
// pods. Both keep what they saw since they were last asked, and both say "missing" rather than zero when that is nothing.
//
// It deliberately knows no policy and no orchestrator: which topic and which endpoints is the caller's to say.
package latency
