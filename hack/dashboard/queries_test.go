package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	promcommon "github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
)

const (
	scrapes        = 60
	scrapeEvery    = 300 * time.Millisecond
	scrapeInterval = 15 * time.Second // between two scrapes as they are stored
)

// TestEveryQueryReturnsDataFromTheDemo runs the demo, stores scrapes of its /metrics in a Prometheus database and runs every query
// of the dashboard on it.
func TestEveryQueryReturnsDataFromTheDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the demo for 20 s")
	}
	db, err := tsdb.Open(t.TempDir(), nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	start := time.Unix(1_700_000_000, 0)
	url := startDemo(t)
	for i := range scrapes {
		scrape(t, db, url+"/metrics", start.Add(time.Duration(i)*scrapeInterval))
		time.Sleep(scrapeEvery)
	}

	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 5_000_000, Timeout: time.Minute})
	t.Cleanup(func() { engine.Close() })
	points := func(expr string) (int, error) {
		q, err := engine.NewRangeQuery(t.Context(), db, nil, substitute(expr), start, start.Add(scrapes*scrapeInterval), scrapeInterval)
		if err != nil {
			return 0, err
		}
		defer q.Close()
		matrix, err := q.Exec(t.Context()).Matrix()
		n := 0
		for _, s := range matrix {
			for _, f := range s.Floats {
				if f.F == f.F {
					n++
				}
			}
		}
		return n, err
	}
	dashboard := load(t)
	queries := dashboard.queries()
	if len(queries) < 20 {
		t.Fatalf("only %d queries found", len(queries))
	}
	for name, expr := range queries {
		if n, err := points(expr); err != nil || n == 0 {
			t.Errorf("%s: %d points, error %v: %s", name, n, err, expr)
		}
	}
	for _, v := range dashboard.Templating.List {
		if v.Type != "query" {
			continue
		}
		selector := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(v.Query)
		if selector == nil {
			t.Errorf("variable %s: %q is not label_values(selector, label)", v.Name, v.Query)
			continue
		}
		if n, err := points("count by (" + selector[2] + ") (" + selector[1] + ") and on() " + selector[1]); err != nil || n == 0 {
			t.Errorf("variable %s: %d points, error %v: %s", v.Name, n, err, v.Query)
		}
	}
	for _, rule := range alertGroup(t).Rules {
		for _, expr := range told(t, rule) {
			if n, err := points(expr); err != nil || n == 0 {
				t.Errorf("alert %s: %d points, error %v: %s", rule.Alert, n, err, expr)
			}
		}
	}
	// The check can fail: a misspelt metric is found.
	if n, err := points("max(prescale_kafka_lag_second" + chosen + ")"); err != nil || n != 0 {
		t.Errorf("a misspelt metric gives %d points, error %v; want none", n, err)
	}
}

// elsewhere are metrics that the demo does not tell: Prometheus's own, and one of Kubernetes.
var elsewhere = []string{"up", "prescale_policy_refused"}

// told returns queries of the metrics that a rule reads, with the labels that it keeps of them but whatever values they have: on a sound
// system most rules find nothing.
func told(t *testing.T, rule rulefmt.Rule) []string {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(rule.Expr)
	if err != nil {
		t.Fatal(err)
	}
	var queries []string
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		a, ok := node.(*parser.AggregateExpr)
		if !ok {
			return nil
		}
		if v, ok := a.Expr.(*parser.VectorSelector); ok && !slices.Contains(elsewhere, v.Name) {
			query := v.Name + "{"
			for _, label := range append(a.Grouping, matched(v)...) {
				query += label + `!="", `
			}
			queries = append(queries, query+"}")
		}
		return nil
	})
	return queries
}

// matched returns the labels that a selector asks for.
func matched(v *parser.VectorSelector) []string {
	var names []string
	for _, m := range v.LabelMatchers {
		if m.Name != promcommon.MetricNameLabel {
			names = append(names, m.Name)
		}
	}
	return names
}

// substitute replaces the variables as Grafana does when all policies are chosen.
func substitute(expr string) string {
	return strings.NewReplacer("$namespace", ".*", "$policy", ".*", "$__rate_interval", "1m").Replace(expr)
}

// startDemo builds and runs the demo and returns its page's address. It is stopped with the test.
func startDemo(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "demo")
	build := exec.Command("go", "build", "-o", binary, "./cmd/demo")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the demo: %v\n%s", err, out)
	}
	demo := exec.Command(binary, "--speed", "60", "--duration", "50s", "--addr", "127.0.0.1:0", "-o", "json")
	demo.Stderr = os.Stderr
	stdout, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := demo.Process.Signal(os.Interrupt); err != nil {
			t.Errorf("stop the demo: %v", err)
		}
		if err := demo.Wait(); err != nil {
			t.Errorf("the demo ended with %v, want a clean end after an interrupt", err)
		}
	})
	lines := bufio.NewReader(stdout)
	first, err := lines.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the demo's first line: %v", err)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // until the demo ends
	var line struct{ Kind, Page string }
	if err := json.Unmarshal(first, &line); err != nil || line.Kind != "start" || line.Page == "" {
		t.Fatalf("the demo's first line: %v, %s", err, first)
	}
	return line.Page
}

// scrape stores one scrape as if taken at `at`.
func scrape(t *testing.T, db *tsdb.DB, url string, at time.Time) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("scrape: status %d, %v: %s", response.StatusCode, err, body)
	}
	if err := store(t.Context(), db, body, response.Header.Get("Content-Type"), at); err != nil {
		t.Fatal(err)
	}
}

func store(ctx context.Context, db *tsdb.DB, body []byte, contentType string, at time.Time) error {
	p, err := textparse.New(body, contentType, labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		return err
	}
	app := db.Appender(ctx)
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return app.Commit()
		} else if err != nil {
			return errors.Join(err, app.Rollback())
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, _, value := p.Series()
		var l labels.Labels
		p.Labels(&l)
		l = labels.NewBuilder(l).Set("job", "demo").Set("instance", "demo").Labels()
		if _, err := app.Append(0, l, at.UnixMilli(), value); err != nil {
			return errors.Join(fmt.Errorf("append %s: %w", l, err), app.Rollback())
		}
	}
}

func TestQueriesParse(t *testing.T) {
	for name, expr := range load(t).queries() {
		if _, err := parser.NewParser(parser.Options{}).ParseExpr(substitute(expr)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
