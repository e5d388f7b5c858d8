package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/cmd/internal/source"
	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/scaler"
)

// Policy is one policy with all that its ticks need.
type Policy struct {
	Target collector.Target
	Scaler scaler.Config
	Model  forecaster.Config
	// Sources say where its latency and busy ratio are measured.
	Sources source.Spec
	// History says where its past arrivals are, if anywhere.
	History history.Source
}

// NewPolicy returns the policy for one target: its forecaster samples at the scaler's interval and looks as far
// ahead as the scaler asks, at the levels that the scaler moves over.
func NewPolicy(target collector.Target, cfg scaler.Config, seasons []time.Duration) Policy {
	return Policy{Target: target, Scaler: cfg, Model: forecaster.Config{
		Step:      cfg.Interval,
		MaxSteps:  cfg.ForecastSteps(),
		Quantiles: forecaster.DefaultQuantiles(),
		Seasons:   seasons,
	}}
}

// Name returns "namespace/name".
func (p Policy) Name() string { return p.Target.Policy }

// Labels returns the labels that every metric of the policy carries besides its name.
func (p Policy) Labels() map[string]string {
	labels := map[string]string{"cluster": p.Target.Cluster, "group": p.Target.Group}
	if len(p.Target.Topics) == 1 {
		labels["topic"] = p.Target.Topics[0]
	}
	return labels
}

// newAutoscaler makes the policy's forecaster and scaler, both without history.
func (p Policy) newAutoscaler() (*scaler.Autoscaler, error) {
	model, err := catalog.New(p.Model)
	if err != nil {
		return nil, fmt.Errorf("make the forecaster of policy %s: %w", p.Name(), err)
	}
	a, err := scaler.NewAutoscaler(p.Scaler, model)
	if err != nil {
		return nil, fmt.Errorf("make the scaler of policy %s: %w", p.Name(), err)
	}
	return a, nil
}

// group is the set of policies that are collected together: one Kafka cluster, one interval.
type group struct {
	cluster  string
	interval time.Duration
}

func groupOf(p Policy) group { return group{p.Target.Cluster, p.Scaler.Interval} }

// byGroup sorts the policies by name and splits them by group. A name that stands twice is an error.
func byGroup(policies []Policy) (map[group][]Policy, error) {
	sorted := slices.Clone(policies)
	slices.SortFunc(sorted, func(a, b Policy) int { return strings.Compare(a.Name(), b.Name()) })
	groups := map[group][]Policy{}
	var errs []error
	for i, p := range sorted {
		if i > 0 && sorted[i-1].Name() == p.Name() {
			errs = append(errs, fmt.Errorf("policy %s: defined twice", p.Name()))
			continue
		}
		groups[groupOf(p)] = append(groups[groupOf(p)], p)
	}
	return groups, errors.Join(errs...)
}
