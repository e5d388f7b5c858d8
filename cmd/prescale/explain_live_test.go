package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

func TestExplainOfARunningDaemon(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := at
	store := readmodel.NewStore(func() time.Time { return now })
	store.Publish(readmodel.Entry{
		Policy: "ai/a", At: at, Interval: 15 * time.Second, Usable: true, Writer: "prescale-1",
		Observation: series.Observation{Partitions: series.Of(36), Problems: []string{"members of group a are not known"}},
		Decision: scaler.Decision{
			Policy: "ai/a", At: at, DesiredReplicas: 7, Reason: scaler.ReasonForecast, LagRecords: series.Of(12),
			Terms: []scaler.Term{{Name: "plan", Replicas: 7, Detail: "because of the noon rush"}},
		},
	})
	owned := true
	daemon := httptest.NewServer(pages(http.NotFoundHandler(), store, func(context.Context, string) (readmodel.Explained, bool) {
		e, _ := store.Status("ai/a")
		return readmodel.Explained{Decision: e.Entry.Decision, WhatIf: []scaler.WhatIf{
			{If: "there were no backlog", Replicas: 6, Reason: scaler.ReasonForecast}, {If: "it rained", Replicas: 7, Reason: scaler.ReasonForecast},
		}}, owned
	}))
	defer daemon.Close()
	explain := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"explain", "--server", daemon.URL}, args...), &out, &out)
		return out.String(), err
	}
	out, err := explain("ai/a")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"7 replicas, because of Forecast", "12 records", "  partitions                 36\n", "  problem: members of group a are not known\n", "because of the noon rush", "what would change it\n", "6 (Forecast)", "the same"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	owned = false
	if out, err := explain("ai/a"); err != nil || !strings.Contains(out, "what would change it is not known here: prescale-1 decides") {
		t.Errorf("another replica decides: got %v and\n%s", err, out)
	}
	if strings.Contains(out, "NOT ANSWERED") {
		t.Errorf("fresh, and said not to be:\n%s", out)
	}
	now = at.Add(time.Hour)
	if out, err := explain("ai/a"); err != nil || !strings.Contains(out, "NOT ANSWERED NOW") {
		t.Errorf("stale: got %v and\n%s", err, out)
	}
	// Another server's 404 is not the daemon's.
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if err := run(t.Context(), []string{"explain", "ai/a", "--server", other.URL}, io.Discard, io.Discard); command.ExitCode(err) != 1 || !strings.Contains(err.Error(), "answers 404") {
		t.Errorf("another server: got %v", err)
	}
	store.Refuse(map[string]string{"ai/second": "Conflict: Deployment web is scaled by the older policy a"})
	for name, want := range map[string]string{
		"ai/nobody": "unknown policy ai/nobody", "ai/second": "policy ai/second is not run: Conflict: Deployment web", "a": "want namespace/name", "ai/a/b": "want namespace/name",
	} {
		if _, err := explain(name); command.ExitCode(err) != 2 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want the user's mistake and %q", name, err, want)
		}
	}
}
