//go:build integration

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/scaler"
)

// policyName is the policy that the run is about, and ageLimit how old an answer for it may be: three of its intervals.
const (
	policyName = "ai/inference"
	interval   = 2 * time.Second
	ageLimit   = 3 * interval
)

// answer is what one query of the HPA's metric got.
type answer struct {
	asked, came time.Duration
	value       float64   // NaN where there was none
	observed    time.Time // when the observation behind the value was taken
	problem     string
}

// decided is one decision as the event log holds it.
type decided struct {
	at       time.Duration
	desired  int
	usable   bool
	writer   string
	decision scaler.Decision
	text     string
}

// decisions reads the policy's decisions from the event log, which outlives whoever decided.
func (w *watch) decisions(ctx context.Context) ([]decided, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cfg := eventlog.DefaultConfig()
	var all []decided
	for event, err := range eventlog.History(ctx, w.kafka, cfg, eventlog.ShardOf(policyName, cfg.Shards), policyName) {
		if err != nil {
			return all, fmt.Errorf("read the decisions from the log: %w", err)
		}
		if event.Decision.Seq == 0 {
			continue
		}
		var record struct {
			Decision scaler.Decision `json:"decision"`
			Cause    string          `json:"cause"`
		}
		if err := json.Unmarshal(event.Decision.Payload, &record); err != nil {
			return all, fmt.Errorf("read decision %d: %w", event.Decision.Seq, err)
		}
		d := record.Decision
		one := decided{at: event.Decision.At.Sub(w.began), desired: d.DesiredReplicas, usable: record.Cause == "", writer: event.Decision.Writer, decision: d}
		var b strings.Builder
		if record.Cause != "" {
			fmt.Fprintf(&b, "no decision to be served: %s", record.Cause)
		} else {
			o := event.Decision.Observation
			fmt.Fprintf(&b, "decision: %d, %s (present %s, ready %s, lag %s records %s s, arriving %s/s, consumed %s/s, a replica can %s/s, lead time %s s)", d.DesiredReplicas, d.Reason,
				number(d.CurrentReplicas.NaN()), number(o.ReadyReplicas.NaN()), number(d.LagRecords.NaN()), number(d.LagSeconds.NaN()), number(d.ArrivalRate.NaN()),
				number(o.ConsumedRate().NaN()), number(d.CapacityPerReplica.NaN()), number(d.LeadTimeSeconds.NaN()))
			for _, q := range d.ArrivalForecast {
				if q.Level == 0.5 || q.Level == 0.9 || q.Level == 0.99 {
					fmt.Fprintf(&b, " p%g %s/s", 100*q.Level, number(q.Value))
				}
			}
			for _, term := range d.Terms {
				fmt.Fprintf(&b, "; %s %d", term.Name, term.Replicas)
			}
			if len(d.Verdicts) > 0 {
				fmt.Fprintf(&b, "; %v", d.Verdicts)
			}
			if o.Rebalancing {
				b.WriteString("; rebalancing")
			}
			if len(o.Problems) > 0 {
				fmt.Fprintf(&b, "; problems: %s", strings.Join(o.Problems, "; "))
			}
		}
		one.text = b.String()
		all = append(all, one)
	}
	return all, nil
}

// number writes three figures, or a question mark for what is not known.
func number(x float64) string {
	if math.IsNaN(x) {
		return "?"
	}
	return fmt.Sprintf("%.3g", x)
}

// sayHPA puts an HPA's status in a line.
func sayHPA(h *autoscalingv2.HorizontalPodAutoscaler) string {
	var b strings.Builder
	fmt.Fprintf(&b, "the HPA wants %d of %d", h.Status.DesiredReplicas, h.Status.CurrentReplicas)
	for _, m := range h.Status.CurrentMetrics {
		if m.External != nil && m.External.Current.AverageValue != nil {
			fmt.Fprintf(&b, ", %s a replica", m.External.Current.AverageValue)
		}
	}
	for _, c := range h.Status.Conditions {
		fmt.Fprintf(&b, "; %s %s %s", c.Type, c.Status, c.Reason)
		if c.Status != "True" || c.Type == autoscalingv2.AbleToScale {
			fmt.Fprintf(&b, " (%s)", c.Message)
		}
	}
	return b.String()
}

