package scaler

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

func TestBindingIsTheTermThatLedToTheAnswer(t *testing.T) {
	for _, c := range []struct {
		desired int
		counts  []int
		want    int
	}{
		{3, nil, -1},
		{3, []int{3}, 0},
		{3, []int{3, 3}, 1}, // the plan agrees with what is there
		{3, []int{3, 3, 3}, 1},
		{5, []int{3, 5, 5}, 1},
		{4, []int{3, 5, 4}, 2},
		{5, []int{3, 5, 4}, 1}, // the latency rule asked for less than the plan
		{5, []int{3, 5, 2, 5}, 3},
	} {
		d := Decision{DesiredReplicas: c.desired, Reason: ReasonForecast}
		for i, n := range c.counts {
			d.Terms = append(d.Terms, Term{Name: []string{"current", "plan", "latency", "schedule"}[i], Replicas: n})
		}
		if got := d.Binding(); got != c.want {
			t.Errorf("%d of %v: got %d, want %d", c.desired, c.counts, got, c.want)
		}
	}
}

func TestABacklogThatThePlanIsForBinds(t *testing.T) {
	d := Decision{DesiredReplicas: 10, Reason: ReasonBacklog, Terms: []Term{{Name: "current", Replicas: 8}, {Name: "plan", Replicas: 10}, {Name: "backlog", Replicas: 10}}}
	if got := d.Binding(); got != 2 {
		t.Errorf("got %d, want 2: the backlog", got)
	}
	d.DesiredReplicas, d.Reason = 9, ReasonBudget
	d.Terms = append(d.Terms, Term{Name: "budget", Replicas: 9})
	if got := d.Binding(); got != 3 {
		t.Errorf("with a budget: got %d, want 3", got)
	}
}

// TestABacklogBindsBeforeAnythingElseIsKnown: what is asked for while a policy warms up is explained by what waits.
func TestABacklogBindsBeforeAnythingElseIsKnown(t *testing.T) {
	config := DefaultConfig()
	config.Policy, config.ObjectiveLag, config.MaxReplicas = "ns/p", 30*time.Second, 24
	var state State
	o := series.Observation{Interval: config.Interval, ArrivalRecords: series.Of(15000), ConsumedRecords: series.Of(9000),
		LagRecords: series.Of(60000), LagSeconds: series.Of(60), ReadyReplicas: series.Of(2), StartingReplicas: series.Of(0), Partitions: series.Of(48)}
	for range 2 {
		o.At = o.At.Add(config.Interval)
		state.Learn(&config, &o)
	}
	d := Decide(o.At, Input{Config: &config, State: &state, Observation: &o})
	if d.Reason != ReasonBacklog || d.DesiredReplicas <= 2 {
		t.Fatalf("%d replicas, %s: want more than 2 for the backlog", d.DesiredReplicas, d.Reason)
	}
	if got := d.Terms[d.Binding()]; got.Name != "backlog" || !strings.Contains(got.Detail, "60000") {
		t.Errorf("bound by %+v, want the backlog of 60000", got)
	}
}

// Each term that the rule writes is explained.
func TestEveryTermHasADetail(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var found [][][]byte
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.go") {
			found = append(found, regexp.MustCompile(`(?:d\.term\(|apply\([^\n]*, )"(\w+)"`).FindAllSubmatch(source, -1)...)
		}
	}
	if len(found) < 20 {
		t.Fatalf("%d terms, want 20 or more", len(found))
	}
	for _, m := range found {
		d := Decision{Terms: []Term{{Name: string(m[1])}}}
		if describe(&d); d.Terms[0].Detail == "" {
			t.Errorf("%s: has no detail", m[1])
		}
	}
}
