package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/cmd/internal/pipeline"
)

func TestCheckAsksPrometheus(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user+password != "" && password != "right" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		one := fmt.Sprintf(`{"values": [[%d, "2"]]}`, time.Now().Add(-10*time.Minute).Truncate(time.Minute).Unix())
		series := map[string]string{"good": one, "vector(1)": one, "none": "", "two": one + "," + one}
		answer, ok := series[r.URL.Query().Get("query")]
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"status": "error", "error": "parse error"}`)
			return
		}
		fmt.Fprintf(w, `{"status": "success", "data": {"result": [%s]}}`, answer)
	}))
	defer server.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	defer page.Close()
	with := func(user string) string { return strings.Replace(server.URL, "http://", "http://"+user+"@", 1) }
	for _, tt := range []struct {
		name, url string
		queries   []string
		want      []string // one a finding
	}{
		{"all is well", server.URL, []string{"good"}, nil},
		{"a password", with("a:right"), []string{"good"}, nil},
		{"nobody names it", server.URL, nil, nil},
		{"no value", server.URL, []string{"good", "none"}, []string{"policy shop/p1: none has no value of the last 1h0m0s; mend history.prometheus.query, or prometheus.main.url, or give the policy a longer"}},
		{"several series", server.URL, []string{"two"}, []string{"policy shop/p0: query " + server.URL + ": 2 series: want one: sum them; mend history.prometheus.query"}},
		{"no PromQL", server.URL, []string{"sum("}, []string{"status 400 Bad Request: parse error; mend"}},
		{"another password", with("a:wrong"), []string{"good"}, []string{"xxxxx@127.0.0.1"}},
		{"nothing there", "http://127.0.0.1:1", []string{"good", "good"}, []string{"server: query http://127.0.0.1:1: "}},
		{"nothing there and nobody names it", "http://127.0.0.1:1", nil, []string{"; check prometheus.main.url, and whether the server runs"}},
		{"another server", page.URL, nil, []string{"server: query " + page.URL + ": status 200 OK: not a Prometheus answer"}},
	} {
		var policies []pipeline.Policy
		for i, query := range tt.queries {
			p := pipeline.Policy{History: history.Source{Server: tt.url, Query: query, Span: time.Hour}}
			p.Target.Policy = fmt.Sprintf("shop/p%d", i)
			policies = append(policies, p)
		}
		found, err := lookAtPrometheus(t.Context(), config.Config{Prometheus: map[string]config.Prometheus{"main": {URL: tt.url}}}, policies)
		if err != nil || len(found) != len(tt.want) {
			t.Errorf("%s: got %v, %v; want %q", tt.name, found, err, tt.want)
			continue
		}
		for i, f := range found {
			if text := f.String(); f.Server != "main" || !strings.Contains(text, tt.want[i]) || strings.Contains(text, "wrong") {
				t.Errorf("%s: got %q, want %q", tt.name, text, tt.want[i])
			}
		}
	}
}

// late is a context whose time is up, which nobody has noticed yet.
type late struct{ context.Context }

func (late) Err() error { return context.DeadlineExceeded }

func TestAnAnswerInTheLastMomentIsOne(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"status": "success", "data": {"result": [{"values": [[%d, "2"]]}]}}`, time.Now().Add(-10*time.Minute).Truncate(time.Minute).Unix())
	}))
	defer server.Close()
	p := pipeline.Policy{History: history.Source{Server: server.URL, Query: "good", Span: time.Hour}}
	if found := lookAtServer(late{t.Context()}, "main", server.URL, []pipeline.Policy{p}); len(found) > 0 {
		t.Errorf("got %v, want nothing", found)
	}
}
