package latency

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/prescale/prescale/metrics/series"
)

// ScraperConfig says what to read from the endpoints.
type ScraperConfig struct {
	// Policy is the "namespace/name" that the values are of.
	Policy string
	// Histogram names the latency histogram, in seconds; empty reads no latency. Labels narrows it, and Busy, to series
	// that have all of these labels.
	Histogram string
	Labels    map[string]string
	// Quantile is the one that the policy's objective speaks of, between 0 and 1.
	Quantile float64
	// Busy names a counter of the seconds that a replica spent working; its growth by the clock's is the busy ratio.
	// Empty reads none.
	Busy string
	// Work names a counter of the work that a replica did, such as tokens, and Records one of the records that it did it for: the
	// growth of the one by that of the other is the work of a record. Both empty reads none.
	Work, Records string
	// Timeout bounds one scrape. Default 2 s.
	Timeout time.Duration
	// MaxBytes bounds one endpoint's answer. Default 16 MiB.
	MaxBytes int64
}

// DefaultScraperConfig returns the defaults: the 0.99-quantile of nothing.
func DefaultScraperConfig() ScraperConfig {
	return ScraperConfig{Quantile: 0.99, Timeout: 2 * time.Second, MaxBytes: 16 << 20}
}

// Validate returns every problem.
func (c ScraperConfig) Validate() error {
	var problems []error
	if c.Histogram == "" && c.Busy == "" && c.Work == "" {
		problems = append(problems, errors.New("histogram: neither it nor busy nor work is given"))
	}
	if (c.Work == "") != (c.Records == "") {
		problems = append(problems, fmt.Errorf("work: %q with records %q: want both or neither", c.Work, c.Records))
	}
	if !(c.Quantile > 0 && c.Quantile < 1) {
		problems = append(problems, fmt.Errorf("quantile: %v is not between 0 and 1", c.Quantile))
	}
	if c.Timeout <= 0 {
		problems = append(problems, fmt.Errorf("timeout: %v is not above zero", c.Timeout))
	}
	if c.MaxBytes <= 0 {
		problems = append(problems, fmt.Errorf("maxBytes: %d is not above zero", c.MaxBytes))
	}
	return errors.Join(problems...)
}

// Scraper reads the Prometheus endpoints of a policy's replicas. Its methods may be called from several goroutines.
type Scraper struct {
	config ScraperConfig
	client *http.Client

	mu       sync.Mutex
	before   map[string]scraped
	ticks    int // calls of Annotate
	seen     distribution
	busy     float64
	busySpan float64 // seconds of all endpoints together
	work     float64 // of `records` records
	records  float64
	problem  string // of the latest scrape that had one
}

// scraped is what one endpoint said at one time, by series. A map that is nil was not said.
type scraped struct {
	at                  time.Time
	tick                int
	latency             map[string]distribution
	busy, work, records counters
}

// counters are the values of one counter by series.
type counters map[string]float64

// grown returns by how much they have grown since before. A series that is new counts from zero, and so does one that started anew, which
// anew tells. One that is gone, such as that of a partition that went to another replica, tells nothing of what it counted in the end.
func (c counters) grown(before counters) (sum float64, anew, gone bool) {
	for series, now := range c {
		if then, ok := before[series]; ok && then <= now {
			sum += now - then
		} else {
			sum, anew = sum+now, anew || ok
		}
	}
	for series := range before {
		if _, ok := c[series]; !ok {
			gone = true
		}
	}
	return sum, anew, gone
}

// NewScraper returns a Scraper that asks through client; nil means http.DefaultClient. Its redirections are not followed: a replica
// could have any address asked.
func NewScraper(config ScraperConfig, client *http.Client) (*Scraper, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("scraper: %w", err)
	}
	if client == nil {
		client = http.DefaultClient
	}
	asking := *client
	asking.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client = &asking
	return &Scraper{config: config, client: client, before: map[string]scraped{}, seen: distribution{}}, nil
}

