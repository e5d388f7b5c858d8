package main

import (
	"encoding/json"
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
)

// forecastEnd forecasts the steps after the file's last row.
func forecastEnd(cmd *cobra.Command, s *history.Series, config forecaster.Config, output string) error {
	model, err := catalog.New(config)
	if err != nil {
		return command.Input(err)
	}
	progress := newProgress(cmd.ErrOrStderr(), len(s.Times))
	for row := range s.Times {
		observe(model, s, row)
		progress.at(row + 1)
	}
	progress.done()
	var f forecaster.Forecast
	model.Forecast(&f, config.MaxSteps)
	perStep(&f)
	var text string
	switch output {
	case "json":
		text, err = forecastJSON(s, &f)
	case "html":
		text = forecastHTML(s, &f)
	default:
		text = forecastCSV(s, &f)
	}
	if err != nil {
		return err
	}
	if f.Reason != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "prescale: %s: %s\n", s.Name, f.Reason)
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}

func forecastCSV(s *history.Series, f *forecaster.Forecast) string {
	n := len(f.Levels)
	b := []byte("step,time," + levelNames(f.Levels) + "\n")
	for k := range f.Steps {
		b = strconv.AppendInt(b, int64(k+1), 10)
		b = append(b, ',')
		b = append(b, s.FormatTime(f.At.Add(time.Duration(k+1)*f.Step))...)
		b = appendNumbers(b, f.PerStep[k*n:(k+1)*n])
	}
	b = append(b, "max,"...)
	return string(appendNumbers(b, f.Max))
}

func forecastJSON(s *history.Series, f *forecaster.Forecast) (string, error) {
	type step struct {
		Step      int            `json:"step"`
		Time      string         `json:"time"`
		Quantiles map[string]any `json:"quantiles"`
	}
	named := func(values []float64) map[string]any {
		m := map[string]any{}
		for i, q := range f.Levels {
			m[strconv.FormatFloat(q, 'g', -1, 64)] = finite(values[i])
		}
		return m
	}
	out := struct {
		File        string         `json:"file"`
		Column      string         `json:"column"`
		StepSeconds float64        `json:"stepSeconds"`
		LastTime    string         `json:"lastTime"`
		Samples     int            `json:"samples"`
		Warm        bool           `json:"warm"`
		Trusted     bool           `json:"trusted"`
		Reason      string         `json:"reason,omitempty"`
		Levels      []float64      `json:"levels"`
		Steps       []step         `json:"steps"`
		Max         map[string]any `json:"max"`
	}{
		File: s.Name, Column: s.Column, StepSeconds: f.Step.Seconds(), LastTime: s.FormatTime(f.At), Samples: f.Samples,
		Warm: f.Warm, Trusted: f.Trusted, Reason: f.Reason, Levels: f.Levels, Max: named(f.Max),
	}
	n := len(f.Levels)
	for k := range f.Steps {
		out.Steps = append(out.Steps, step{k + 1, s.FormatTime(f.At.Add(time.Duration(k+1) * f.Step)), named(f.PerStep[k*n : (k+1)*n])})
	}
	b, err := json.MarshalIndent(out, "", "  ")
	return string(b) + "\n", err
}

