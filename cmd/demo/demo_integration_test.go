//go:build integration

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/hack/browser"
)

// running is a demo that runs in this process.
type running struct {
	lines chan []byte
	done  chan error
	all   [][]byte
	log   bytes.Buffer
}

func startDemo(ctx context.Context, args ...string) *running {
	r := &running{lines: make(chan []byte, 10000), done: make(chan error, 1)}
	out, in := io.Pipe()
	go func() {
		err := run(ctx, append(args, "-o", "json"), in, &r.log)
		in.Close()
		r.done <- err
	}()
	go func() {
		defer close(r.lines)
		scanner := bufio.NewScanner(out)
		scanner.Buffer(nil, 1<<24)
		for scanner.Scan() {
			r.lines <- bytes.Clone(scanner.Bytes())
		}
	}()
	return r
}

// next returns the next line, or nil at the end.
func (r *running) next(t *testing.T) []byte {
	t.Helper()
	select {
	case line, ok := <-r.lines:
		if ok {
			r.all = append(r.all, line)
		}
		return line
	case <-time.After(time.Minute):
		t.Fatal("no line for a minute")
		return nil
	}
}

func decode[T any](t *testing.T, line []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(line, &v); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return v
}

// TestDemoFromStartToSummary runs 22 minutes of the trace in 45 s: decisions come at once, the page in a real
// browser has its plots, the end is clean, and the summary is what its lines add up to.
func TestDemoFromStartToSummary(t *testing.T) {
	// The browser is up before the demo, which does not wait for it. Without one its part is left out.
	var page *browser.Page
	if browser.Find() != "" || os.Getenv("CI") != "" {
		page = browser.Open(t, "about:blank", 1280, 800, "dark")
	} else {
		t.Log("no browser: the page is not looked at")
	}
	began := time.Now()
	demo := startDemo(t.Context(), "--speed", "30", "--duration", "45s", "--addr", "127.0.0.1:0")
	start := decode[startLine](t, demo.next(t))
	if start.Kind != "start" || start.Page == "" {
		t.Fatalf("first line: got %+v", start)
	}
	tick := decode[tickLine](t, demo.next(t))
	t.Logf("the first decision came after %v", time.Since(began).Round(time.Millisecond))
	if tick.Kind != "tick" || tick.Decision.Policy != "ai/inference" || tick.Decision.Reason == "" || len(tick.Sides) != 2 {
		t.Fatalf("second line: got %+v", tick)
	}

	if page != nil {
		page.Navigate(start.Page)
		checkPage(t, page)
	}

	for demo.next(t) != nil {
	}
	if err := <-demo.done; err != nil {
		t.Fatalf("the demo ended with %v; its log: %s", err, &demo.log)
	}
	checkSummary(t, demo.all)
	checkDrift(t, demo.all)
}

func checkPage(t *testing.T, page *browser.Page) {
	t.Helper()
	const enough = 20 // of the run's 90 ticks, of which a busy machine skips some
	page.Wait(`window.prescale && (prescale.points().arrivals?.arrivals ?? 0) >= 20`, 2*time.Minute)
	var points map[string]map[string]int
	page.Eval("prescale.points()", &points)
	for plot, lines := range map[string][]string{
		"arrivals": {"arrivals", "q0.5", "q0.99"},
		"seconds":  {"lagSeconds", "rivalSeconds", "promise"},
		"replicas": {"ready", "desired", "rivalReady"},
		"records":  {"lagRecords", "rivalRecords"},
	} {
		for _, line := range lines {
			if got := points[plot][line]; got < enough/4 {
				t.Errorf("plot %s, line %s: got %d points, want at least %d", plot, line, got, enough/4)
			}
		}
	}
	page.Wait(`(prescale.points().arrivals?.arrivals ?? 0) >= 30 && (prescale.points().model?.accuracy ?? 0) > 10`, 2*time.Minute)
	page.Wait(`(m => m.indexOf('drift') >= 0 && m.length > m.indexOf('drift') + 2)(prescale.charts.model.marks.map(m => m.label))`, 2*time.Minute)
	page.Screenshot("demo-dark")
	if problems := page.Problems(); len(problems) > 0 {
		t.Errorf("the page complained: %q", problems)
	}
}

// enoughToLearn is how many answers after the drift the trainer is given: on a quiet machine 3,700 come, and after 1,800 of
// them 0.8 are right again.
const enoughToLearn = 3000

// checkDrift holds the run to what it is to show: the drift makes a good model wrong, and versions learned since make up for it.
func checkDrift(t *testing.T, lines [][]byte) {
	t.Helper()
	var drift float64
	var before, lowest, best float64 // the model's share of right answers: last before the drift, least after it, best since the least
	var versionBefore, version int64
	takeovers, answered := 0, 0 // since the drift
	for _, raw := range lines {
		switch decode[struct{ Kind string }](t, raw).Kind {
		case "event":
			if e := decode[eventLine](t, raw); strings.Contains(e.Text, "drifts") {
				drift, lowest = e.AtSeconds, before
			} else if drift > 0 {
				takeovers++
			}
		case "tick":
			tick := decode[tickLine](t, raw)
			ratio, known := tick.Model.AccuracyRatio.Get()
			if drift > 0 {
				answered += len(tick.Sides[0].DelaySeconds)
			}
			if version = tick.Model.Version; !known {
				continue
			}
			switch {
			case drift == 0:
				before, versionBefore = ratio, version
			case ratio < lowest:
				lowest, best = ratio, ratio
			default:
				best = max(best, ratio)
			}
		}
	}
	if drift == 0 || before < 0.8 {
		t.Fatalf("drift at %.0f s, %.2f right before it; want a drift and a good model before it", drift, before)
	}
	if answered < enoughToLearn {
		t.Logf("only %d requests were answered after the drift: this machine is too busy to learn from them in this time", answered)
		return
	}
	if lowest > before-0.2 || best < (before+lowest)/2 {
		t.Errorf("%.2f right before the drift, then as low as %.2f, then as high as %.2f; want a fall by 0.2 or more, and half of it made up for", before, lowest, best)
	}
	if version <= versionBefore || takeovers < 1 {
		t.Errorf("version %d served before the drift and %d at the end, %d new ones were seen; want new ones", versionBefore, version, takeovers)
	}
	t.Logf("right answers: %.2f before the drift, %.2f after it, %.2f at best since; versions %d to %d", before, lowest, best, versionBefore, version)
}