// Scrape reads the endpoints (URLs) at now, all at the same time, and adds what changed since they were last read. An
// endpoint that is new, or was last read before the latest tick but one, counts from now on: what it did in an hour without an answer
// says nothing of the tick. The error joins those of endpoints that did not answer; the others still count.
func (s *Scraper) Scrape(ctx context.Context, now time.Time, endpoints []string) error {
	type answer struct {
		scraped
		err error
	}
	answers := make([]answer, len(endpoints))
	var wait sync.WaitGroup
	for i, endpoint := range endpoints {
		wait.Go(func() {
			answers[i].scraped, answers[i].err = s.read(ctx, endpoint)
			answers[i].at = now
		})
	}
	wait.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	after := map[string]scraped{}
	var problems []error
	for i, endpoint := range endpoints {
		if answers[i].err != nil {
			problems = append(problems, fmt.Errorf("scrape %s: %w", endpoint, answers[i].err))
			if before, ok := s.before[endpoint]; ok && s.ticks-before.tick < 2 {
				after[endpoint] = before
			}
			continue
		}
		answers[i].tick = s.ticks
		after[endpoint] = answers[i].scraped
		if before, ok := s.before[endpoint]; ok {
			s.count(before, answers[i].scraped)
		}
	}
	s.before = after
	err := errors.Join(problems...)
	if err != nil {
		s.problem = fmt.Sprintf("replicas' metrics: %d of %d endpoints were not read: %v", len(problems), len(endpoints), problems[0])
	}
	return err
}

// Forget drops all that was read, as if the Scraper were new.
func (s *Scraper) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.before)
	clear(s.seen)
	s.busy, s.busySpan, s.work, s.records, s.problem = 0, 0, 0, 0, ""
}

// count adds what one endpoint's counters grew by; the lock is held.
func (s *Scraper) count(before, after scraped) {
	for series, now := range after.latency {
		s.seen.add(now.since(before.latency[series]))
	}
	if span := after.at.Sub(before.at).Seconds(); before.busy != nil && after.busy != nil && span > 0 {
		// One that has lost series, and has not begun anew, was busy with them for a time that nobody knows.
		if busy, anew, gone := after.busy.grown(before.busy); !gone && !anew || anew && busy <= span {
			s.busy += min(busy, span)
			s.busySpan += span
		}
	}
	if before.work != nil && before.records != nil && after.work != nil && after.records != nil {
		work, _, _ := after.work.grown(before.work)
		records, _, _ := after.records.grown(before.records)
		s.work += work
		s.records += records
	}
}

// Annotate puts the latency, the busy ratio and the work of the arrivals since the last call into the observation, where it is the
// policy's own. What arrived is taken to be worth as much a record as what was done meanwhile.
func (s *Scraper) Annotate(_ time.Time, o *series.Observation) {
	if o.Policy != s.config.Policy {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ticks++
	if s.config.Histogram != "" && s.seen.count() > 0 {
		o.LatencySeconds = series.Of(s.seen.quantile(s.config.Quantile))
	}
	if s.busySpan > 0 {
		o.BusyRatio = series.Of(s.busy / s.busySpan)
	}
	if s.records > 0 {
		o.ArrivalWork = o.ArrivalRecords.Times(s.work / s.records)
	}
	if s.problem != "" {
		o.Problems = append(o.Problems, s.problem)
	}
	clear(s.seen)
	s.busy, s.busySpan, s.work, s.records, s.problem = 0, 0, 0, 0, ""
}

// read scrapes one endpoint.
func (s *Scraper) read(ctx context.Context, endpoint string) (scraped, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return scraped{}, err
	}
	request.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeProtoDelim))+`;q=0.9,text/plain;version=0.0.4;q=0.5`)
	response, err := s.client.Do(request)
	if err != nil {
		var where *url.Error // it repeats the endpoint
		if errors.As(err, &where) {
			err = where.Err
		}
		return scraped{}, s.late(ctx, err)
	}
	defer response.Body.Close()
	if to := response.Header.Get("Location"); response.StatusCode/100 == 3 && to != "" {
		return scraped{}, fmt.Errorf("it answers %s, to %.200q, which is not followed: name the path that answers itself",
			response.Status, to)
	}
	if response.StatusCode != http.StatusOK {
		return scraped{}, fmt.Errorf("it answers %s", response.Status)
	}
	body := &io.LimitedReader{R: response.Body, N: s.config.MaxBytes + 1}
	decode := s.decoder(body, expfmt.ResponseFormat(response.Header))
	got := scraped{}
	for {
		var family dto.MetricFamily
		err := decode(&family)
		if body.N <= 0 {
			return scraped{}, fmt.Errorf("its answer is larger than %d bytes", s.config.MaxBytes)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return scraped{}, fmt.Errorf("read its answer: %w", s.late(ctx, err))
		}
		if err := s.takeFamily(&family, &got); err != nil {
			return scraped{}, err
		}
	}
	if s.config.Histogram != "" && got.latency == nil {
		return scraped{}, fmt.Errorf("it has no histogram %s with labels %v", s.config.Histogram, s.config.Labels)
	}
	if s.config.Busy != "" && got.busy == nil {
		return scraped{}, fmt.Errorf("it has no counter %s with labels %v", s.config.Busy, s.config.Labels)
	}
	if s.config.Work != "" && (got.work == nil || got.records == nil) {
		return scraped{}, fmt.Errorf("it has not both counters %s and %s with labels %v", s.config.Work, s.config.Records, s.config.Labels)
	}
	return got, nil
}