// story tells everything that happened in a span, in order: what was decided and why, what the HPA's metric answered, what the
// HPA said and did, and the marked moments.
func (w *watch) story(from, to time.Duration) string {
	decisions, err := w.decisions(context.Background())
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := slices.Concat(w.notes, w.hpa, w.changes)
	for _, d := range decisions {
		lines = append(lines, note{d.at, d.text})
	}
	same := ""
	for _, a := range w.answers {
		text := fmt.Sprintf("answer: %s", number(a.value))
		if a.problem != "" {
			text = "no answer: " + a.problem
		}
		if text != same {
			lines = append(lines, note{a.came, text})
		}
		same = text
	}
	slices.SortStableFunc(lines, func(a, b note) int { return int(a.at - b.at) })
	var b strings.Builder
	for _, line := range lines {
		if line.at >= from && line.at <= to {
			fmt.Fprintf(&b, "%7.2f s  %s\n", line.at.Seconds(), line.text)
		}
	}
	if err != nil {
		fmt.Fprintln(&b, err)
	}
	return b.String()
}

// explain prints the story of a subtest that fails, with what led to it.
func (w *watch) explain(t *testing.T) {
	began := time.Since(w.began)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what happened:\n%s", w.story(began-30*time.Second, time.Since(w.began)))
		}
	})
}

// checkAnswers fails the test for every answer that was older than the metric may be when it was asked for: the HPA does not
// look at a metric's age. On the wire a time has whole seconds.
func (w *watch) checkAnswers(t testing.TB) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.answers {
		if age := w.began.Add(a.asked).Sub(a.observed); a.problem == "" && age > ageLimit+time.Second {
			t.Errorf("after %.1f s the HPA's metric answered %v from an observation %s old; an error was due after %s", a.asked.Seconds(), a.value, age.Round(time.Millisecond), ageLimit)
		}
	}
}

// outage is a span in which nothing can be observed.
type outage struct{ from, to time.Duration }

// carryOut is how long the HPA may take from reading a metric to the change of the replicas, on a busy machine.
const carryOut = 10 * time.Second

// checkOutage fails the test unless every decrease during the outage can be one that data from before it asked for. A value
// observed just before the outage may be served for ageLimit, and the HPA may follow it: it is fresh. What may not be: that
// replicas are taken away later than that, or that fewer are left than any decision made on data from before asked for.
func (w *watch) checkOutage(t testing.TB, o outage) {
	t.Helper()
	decisions, err := w.decisions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lowest := math.MaxInt
	for _, d := range decisions {
		if d.usable && d.at <= o.from && d.at >= o.from-ageLimit-carryOut {
			lowest = min(lowest, d.desired)
		}
		// A gap is no observation: what was decided in it must not be served.
		if d.usable && d.at > o.from && d.at < o.to-interval {
			t.Errorf("%.1f s into the outage there was a decision to be served: %s", (d.at - o.from).Seconds(), d.text)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, c := range w.counts {
		if i == 0 || c.at < o.from || c.at > o.to || c.replicas >= w.counts[i-1].replicas {
			continue
		}
		what := fmt.Sprintf("%.1f s into the outage the HPA went from %d to %d replicas", (c.at - o.from).Seconds(), w.counts[i-1].replicas, c.replicas)
		if c.at > o.from+ageLimit+carryOut {
			t.Errorf("%s: there was no value that it could have followed", what)
		}
		if c.replicas < lowest {
			t.Errorf("%s: no decision on data from before it asked for fewer than %d", what, lowest)
		}
	}
	refused := 0
	for _, a := range w.answers {
		if a.asked > o.from+ageLimit && a.came < o.to {
			if a.problem == "" {
				t.Errorf("%.1f s into the outage the HPA's metric still answered %v", (a.asked - o.from).Seconds(), a.value)
			}
			refused++
		}
	}
	if refused == 0 {
		t.Error(errors.New("no query of the HPA's metric fell into the outage: nothing was tested"))
	}
}

// checkDecreases fails the test for every decrease of the replicas that no answer of the HPA's metric asked for shortly before.
func (w *watch) checkDecreases(t testing.TB) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, c := range w.counts {
		if i == 0 || c.replicas >= w.counts[i-1].replicas {
			continue
		}
		if !slices.ContainsFunc(w.answers, func(a answer) bool {
			return a.problem == "" && a.value <= float64(c.replicas) && a.asked <= c.at && a.came >= c.at-carryOut
		}) {
			t.Errorf("after %.1f s the HPA went from %d to %d replicas: no answer asked for that", c.at.Seconds(), w.counts[i-1].replicas, c.replicas)
		}
	}
}
