package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxPrometheusPoints is what a server returns for one range query at most.
const maxPrometheusPoints = 11000

// Range is a span of the past and the sampling interval to read it at.
type Range struct {
	From, To time.Time
	Step     time.Duration
}

// Validate says what is wrong with r.
func (r Range) Validate() error {
	switch {
	case r.Step < time.Second:
		return fmt.Errorf("step: %v: want at least 1s", r.Step)
	case !r.To.After(r.From):
		return fmt.Errorf("range: ends at %v, which is not after its begin, %v", r.To.UTC().Format(time.RFC3339),
			r.From.UTC().Format(time.RFC3339))
	case r.To.Sub(r.From)/r.Step < 2:
		return fmt.Errorf("range: %v is shorter than two steps of %v", r.To.Sub(r.From), r.Step)
	case r.To.Sub(r.From)/r.Step > maxRangeSteps:
		return fmt.Errorf("range: %d steps: want a longer step or a shorter range", r.To.Sub(r.From)/r.Step)
	}
	return nil
}

const maxRangeSteps = 5e6

// steps returns how many whole steps the range has.
func (r Range) steps() int { return int(r.To.Sub(r.From) / r.Step) }

// series makes an all-gap Series over the range.
func (r Range) series(name string) *Series {
	s := &Series{Name: name, Column: "records", Step: r.Step, Dated: true}
	for i := range r.steps() {
		s.Times = append(s.Times, r.From.Add(time.Duration(i)*r.Step))
		s.Values = append(s.Values, math.NaN())
	}
	return s
}

// Prometheus reads a range of one series, given as PromQL of the arrivals in records per second, from the server at the
// address, in as many queries as its size takes. A sample speaks of the step that ends at its time. Samples that are
// missing, NaN, negative or infinite are gaps.
func Prometheus(ctx context.Context, client *http.Client, server, query string, r Range) (*Series, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	s := r.series(query)
	for first := 0; first < len(s.Values); first += maxPrometheusPoints {
		last := min(first+maxPrometheusPoints, len(s.Values)) - 1
		err := queryRange(ctx, client, server, query, s.Times[first].Add(r.Step), s.Times[last].Add(r.Step), r.Step, func(t, rate float64) {
			since := t - float64(r.From.UnixMilli())/1000
			if i := int(math.Round(since/r.Step.Seconds())) - 1; i >= 0 && i < len(s.Values) && rate >= 0 && !math.IsInf(rate, 0) {
				s.Values[i] = rate * r.Step.Seconds()
			}
		})
		if err != nil {
			return nil, fmt.Errorf("query %s: %w", withoutPassword(server), err)
		}
	}
	return s, nil
}

// withoutPassword returns an address as messages may show it.
func withoutPassword(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the server"
	}
	return u.Redacted()
}

// queryTimeout bounds one range query, and maxAnswer its answer in bytes: maxPrometheusPoints of one series take a tenth of it.
const (
	queryTimeout = 2 * time.Minute
	maxAnswer    = 8 << 20
)

func queryRange(ctx context.Context, client *http.Client, server, query string, from, to time.Time, step time.Duration,
	point func(t, rate float64)) error {
	seconds := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', -1, 64) }
	address := strings.TrimSuffix(server, "/") + "/api/v1/query_range?" + url.Values{
		"query": {query}, "start": {seconds(from)}, "end": {seconds(to)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	}.Encode()
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Warnings      []string
		Data          struct {
			Result []struct {
				Values [][2]json.RawMessage
			}
		}
	}
	err = json.NewDecoder(http.MaxBytesReader(nil, response.Body, maxAnswer)).Decode(&answer)
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return fmt.Errorf("the answer has over %d MiB, more than one series takes: sum them", maxAnswer>>20)
	}
	if err != nil {
		return fmt.Errorf("status %s: not a Prometheus answer: %w", response.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("status %s: %s", response.Status, answer.Error)
	}
	if len(answer.Warnings) > 0 {
		// Of several servers behind one address some did not answer: their share of the arrivals would be missing, not gaps.
		return fmt.Errorf("the answer may be a part of what there is: %.300s", answer.Warnings[0])
	}
	if len(answer.Data.Result) > 1 {
		return fmt.Errorf("%d series: want one: sum them", len(answer.Data.Result))
	}
	for _, series := range answer.Data.Result {
		for _, v := range series.Values {
			t, err := strconv.ParseFloat(string(v[0]), 64)
			if err != nil {
				return fmt.Errorf("time %s: not a number", v[0])
			}
			x, err := strconv.ParseFloat(strings.Trim(string(v[1]), `"`), 64)
			if err != nil {
				return fmt.Errorf("value %s: not a number", v[1])
			}
			point(t, x)
		}
	}
	return nil
}
