package config

import (
	"errors"

	"github.com/prescale/prescale/cmd/internal/source"
	"github.com/prescale/prescale/metrics/collector/latency"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// sources puts a policy's sources in the terms of what measures, and checks what the policy alone does not tell.
func (c *Config) sources(p *v1alpha1.ScalePolicy) (source.Spec, error) {
	from := p.Spec.Sources
	if from == nil {
		return source.Spec{}, nil
	}
	scraper := latency.DefaultScraperConfig()
	if from.LatencyQuantile != 0 {
		scraper.Quantile = from.LatencyQuantile
	}
	scraper.Policy = p.PolicyName()
	spec := source.Spec{Quantile: scraper.Quantile}
	if h := from.Headers; h != nil {
		spec.Headers = &latency.HeadersConfig{
			Policy: scraper.Policy, Topic: h.Topic, Header: h.Header, Quantile: scraper.Quantile,
		}
	}
	if e := from.Prometheus; e != nil {
		if e.Port != 0 && c.MetricsAPI.Kubeconfig == "" {
			return source.Spec{}, errors.New(
				"sources.prometheus.port: the pods are not known without metricsAPI.kubeconfig: give urls instead")
		}
		if e.Port != 0 && !namesPods(p) {
			return source.Spec{}, errors.New("sources.prometheus.port: no pods are named: give scaleTargetRef too")
		}
		scraper.Histogram, scraper.Busy, scraper.Labels = e.LatencyHistogram, e.BusyCounter, e.Labels
		scraper.Work, scraper.Records = e.WorkCounter, e.RecordsCounter
		spec.Endpoints = &source.Endpoints{Scraper: scraper, Port: int(e.Port), Path: e.Path, URLs: e.URLs}
	}
	return spec, nil
}

func namesPods(p *v1alpha1.ScalePolicy) bool {
	for _, pool := range p.Spec.Pools {
		if pool.ScaleTargetRef != nil {
			return true
		}
	}
	return p.Spec.ScaleTargetRef != nil
}