// checkSummary adds the lines up by itself and compares.
func checkSummary(t *testing.T, lines [][]byte) {
	t.Helper()
	type side struct {
		Name              string    `json:"name"`
		DelaySeconds      []float64 `json:"delaySeconds"`
		UnansweredSeconds []float64 `json:"unansweredSeconds"`
		ReplicaSeconds    float64   `json:"replicaSeconds"`
	}
	type anyLine struct {
		Kind             string  `json:"kind"`
		Requests         int     `json:"requests"`
		WarmUpSeconds    float64 `json:"warmUpSeconds"`
		ObjectiveSeconds float64 `json:"objectiveSeconds"`
		FromSeconds      float64 `json:"fromSeconds"`
		Sides            []side  `json:"sides"`
	}
	start := decode[anyLine](t, lines[0])
	delays, replicaSeconds, records := map[string][]float64{}, map[string]float64{}, map[string]int{}
	ticks := 0
	for _, raw := range lines {
		line := decode[anyLine](t, raw)
		if line.Kind != "tick" && line.Kind != "end" {
			continue
		}
		ticks++
		for _, s := range line.Sides {
			records[s.Name] += len(s.DelaySeconds) + len(s.UnansweredSeconds)
			if line.FromSeconds >= start.WarmUpSeconds {
				delays[s.Name] = append(append(delays[s.Name], s.DelaySeconds...), s.UnansweredSeconds...)
				replicaSeconds[s.Name] += s.ReplicaSeconds
			}
		}
	}
	// A busy machine skips ticks; a run of this length has 90 on a quiet one.
	if ticks < 30 {
		t.Errorf("got %d ticks, want about 90", ticks)
	}
	summary := decode[summaryLine](t, lines[len(lines)-1])
	if summary.Kind != "summary" || len(summary.Sides) != 2 {
		t.Fatalf("last line: got %+v", summary)
	}
	for _, s := range summary.Sides {
		mine := slices.Sorted(slices.Values(delays[s.Name]))
		late := 0
		for _, d := range mine {
			if d > start.ObjectiveSeconds {
				late++
			}
		}
		if s.Records != len(mine) || s.Late != late {
			t.Errorf("%s: got %d records, %d late; the lines say %d and %d", s.Name, s.Records, s.Late, len(mine), late)
		}
		if len(mine) == 0 || s.P50Seconds == nil || s.P99Seconds == nil || s.InTimeRatio == nil {
			t.Fatalf("%s: got %+v, want figures", s.Name, s)
		}
		// Nearest rank: the first value of which at least the share is not above.
		rank := func(share float64) float64 {
			for i, d := range mine {
				if float64(i+1) >= share*float64(len(mine)) {
					return d
				}
			}
			return math.NaN()
		}
		if *s.P50Seconds != rank(0.5) || *s.P99Seconds != rank(0.99) {
			t.Errorf("%s: got p50 %v and p99 %v; the lines say %v and %v", s.Name, *s.P50Seconds, *s.P99Seconds, rank(0.5), rank(0.99))
		}
		if want := 1 - float64(late)/float64(len(mine)); math.Abs(*s.InTimeRatio-want) > 1e-12 {
			t.Errorf("%s: got %v in time, the lines say %v", s.Name, *s.InTimeRatio, want)
		}
		if want := replicaSeconds[s.Name] / 3600; math.Abs(s.ReplicaHours-want) > 1e-9 {
			t.Errorf("%s: got %v replica-hours, the lines say %v", s.Name, s.ReplicaHours, want)
		}
		if records[s.Name] != start.Requests {
			t.Errorf("%s: %d requests are accounted for, %d were made", s.Name, records[s.Name], start.Requests)
		}
	}
	if ours := summary.Sides[0]; ours.AnsweredTwice != 0 {
		t.Errorf("%d requests were answered twice", ours.AnsweredTwice)
	}
	t.Logf("summary: %s", lines[len(lines)-1])
}

// TestInterruptEndsCleanly stops a run in the middle: it returns nil and the summary is still the last line.
func TestInterruptEndsCleanly(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	demo := startDemo(ctx, "--addr", "")
	for decode[struct{ Kind string }](t, demo.next(t)).Kind != "tick" {
	}
	interrupt()
	for demo.next(t) != nil {
	}
	if err := <-demo.done; err != nil {
		t.Errorf("got error %v, want a clean end", err)
	}
	if last := string(demo.all[len(demo.all)-1]); !strings.Contains(last, `"kind":"summary"`) {
		t.Errorf("last line: got %s, want the summary", last)
	}
}
