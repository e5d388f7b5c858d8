package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/prescale/prescale/cmd/internal/console"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// The lines of -o json, one object each, told apart by kind: one start, then ticks and events as they come, then one end and
// one summary. Times are seconds of the trace since its start.
type (
	startLine struct {
		Kind             string  `json:"kind"` // "start"
		Trace            string  `json:"trace"`
		Requests         int     `json:"requests"`
		Speed            float64 `json:"speed"`
		Seed             uint64  `json:"seed"`
		IntervalSeconds  float64 `json:"intervalSeconds"`
		ObjectiveSeconds float64 `json:"objectiveSeconds"`
		WarmUpSeconds    float64 `json:"warmUpSeconds"`
		ServiceSeconds   float64 `json:"serviceSeconds"`
		StartUpSeconds   float64 `json:"startUpSeconds"`
		MaxReplicas      int     `json:"maxReplicas"`
		Partitions       int     `json:"partitions"`
		SpanSeconds      float64 `json:"spanSeconds"`
		// Page is the page's address, empty without one.
		Page string `json:"page"`
	}
	// tickLine covers (fromSeconds, toSeconds].
	tickLine struct {
		Kind        string          `json:"kind"` // "tick"
		FromSeconds float64         `json:"fromSeconds"`
		ToSeconds   float64         `json:"toSeconds"`
		Decision    scaler.Decision `json:"decision"`
		Sides       []sideLine      `json:"sides"`
		Model       modelLine       `json:"model"`
		Problems    []string        `json:"problems,omitempty"`
	}
	// modelLine is how the model does: the newest version that has answered, and the share of right answers among the
	// latest whose outcome is known.
	modelLine struct {
		Version       int64        `json:"version"`
		AccuracyRatio series.Value `json:"accuracyRatio"`
	}
	// sideLine is what one side did in the span.
	sideLine struct {
		Name             string       `json:"name"`
		ReadyReplicas    series.Value `json:"readyReplicas"`
		StartingReplicas series.Value `json:"startingReplicas"`
		LagRecords       series.Value `json:"lagRecords"`
		LagSeconds       series.Value `json:"lagSeconds"`
		// ReplicaSeconds were paid for; DelaySeconds are of the requests answered.
		ReplicaSeconds float64   `json:"replicaSeconds"`
		DelaySeconds   []float64 `json:"delaySeconds"`
	}
	eventLine struct {
		Kind      string  `json:"kind"` // "event"
		AtSeconds float64 `json:"atSeconds"`
		Text      string  `json:"text"`
	}
	// endLine covers what came after the last tick.
	endLine struct {
		Kind        string    `json:"kind"` // "end"
		FromSeconds float64   `json:"fromSeconds"`
		ToSeconds   float64   `json:"toSeconds"`
		Sides       []endSide `json:"sides"`
	}
	endSide struct {
		Name              string    `json:"name"`
		ReplicaSeconds    float64   `json:"replicaSeconds"`
		DelaySeconds      []float64 `json:"delaySeconds"`
		UnansweredSeconds []float64 `json:"unansweredSeconds"`
		AnsweredTwice     int       `json:"answeredTwice"`
	}
	summaryLine struct {
		Kind string `json:"kind"` // "summary"
		Summary
	}
)

// printer writes the run for people or, line by line, for programs.
type printer interface {
	start(startLine)
	tick(tickLine, console.Tick, float64)
	event(eventLine)
	end(endLine)
	summary(summaryLine)
}

// jsonPrinter writes one object a line.
type jsonPrinter struct{ encoder *json.Encoder }

func newJSONPrinter(w io.Writer) jsonPrinter { return jsonPrinter{json.NewEncoder(w)} }

// line writes v. An error of stdout, such as a pipe that closed, has nobody left to be told.
func (p jsonPrinter) line(v any)                                 { _ = p.encoder.Encode(v) }
func (p jsonPrinter) start(l startLine)                          { p.line(l) }
func (p jsonPrinter) tick(l tickLine, _ console.Tick, _ float64) { p.line(l) }
func (p jsonPrinter) event(l eventLine)                          { p.line(l) }
func (p jsonPrinter) end(l endLine)                              { p.line(l) }
func (p jsonPrinter) summary(l summaryLine)                      { p.line(l) }