// decoder returns what reads the next family. expfmt takes the word of a protobuf message for its size before any of it is read: a few
// bytes of a replica would end this process.
func (s *Scraper) decoder(body io.Reader, format expfmt.Format) func(*dto.MetricFamily) error {
	if format.FormatType() != expfmt.TypeProtoDelim {
		lines := newFamilyLines(body, s.config.Histogram, s.config.Busy, s.config.Work, s.config.Records)
		return expfmt.NewDecoder(lines, format).Decode
	}
	buffered, options := bufio.NewReader(body), protodelim.UnmarshalOptions{MaxSize: s.config.MaxBytes}
	return func(family *dto.MetricFamily) error { return options.UnmarshalFrom(buffered, family) }
}

// late says of a time that has run out which one: a connection that is closed for it may say no more than that.
func (s *Scraper) late(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("it takes longer than %v: %w", s.config.Timeout, err)
	}
	return err
}

// takeFamily takes a metric family if it is one of those that are read.
func (s *Scraper) takeFamily(family *dto.MetricFamily, got *scraped) error {
	for _, metric := range family.GetMetric() {
		if !s.matches(metric) {
			continue
		}
		series := seriesOf(metric)
		if family.GetName() == s.config.Histogram {
			if metric.GetHistogram() == nil {
				return fmt.Errorf("%s is of type %s: want a histogram", s.config.Histogram, strings.ToLower(family.GetType().String()))
			}
			d, err := fromHistogram(metric.GetHistogram())
			if err != nil {
				return fmt.Errorf("%s: %w", s.config.Histogram, err)
			}
			if got.latency == nil {
				got.latency = map[string]distribution{}
			}
			got.latency[series] = d
		}
		// One counter may serve as busy and as work.
		for _, c := range []struct {
			name   string
			values *counters
		}{{s.config.Busy, &got.busy}, {s.config.Work, &got.work}, {s.config.Records, &got.records}} {
			if c.name == "" || family.GetName() != c.name {
				continue
			}
			if metric.GetCounter() == nil {
				if family.GetType() == dto.MetricType_COUNTER {
					continue // the answer ends within it, as what follows tells
				}
				return fmt.Errorf("%s is of type %s: want a counter", c.name, strings.ToLower(family.GetType().String()))
			}
			value := metric.GetCounter().GetValue()
			if !(value >= 0 && value <= math.MaxFloat64) { // NaN too
				return fmt.Errorf("%s is %v: want a number from 0", c.name, value)
			}
			if *c.values == nil {
				*c.values = counters{}
			}
			(*c.values)[series] += value
		}
	}
	return nil
}

// seriesOf tells the series of a family apart, in whichever order an endpoint names the labels.
func seriesOf(metric *dto.Metric) string {
	var pairs []string
	for _, pair := range metric.GetLabel() {
		pairs = append(pairs, pair.GetName()+"\x00"+pair.GetValue())
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "\x00")
}

// matches reports whether a metric has the labels that are asked for.
func (s *Scraper) matches(metric *dto.Metric) bool {
	for _, name := range slices.Sorted(maps.Keys(s.config.Labels)) {
		has := false
		for _, pair := range metric.GetLabel() {
			has = has || pair.GetName() == name && pair.GetValue() == s.config.Labels[name]
		}
		if !has {
			return false
		}
	}
	return true
}
