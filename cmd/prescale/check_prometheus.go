package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/cmd/internal/pipeline"
)

// lookAtPrometheus asks each server of the configuration for the histories of the policies that name it, as an import would but for
// fewer points. The findings are sorted by server.
func lookAtPrometheus(ctx context.Context, cfg config.Config, policies []pipeline.Policy) ([]finding, error) {
	found := []finding{}
	for _, name := range slices.Sorted(maps.Keys(cfg.Prometheus)) {
		within, cancel := context.WithTimeout(ctx, lookWithin)
		found = append(found, once(lookAtServer(within, name, cfg.Prometheus[name].URL, policies))...)
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return found, nil
}

func lookAtServer(ctx context.Context, name, address string, policies []pipeline.Policy) (found []finding) {
	asked := 0
	for _, p := range policies {
		if p.History.Query == "" || p.History.Server != address {
			continue
		}
		asked++
		values, err := ask(ctx, p.History)
		message, remedy := "", fmt.Sprintf("mend history.prometheus.query, or prometheus.%s.url", name)
		var unreached *url.Error
		switch {
		case err != nil && (errors.As(err, &unreached) || ctx.Err() != nil):
			return append(found, silent(name, err)) // The others would hear the same.
		case err != nil:
			message = err.Error()
		case !slices.ContainsFunc(values, func(x float64) bool { return !math.IsNaN(x) }):
			message = fmt.Sprintf("%s has no value of the last %v", p.History.Query, p.History.Span)
			remedy += ", or give the policy a longer history.span"
		}
		if message != "" {
			found = append(found, finding{Server: name, Subject: "policy " + p.Name(), Message: message, Remedy: remedy})
		}
	}
	if asked == 0 {
		// No policy names it: it is asked what every server knows.
		if _, err := ask(ctx, history.Source{Server: address, Query: "vector(1)", Span: time.Hour}); err != nil {
			found = append(found, silent(name, err))
		}
	}
	return found
}

// silent is what is found of a server that does not answer, or not as a Prometheus server does.
func silent(name string, err error) finding {
	return finding{Server: name, Subject: "server", Message: err.Error(),
		Remedy: fmt.Sprintf("check prometheus.%s.url, and whether the server runs", name)}
}

// ask reads some hundred points of a history.
func ask(ctx context.Context, from history.Source) ([]float64, error) {
	step := max(from.Span/100, time.Minute).Truncate(time.Second)
	now := time.Now().Truncate(step)
	series, err := history.Prometheus(ctx, http.DefaultClient, from.Server, from.Query,
		history.Range{From: now.Add(-from.Span).Truncate(step), To: now, Step: step})
	if err != nil {
		return nil, err
	}
	return series.Values, nil
}