// textPrinter writes one line a decision and a table at the end.
type textPrinter struct {
	w      io.Writer
	colour bool
}

// paint returns s in an ANSI colour where colours are wanted.
func (p textPrinter) paint(code, s string) string {
	if !p.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

const (
	dim    = "2"
	bold   = "1"
	green  = "32"
	yellow = "33"
	red    = "31"
	violet = "35"
)

func (p textPrinter) start(l startLine) {
	fmt.Fprintf(p.w, "Prescale on %d requests of %s, %g times as fast; promise: behind by at most %g s; seed %d\n",
		l.Requests, l.Trace, l.Speed, l.ObjectiveSeconds, l.Seed)
	if l.Page != "" {
		fmt.Fprintf(p.w, "live page: %s\n", p.paint(bold, l.Page))
	}
	fmt.Fprintf(p.w, "times are the trace's; Ctrl-C ends the run with its summary\n\n")
	fmt.Fprintln(p.w, p.paint(dim, "  done      time     lag   behind  arrivals  forecast, upper  replicas  reason"))
}

func (p textPrinter) tick(_ tickLine, t console.Tick, doneRatio float64) {
	at := time.Unix(int64(t.At), 0).UTC().Format(time.TimeOnly)
	replicas := fmt.Sprintf("%2s → %-2d", short(t.Current, 0), t.Desired)
	if current, known := t.Current.Get(); known && current != float64(t.Desired) {
		replicas = p.paint(bold, replicas)
	}
	behind := fmt.Sprintf("%6s s", short(t.LagSeconds, 1))
	fmt.Fprintf(p.w, "%s  %s  %6s %s  %5s /s  %15s  %s  %s %s\n",
		p.paint(dim, fmt.Sprintf("%4.0f %%", 100*doneRatio)), at, short(t.LagRecords, 0), behind, short(t.Arrivals, 1),
		forecast(t), replicas,
		p.paint(reasonColour(t.Reason), string(t.Reason)), p.paint(dim, strings.TrimSpace(": "+t.Detail)))
}

// forecast returns the median and the quantile that the decision used.
func forecast(t console.Tick) string {
	if len(t.Forecast) == 0 {
		return "–"
	}
	upper := used(t)
	return fmt.Sprintf("%.1f, p%.0f %.1f", t.Forecast[0].Value, 100*upper.Level, upper.Value)
}

// used returns the least quantile that is no lower than the level that the decision used, or the highest.
func used(t console.Tick) scaler.QuantileValue {
	for _, q := range t.Forecast {
		if q.Level >= t.Level {
			return q
		}
	}
	return t.Forecast[len(t.Forecast)-1]
}

func reasonColour(r scaler.Reason) string {
	switch r {
	case scaler.ReasonForecast:
		return violet
	case scaler.ReasonBacklog, scaler.ReasonReactive:
		return yellow
	case scaler.ReasonStale:
		return red
	case scaler.ReasonHold, scaler.ReasonWarmingUp:
		return dim
	default:
		return green
	}
}

// short returns the number with so many decimals, or a dash where it is missing.
func short(v series.Value, decimals int) string {
	x, known := v.Get()
	if !known {
		return "–"
	}
	return fmt.Sprintf("%.*f", decimals, x)
}

func (p textPrinter) event(l eventLine) {
	at := time.Duration(l.AtSeconds * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(p.w, "        %s\n", p.paint(bold, fmt.Sprintf("%s into the trace: %s", at, l.Text)))
}

func (p textPrinter) end(endLine) {}

func (p textPrinter) summary(l summaryLine) {
	score := scoreOf(l.Summary, true)
	fmt.Fprintf(p.w, "\n%-28s", "")
	for _, c := range score.Columns {
		fmt.Fprintf(p.w, "%16s", c)
	}
	fmt.Fprintln(p.w)
	for _, row := range score.Rows {
		fmt.Fprintf(p.w, "%-28s", row.Label)
		for i, v := range row.Values {
			cell := fmt.Sprintf("%16s", v)
			if i == row.Best {
				cell = p.paint(green, cell)
			}
			fmt.Fprint(p.w, cell)
		}
		fmt.Fprintln(p.w)
	}
	fmt.Fprintf(p.w, "\n%s\n", p.paint(dim, score.Note))
}
