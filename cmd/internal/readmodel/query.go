package readmodel

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Sample is one metric at one time.
type Sample struct {
	Metric
	At time.Time
	// Expires is when the sample becomes stale.
	Expires time.Time
}

// ErrUnknownMetric says that no policy can ever have a metric of that name.
var ErrUnknownMetric = errors.New("unknown metric")

// MissingError says that a fresh entry lacks the value that was asked for.
type MissingError struct {
	Policy, Metric string
	// Problems says in words what is missing and why; it may be empty.
	Problems []string
}

func (e *MissingError) Error() string {
	s := fmt.Sprintf("policy %s has no value for %s", e.Policy, e.Metric)
	if len(e.Problems) > 0 {
		s += ": " + strings.Join(e.Problems, "; ")
	}
	return s
}

// Query returns the samples of one metric in one namespace whose labels match, sorted by policy. Policies that match but
// cannot answer (stale, not ready, the value missing) are an error and not left out: a sum over fewer policies than asked
// for would be wrong. So are those that are named and not run. A policy that does not exist gives an empty answer, a metric that does
// not exist ErrUnknownMetric.
//
// match sees the labels of one value; policyMatches may rule a whole policy out by its name alone, so that the failure of
// one policy does not touch a query for another. Nil means that every one may match, and then policies that do not have
// the metric are left out.
func (s *Store) Query(namespace, metric string, match func(labels map[string]string) bool,
	policyMatches func(policy string) bool) ([]Sample, error) {
	now := s.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !slices.ContainsFunc(Infos(), func(i Info) bool { return i.Name == metric }) {
		return nil, ErrUnknownMetric
	}
	var names []string
	for name := range s.policies {
		space, short, _ := strings.Cut(name, "/")
		if space == namespace && (policyMatches == nil || policyMatches(short)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []Sample
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.refused)) {
		space, short, _ := strings.Cut(name, "/")
		if space == namespace && policyMatches != nil && policyMatches(short) && s.policies[name] == nil {
			errs = append(errs, s.unknown(name))
		}
	}
	for _, name := range names {
		st := s.policies[name]
		if _, err := st.get(name, now); err != nil {
			errs = append(errs, err)
			continue
		}
		present := false
		for _, m := range st.metrics {
			if m.Name != metric {
				continue
			}
			present = true
			if match(m.Labels) {
				out = append(out, Sample{Metric: m, At: st.entry.At, Expires: st.entry.At.Add(StaleAfterTicks * st.interval)})
			}
		}
		if !present && policyMatches != nil {
			errs = append(errs, &MissingError{Policy: name, Metric: metric, Problems: st.entry.Observation.Problems})
		}
	}
	return out, errors.Join(errs...)
}
