package main

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

// queryPrometheus reads a range of one series, in records per second, in as many queries as its size takes.
func queryPrometheus(ctx context.Context, server, query, start, end string, step time.Duration) (*history, error) {
	if query == "" {
		return nil, errors.New("--query: is missing: want PromQL of the arrivals in records per second")
	}
	from, err := time.Parse(time.RFC3339, start)
	if err != nil {
		return nil, fmt.Errorf("--start: %q: want a time such as 2026-01-31T00:00:00Z", start)
	}
	to, err := time.Parse(time.RFC3339, end)
	if err != nil || !to.After(from) {
		return nil, fmt.Errorf("--end: %q: want a time such as 2026-02-14T00:00:00Z, after --start", end)
	}
	if step < time.Second {
		return nil, fmt.Errorf("--step: %v: want at least 1s", step)
	}
	n := int(to.Sub(from)/step) + 1
	if n > 5e6 {
		return nil, fmt.Errorf("%d points: want a longer --step or a shorter range", n)
	}
	h := &history{name: query, begin: float64(from.Unix()), step: step.Seconds(), counts: make([]float64, n)}
	for i := range h.counts {
		h.counts[i] = math.NaN()
	}
	for at := 0; at < n; at += maxPrometheusPoints {
		last := min(at+maxPrometheusPoints, n) - 1
		err := readRange(ctx, server, query, from.Add(time.Duration(at)*step), from.Add(time.Duration(last)*step), step, func(t, rate float64) {
			if i := int(math.Round((t - h.begin) / h.step)); i >= 0 && i < n && rate >= 0 && !math.IsInf(rate, 0) {
				h.counts[i] = rate * h.step
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return h, nil
}

func readRange(ctx context.Context, server, query string, from, to time.Time, step time.Duration, point func(t, rate float64)) error {
	address := strings.TrimSuffix(server, "/") + "/api/v1/query_range?" + url.Values{
		"query": {query}, "start": {from.Format(time.RFC3339)}, "end": {to.Format(time.RFC3339)},
		"step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	}.Encode()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("--prometheus: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("query %s: %w", server, err)
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Values [][2]json.RawMessage
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("query %s: status %s: not a Prometheus answer: %w", server, response.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("query %s: %s", server, answer.Error)
	}
	if len(answer.Data.Result) > 1 {
		return fmt.Errorf("query %s: %d series: want one: sum them", server, len(answer.Data.Result))
	}
	for _, series := range answer.Data.Result {
		for _, v := range series.Values {
			t, err := strconv.ParseFloat(string(v[0]), 64)
			if err != nil {
				return fmt.Errorf("query %s: time %s", server, v[0])
			}
			x, err := strconv.ParseFloat(strings.Trim(string(v[1]), `"`), 64)
			if err != nil {
				return fmt.Errorf("query %s: value %s", server, v[1])
			}
			point(t, x)
		}
	}
	return nil
}