// forecastHTML draws the end of the history and the forecast's fan: one page, no script, nothing loaded from elsewhere.
func forecastHTML(s *history.Series, f *forecaster.Forecast) string {
	const width, height, left, bottom, top = 960.0, 420.0, 95.0, 40.0, 20.0
	shown := min(len(s.Values), max(60, 8*f.Steps))
	past, times := s.Values[len(s.Values)-shown:], s.Times[len(s.Values)-shown:]
	n := len(f.Levels)
	peak := f.PerStep[n-1]
	for _, v := range f.PerStep {
		peak = max(peak, v)
	}
	for _, v := range past {
		if !math.IsNaN(v) {
			peak = max(peak, v)
		}
	}
	if peak == 0 {
		peak = 1
	}
	begin, end := times[0], f.At.Add(time.Duration(f.Steps)*f.Step)
	x := func(at time.Time) float64 {
		return left + (width-left-20)*float64(at.Sub(begin))/float64(end.Sub(begin))
	}
	y := func(v float64) float64 { return height - bottom - (height-bottom-top)*v/peak/1.05 }
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg viewBox="0 0 %g %g" role="img" aria-label="history and forecast">`, width, height)
	unit := math.Pow(10, math.Floor(math.Log10(peak)))
	for _, part := range []float64{0.2, 0.5, 1} { // grid lines at round numbers, three to five of them
		if peak/(part*unit) <= 5 {
			unit *= part
			break
		}
	}
	if peak/unit > 5 {
		unit *= 2
	}
	for v := 0.0; v <= peak; v += unit {
		fmt.Fprintf(&svg, `<line class="grid" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text x="%g" y="%.1f" text-anchor="end">%s</text>`,
			left, width-20, y(v), y(v), left-8, y(v)+4, plain(v))
	}
	fmt.Fprintf(&svg, `<text x="%g" y="%g">%s</text><text x="%g" y="%g" text-anchor="end">%s</text>`, left, height-12,
		html.EscapeString(s.FormatTime(begin)), width-20, height-12, html.EscapeString(s.FormatTime(end)))
	at := func(k int) float64 { return x(f.At.Add(time.Duration(k) * f.Step)) }
	for i := 1; i < n; i++ {
		var band strings.Builder
		for k := 1; k <= f.Steps; k++ {
			fmt.Fprintf(&band, "%.1f,%.1f ", at(k), y(f.Quantile(k, i)))
		}
		for k := f.Steps; k >= 1; k-- {
			fmt.Fprintf(&band, "%.1f,%.1f ", at(k), y(f.Quantile(k, i-1)))
		}
		fmt.Fprintf(&svg, `<polygon class="band" fill-opacity="%.2f" points="%s"><title>%g to %g</title></polygon>`,
			0.5*float64(n-i)/float64(n), band.String(), f.Levels[i-1], f.Levels[i])
	}
	var line strings.Builder
	pen := "M"
	for i, v := range past {
		if math.IsNaN(v) || i > 0 && times[i].Sub(times[i-1]) > f.Step*3/2 {
			pen = "M"
		}
		if !math.IsNaN(v) {
			fmt.Fprintf(&line, "%s%.1f %.1f", pen, x(times[i]), y(v))
			pen = "L"
		}
	}
	fmt.Fprintf(&svg, `<path class="past" d="%s"/>`, line.String())
	for i := range n {
		var path strings.Builder
		for k := 1; k <= f.Steps; k++ {
			fmt.Fprintf(&path, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[k == 1], at(k), y(f.Quantile(k, i)))
		}
		fmt.Fprintf(&svg, `<path class="quantile" d="%s"><title>quantile %g</title></path>`, path.String(), f.Levels[i])
	}
	svg.WriteString("</svg>")
	var rows strings.Builder
	cells := func(name, when string, values []float64) {
		fmt.Fprintf(&rows, "<tr><td>%s</td><td>%s</td>", name, html.EscapeString(when))
		for _, v := range values {
			fmt.Fprintf(&rows, "<td>%s</td>", plain(v))
		}
		rows.WriteString("</tr>\n")
	}
	for k := range f.Steps {
		cells(strconv.Itoa(k+1), s.FormatTime(f.At.Add(time.Duration(k+1)*f.Step)), f.PerStep[k*n:(k+1)*n])
	}
	cells("max", "whole horizon", f.Max)
	head := strings.ReplaceAll(levelNames(f.Levels), ",", "</th><th>")
	note := ""
	if f.Reason != "" {
		note = "<p class=\"note\">" + html.EscapeString(f.Reason) + "</p>"
	}
	return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Forecast of ` + html.EscapeString(s.Name) + `</title><style>
body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#1c2430;background:#fff}
svg{width:100%;height:auto}text{font-size:12px;fill:#5a6472}.grid{stroke:#e3e7ec}.past{fill:none;stroke:#1c2430;stroke-width:1.3}
.band{fill:#1668b8}.quantile{fill:none;stroke:#1668b8;stroke-width:1}.note{color:#8a4b00}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.2em .9em;text-align:right;border-bottom:1px solid #e3e7ec}
@media(prefers-color-scheme:dark){body{background:#12161c;color:#e6eaf0}text{fill:#9aa5b4}.grid{stroke:#2a313b}.past{stroke:#e6eaf0}td,th{border-color:#2a313b}}
</style><h1>` + html.EscapeString(s.Column) + `, ` + strconv.Itoa(f.Steps) + ` steps of ` + f.Step.String() + `</h1>
<p>` + html.EscapeString(s.Name) + `, forecast from ` + html.EscapeString(s.FormatTime(f.At)) + `, ` + strconv.Itoa(f.Samples) + ` samples.</p>` + note + svg.String() +
		`<table><tr><th>step</th><th>time</th><th>` + head + "</th></tr>\n" + rows.String() + "</table></html>\n"
}

// plain writes a number without an exponent, to no more digits than its size is worth.
func plain(v float64) string {
	digits := 0
	if v != 0 {
		digits = max(0, min(12, 4-int(math.Floor(math.Log10(math.Abs(v))))))
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}
