package latency

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

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

// Headers measures end-to-end latency from records of one Kafka cluster, for any number of policies. Its methods may be
// called from several goroutines.
type Headers struct {
	client *kgo.Client

	mu     sync.Mutex
	meters map[string]*meter // by policy
}

// meter is one policy's measurements since it was last asked.
type meter struct {
	config  HeadersConfig
	seen    distribution
	records int
	bad     int
	reason  string
	failing error
	// absent says that the cluster does not know the topic, which the client waits for in silence.
	absent error
}

// NewHeaders returns a Headers that measures nothing yet. It consumes through one client of its own, made from options:
// those that reach the cluster. It reads topics from their end on, committed records only, and joins no group.
func NewHeaders(options ...kgo.Opt) (*Headers, error) {
	client, err := kgo.NewClient(append(options[:len(options):len(options)],
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxBytes(8<<20))...)
	if err != nil {
		return nil, fmt.Errorf("latency from headers: %w", err)
	}
	return &Headers{client: client, meters: map[string]*meter{}}, nil
}

// SetPolicies replaces what is measured; each config must be valid. A policy whose config stays the same keeps its
// measurements. It may wait for a broker.
func (h *Headers) SetPolicies(configs []HeadersConfig) {
	h.mu.Lock()
	before, after := map[string]bool{}, map[string]bool{}
	meters := map[string]*meter{}
	for _, m := range h.meters {
		before[m.config.Topic] = true
	}
	for _, config := range configs {
		after[config.Topic] = true
		m := h.meters[config.Policy]
		if m == nil || m.config != config {
			m = &meter{config: config, seen: distribution{}}
		}
		meters[config.Policy] = m
	}
	h.meters = meters
	h.mu.Unlock()
	var gone []string
	for topic := range before {
		if !after[topic] {
			gone = append(gone, topic)
		}
	}
	h.client.PurgeTopicsFromConsuming(gone...)
	for topic := range after {
		if !before[topic] {
			h.client.AddConsumeTopics(topic)
		}
	}
}

// Check looks whether the topics are there. Call it now and then: it waits for a broker, and what it finds is a problem of
// every observation until it is called again.
func (h *Headers) Check(ctx context.Context) error {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{} // an empty list asks for none, null for all
	h.mu.Lock()
	for _, m := range h.meters {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(m.config.Topic)
		request.Topics = append(request.Topics, topic)
	}
	h.mu.Unlock()
	response, err := request.RequestWith(ctx, h.client)
	if err != nil {
		return fmt.Errorf("look for the topics whose headers tell latency: %w", err)
	}
	found := map[string]error{}
	for i := range response.Topics {
		if t := &response.Topics[i]; t.Topic != nil {
			found[*t.Topic] = kerr.ErrorForCode(t.ErrorCode)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.meters {
		m.absent = nil
		if err := found[m.config.Topic]; err != nil {
			m.absent = fmt.Errorf("topic %s: %w", m.config.Topic, err)
		}
	}
	return nil
}

// Run consumes until the context ends, and then closes its client and returns nil.
func (h *Headers) Run(ctx context.Context) error {
	defer h.client.Close()
	for {
		fetches := h.client.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		h.mu.Lock()
		fetches.EachError(func(topic string, partition int32, err error) {
			for _, m := range h.meters {
				if m.config.Topic == topic {
					m.failing = fmt.Errorf("read %s/%d: %w", topic, partition, err)
				}
			}
		})
		fetches.EachTopic(func(t kgo.FetchTopic) {
			for _, m := range h.meters {
				if m.config.Topic == t.Topic {
					t.EachRecord(m.take)
				}
			}
		})
		h.mu.Unlock()
	}
}

// take measures one record; the lock is held.
func (m *meter) take(record *kgo.Record) {
	for _, header := range record.Headers {
		if header.Key != m.config.Header {
			continue
		}
		requested, err := strconv.ParseInt(string(header.Value), 10, 64)
		if err != nil {
			m.refuse("header %s: %q is no number of milliseconds", m.config.Header, header.Value)
			return
		}
		seconds := float64(record.Timestamp.UnixMilli()-requested) / 1000
		if seconds < 0 {
			m.refuse("header %s lies %.3f s after the record: clocks differ", m.config.Header, -seconds)
			return
		}
		if seconds > longestLatency.Seconds() {
			m.refuse("header %s: %q is %.0f years before the record: want milliseconds since 1970", m.config.Header, header.Value,
				seconds/longestLatency.Seconds())
			return
		}
		m.seen[binAbove(seconds)]++
		m.records++
		return
	}
	m.refuse("no header %s", m.config.Header)
}

// longestLatency is beyond what anybody waits for an answer and far below what a header of seconds, taken for milliseconds, tells:
// over fifty years.
const longestLatency = 365 * 24 * time.Hour

func (m *meter) refuse(format string, args ...any) {
	m.bad++
	m.reason = fmt.Sprintf(format, args...)
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

// Annotate puts the latency of the records seen since the last call for its policy into the observation.
func (h *Headers) Annotate(_ time.Time, o *series.Observation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.meters[o.Policy]
	if m == nil {
		return
	}
	if m.records > 0 {
		o.LatencySeconds = series.Of(fineQuantile(m.config.Quantile, m.seen))
	}
	if err := cmp.Or(m.failing, m.absent); err != nil {
		o.Problems = append(o.Problems, fmt.Sprintf("latency: %v", err))
	}
	if m.bad > 0 {
		o.Problems = append(o.Problems, fmt.Sprintf("latency: %d of %d records of %s do not tell it: %s",
			m.bad, m.bad+m.records, m.config.Topic, m.reason))
	}
	clear(m.seen)
	m.records, m.bad, m.failing = 0, 0, nil
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
