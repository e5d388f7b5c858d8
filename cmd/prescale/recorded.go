package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/metrics/eventlog"
)

// recorded is the event log of a daemon, opened for reading.
type recorded struct {
	client   *kgo.Client
	log      eventlog.Config
	policies []pipeline.Policy
}

// openRecorded connects to the event log of the daemon with the configuration file. The caller closes it. What reads the log asks for
// ever, as a daemon must, so that there is one is made sure of here.
func openRecorded(ctx context.Context, path string) (*recorded, error) {
	cfg, err := loadConfig(path)
	if err != nil {
		return nil, err
	}
	policies, err := cfg.PipelinePolicies()
	if err != nil {
		return nil, command.Input(err)
	}
	lc, cluster := cfg.EventLogConfig()
	client, err := kgo.NewClient(cfg.Clusters[cluster].Options()...)
	if err != nil {
		return nil, fmt.Errorf("make the client of cluster %s: %w", cluster, err)
	}
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	err = ping(ctx, client, cfg.Clusters[cluster].Brokers)
	if err == nil {
		err = eventlog.VerifyTopics(ctx, client, lc)
	}
	if err != nil {
		client.Close()
		if wrong := (*eventlog.SetupError)(nil); errors.As(err, &wrong) {
			err = command.Input(err)
		}
		return nil, fmt.Errorf("%s: the event log on cluster %s: %w", path, cluster, err)
	}
	return &recorded{client, lc, policies}, nil
}

func (r *recorded) close() { r.client.Close() }

// recordedArrivals reads the arrivals of a policy ("namespace/name") from the event log of the daemon with the configuration
// file, as far as they are kept and lie between the times. A step of 0 means the policy's own interval.
func recordedArrivals(ctx context.Context, path, policy string, from, to time.Time, step time.Duration) (*history.Series, error) {
	r, err := openRecorded(ctx, path)
	if err != nil {
		return nil, err
	}
	defer r.close()
	s, err := evenSteps(eventlog.Observations(ctx, r.client, r.log, policy, from, to), step)
	if err != nil {
		return nil, fmt.Errorf("the log's observations of %s from %s to %s: %w", policy, from.Format(time.RFC3339),
			to.Format(time.RFC3339), err)
	}
	s.Name = policy
	return s, nil
}

// evenSteps lays arrivals out in even steps. Each observation tells of the span since the one before it, which is longer
// than a step after an outage; a step of which less than half was observed is missing.
func evenSteps(ticks iter.Seq2[eventlog.Tick, error], step time.Duration) (*history.Series, error) {
	type span struct {
		from, to time.Time
		count    float64
	}
	var spans []span
	var lengths []time.Duration
	for t, err := range ticks {
		if err != nil {
			return nil, err
		}
		o := &t.Observation
		if count, known := o.ArrivalRecords.Get(); known && o.Interval > 0 {
			spans = append(spans, span{o.At.Add(-o.Interval), o.At, count})
			lengths = append(lengths, o.Interval)
		}
	}
	if len(spans) < 2 {
		return nil, command.Inputf(
			"fewer than two tell of arrivals; want a policy that the daemon watched (--name), and a --start before it did")
	}
	if step == 0 {
		slices.Sort(lengths)
		// Ticks are milliseconds early or late; the interval is a whole number of tenths.
		step = max(lengths[len(lengths)/2].Round(100*time.Millisecond), 100*time.Millisecond)
	}
	begin, end := spans[0].from, spans[0].to
	for _, p := range spans { // where a clock was set back the first and the last are others
		if p.from.Before(begin) {
			begin = p.from
		}
		if p.to.After(end) {
			end = p.to
		}
	}
	n := int(end.Sub(begin).Round(step) / step)
	s := &history.Series{Step: step, Dated: true, Times: make([]time.Time, n), Values: make([]float64, n)}
	covered := make([]time.Duration, n)
	for i := range s.Times {
		s.Times[i] = begin.Add(time.Duration(i) * step)
	}
	for _, p := range spans {
		for i := int(p.from.Sub(begin) / step); i < n && s.Times[i].Before(p.to); i++ {
			overlap := step - max(0, p.from.Sub(s.Times[i])) - max(0, s.Times[i].Add(step).Sub(p.to))
			s.Values[i] += p.count * float64(overlap) / float64(p.to.Sub(p.from))
			covered[i] += overlap
		}
	}
	for i := range s.Values {
		if covered[i] < step/2 {
			s.Values[i] = math.NaN()
			continue
		}
		s.Values[i] *= float64(step) / float64(covered[i])
	}
	return s, nil
}
