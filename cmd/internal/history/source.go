package history

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Source says where a policy's past arrivals are: in the timestamps of topics, in a Prometheus server or in a file. The zero
// value is nowhere.
type Source struct {
	// Span is how far back it is looked.
	Span time.Duration
	// Topics are on Cluster.
	Cluster string
	Topics  []string
	// Query is PromQL of the arrivals per second, asked of the server at the address.
	Server, Query string
	// File is a CSV file and Column the name of its value column, empty for the first that is not the time.
	File, Column string
}

// Given reports whether there is a history.
func (s Source) Given() bool { return len(s.Topics) > 0 || s.Query != "" || s.File != "" }

// Reader reads Sources.
type Reader struct {
	// Client returns the client of a Kafka cluster.
	Client func(cluster string) *kgo.Client
	HTTP   *http.Client
}

// Read returns what came within the source's span before now, at the step where the source leaves it open. An error names the
// policy's field.
func (r Reader) Read(ctx context.Context, s Source, now time.Time, step time.Duration) (*Series, error) {
	step = max(step, time.Second)
	span := Range{Step: step, To: now.Truncate(step)}
	span.From = span.To.Add(-s.Span).Truncate(step)
	switch {
	case len(s.Topics) > 0:
		series, err := Topics(ctx, r.Client(s.Cluster), s.Topics, span, recentSpan)
		return series, field("topic", err)
	case s.Query != "":
		series, err := Prometheus(ctx, r.HTTP, s.Server, s.Query, span)
		return series, field("prometheus", err)
	default:
		series, err := ReadFile(s.File, Options{Column: s.Column, StepRemedy: Resample})
		if err == nil && !series.Dated {
			err = fmt.Errorf("%s: its times are seconds since some start: want times with a date, such as 2026-01-31T09:00:00Z", s.File)
		}
		return series, field("file", err)
	}
}

// recentSpan is how much of a topic's past is read at the policy's own interval, so that its noise is that of live ticks.
const recentSpan = 24 * time.Hour

func field(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("history.%s: %w", name, err)
}

// Rates calls yield with the mean rate, in units per second, of each interval from `from` to `to`, which ends the last one; NaN
// where any part of it is missing.
func (s *Series) Rates(interval time.Duration, from, to time.Time, yield func(end time.Time, rate float64)) error {
	counts, err := s.Filled()
	if err != nil {
		return err
	}
	rates := make([]float64, len(counts))
	for i, x := range counts {
		rates[i] = x / s.Step.Seconds()
	}
	for i := int(to.Sub(from)/interval) - 1; i >= 0; i-- {
		end := to.Add(-time.Duration(i) * interval)
		since := end.Sub(s.Times[0]).Seconds()
		yield(end, MeanRate(rates, s.Step.Seconds(), since-interval.Seconds(), since))
	}
	return nil
}

// MeanRate averages the values of steps of so many seconds over a span of seconds since the first one's begin, NaN where any
// of it is missing.
func MeanRate(rates []float64, step, from, to float64) float64 {
	sum := 0.0
	for at := from; at < to-1e-9; {
		i := int(math.Floor(at/step + 1e-9))
		next := min(to, float64(i+1)*step)
		if i < 0 || i >= len(rates) {
			return math.NaN()
		}
		sum += rates[i] * (next - at)
		at = next
	}
	return sum / (to - from)
}
