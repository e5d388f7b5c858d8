package latency

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/metrics/series"
)

// HeadersConfig says which records tell the latency.
type HeadersConfig struct {
	// Policy is the "namespace/name" that the latency is of.
	Policy string
	// Topic is the output topic, whose records carry in Header the instant of the request: Unix milliseconds in decimal
	// ASCII. The latency is the record's own timestamp less that.
	Topic  string
	Header string
	// Quantile is the one that the policy's objective speaks of, between 0 and 1.
	Quantile float64
}

// Validate returns every problem.
func (c HeadersConfig) Validate() error {
	var problems []error
	if c.Topic == "" {
		problems = append(problems, errors.New("topic: is empty"))
	}
	if c.Header == "" {
		problems = append(problems, errors.New("header: is empty"))
	}
	if !(c.Quantile > 0 && c.Quantile < 1) {
		problems = append(problems, fmt.Errorf("quantile: %v is not between 0 and 1", c.Quantile))
	}
	return errors.Join(problems...)
}

// Headers measures end-to-end latency from the records of a topic. Its methods may be called from several goroutines.
type Headers struct {
	config HeadersConfig
	client *kgo.Client
	logger *slog.Logger

	mu      sync.Mutex
	seen    distribution
	records int
	bad     int
	reason  string
	failing error
}

// NewHeaders returns a Headers that consumes through a client of its own, made from options: those that reach the
// cluster. It reads the topic from its end on, committed records only, and joins no group.
func NewHeaders(config HeadersConfig, logger *slog.Logger, options ...kgo.Opt) (*Headers, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("latency from headers: %w", err)
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	client, err := kgo.NewClient(append(options[:len(options):len(options)],
		kgo.ConsumeTopics(config.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxBytes(8<<20))...)
	if err != nil {
		return nil, fmt.Errorf("latency from headers: %w", err)
	}
	return &Headers{config: config, client: client, logger: logger, seen: distribution{}}, nil
}

// Run consumes until the context ends, and then closes its client and returns nil.
func (h *Headers) Run(ctx context.Context) error {
	defer h.client.Close()
	for {
		fetches := h.client.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		var failed error
		fetches.EachError(func(topic string, partition int32, err error) {
			failed = fmt.Errorf("read %s/%d: %w", topic, partition, err)
		})
		h.mu.Lock()
		if (failed == nil) != (h.failing == nil) {
			h.logger.Info("reading latencies changed", "topic", h.config.Topic, "error", failed)
		}
		h.failing = failed
		fetches.EachRecord(h.take)
		h.mu.Unlock()
	}
}

// take measures one record; the lock is held.
func (h *Headers) take(record *kgo.Record) {
	for _, header := range record.Headers {
		if header.Key != h.config.Header {
			continue
		}
		requested, err := strconv.ParseInt(string(header.Value), 10, 64)
		if err != nil {
			h.refuse("header %s: %q is no number of milliseconds", h.config.Header, header.Value)
			return
		}
		seconds := float64(record.Timestamp.UnixMilli()-requested) / 1000
		if seconds < 0 {
			h.refuse("header %s lies %.3f s after the record: clocks differ", h.config.Header, -seconds)
			return
		}
		h.seen[binAbove(seconds)]++
		h.records++
		return
	}
	h.refuse("no header %s", h.config.Header)
}

func (h *Headers) refuse(format string, args ...any) {
	h.bad++
	h.reason = fmt.Sprintf(format, args...)
}

// binsPerDoubling makes bins 4.4 % wide, so that a quantile is known to half of that, in a few hundred numbers.
const binsPerDoubling = 16

// binAbove returns the upper bound of the bin that a latency falls into; the least is a millisecond.
func binAbove(seconds float64) float64 {
	if seconds <= 0.001 {
		return 0.001
	}
	return math.Exp2(math.Ceil(math.Log2(seconds)*binsPerDoubling) / binsPerDoubling)
}

// Annotate puts the latency of the records seen since the last call into the observation, where it is the policy's own.
func (h *Headers) Annotate(_ time.Time, o *series.Observation) {
	if o.Policy != h.config.Policy {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.records > 0 {
		o.LatencySeconds = series.Of(fineQuantile(h.config.Quantile, h.seen))
	}
	if h.failing != nil {
		o.Problems = append(o.Problems, fmt.Sprintf("latency: %v", h.failing))
	}
	if h.bad > 0 {
		o.Problems = append(o.Problems, fmt.Sprintf("latency: %d of %d records of %s do not tell it: %s",
			h.bad, h.bad+h.records, h.config.Topic, h.reason))
	}
	clear(h.seen)
	h.records, h.bad = 0, 0
}

// fineQuantile returns the quantile of narrow bins: the middle of the bin that holds it, since bins below may be missing
// because they are empty.
func fineQuantile(q float64, d distribution) float64 {
	width := math.Exp2(1.0 / binsPerDoubling)
	filled := distribution{}
	for upper, n := range d {
		filled[upper] += n
		filled[upper/width] += 0
	}
	return filled.quantile(q)
}
