package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/forecaster"
)

// The drawing's measures, in its own units.
const (
	fanWidth, fanHeight            = 960.0, 400.0
	fanLeft, fanRight              = 64.0, 120.0 // numbers of the axis, names of the levels with their last values
	fanTop, fanBottom              = 16.0, 32.0
	fanLabel, fanTicks, fanHistory = 15.0, 8, 3 // between two names; marks of the time at most; past steps a forecast one
)

// fanRoom is up to how many times the rest the maximum's quantile may lie to be drawn where it is, and not at the upper edge with an
// arrow; fanNames is of how many levels each is named, and not the lowest and highest alone.
const (
	fanRoom  = 1.6
	fanNames = 8
)

// fanPlot places values and times.
type fanPlot struct {
	strings.Builder
	begin, end time.Time
	peak       float64
}

func (p *fanPlot) x(at time.Time) float64 {
	return fanLeft + (fanWidth-fanLeft-fanRight)*float64(at.Sub(p.begin))/float64(p.end.Sub(p.begin))
}

func (p *fanPlot) y(v float64) float64 {
	return fanHeight - fanBottom - (fanHeight-fanBottom-fanTop)*v/p.peak
}

// forecastHTML draws the end of the history and the forecast's fan: one page, no script, nothing loaded from elsewhere.
func forecastHTML(s *history.Series, f *forecaster.Forecast) string {
	shown := min(len(s.Values), max(60, fanHistory*f.Steps))
	past, times := s.Values[len(s.Values)-shown:], s.Times[len(s.Values)-shown:]
	n := len(f.Levels)
	p := &fanPlot{begin: times[0], end: f.At.Add(time.Duration(f.Steps) * f.Step), peak: slices.Max(f.PerStep)}
	for _, v := range past {
		if !math.IsNaN(v) {
			p.peak = max(p.peak, v)
		}
	}
	if top := f.Max[n-1]; top <= fanRoom*p.peak {
		p.peak = max(p.peak, top)
	}
	digits := max(0, digitsOf(p.peak)-1)
	if p.peak *= 1.03; p.peak == 0 {
		p.peak = 1
	}
	fmt.Fprintf(p, `<div class="fan"><svg viewBox="0 0 %g %g" role="img" aria-label="history and forecast">`, fanWidth, fanHeight)
	p.grid(s)
	p.fan(f, past[shown-1])
	p.history(f.Step, times, past)
	p.WriteString("</svg></div>")

	var rows strings.Builder
	cells := func(class, name, when string, values []float64) {
		fmt.Fprintf(&rows, `<tr%s><td>%s</td><td>%s</td>`, class, name, html.EscapeString(when))
		for _, v := range values {
			fmt.Fprintf(&rows, "<td>%s</td>", strconv.FormatFloat(v, 'f', digits, 64))
		}
		rows.WriteString("</tr>\n")
	}
	cells(` class="max"`, "max", "of all steps", f.Max)
	for k := range f.Steps {
		cells("", strconv.Itoa(k+1), s.FormatTime(f.At.Add(time.Duration(k+1)*f.Step)), f.PerStep[k*n:(k+1)*n])
	}
	head := strings.ReplaceAll(levelNames(f.Levels), ",", "</th><th>")
	note := ""
	if f.Reason != "" {
		note = "<p class=\"note\">" + html.EscapeString(f.Reason) + "</p>"
	}
	return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Forecast of ` + html.EscapeString(s.Name) + `</title><style>
body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#1c2430;background:#fff}h1{font-size:1.5em;margin:0}
svg{width:100%;height:auto;margin:1em 0;direction:ltr}.fan{overflow-x:auto;direction:rtl}.fan svg{min-width:880px}text{font-size:12px;fill:#5a6472}.grid{stroke:#e3e7ec}.past{fill:none;stroke:#1c2430;stroke-width:1.3}
.band{fill:#1668b8}.quantile{fill:none;stroke:#1668b8;stroke-width:.7}.median{stroke-width:2}.peak,.now{stroke:#1668b8;stroke-dasharray:2 4}.now{stroke:#5a6472}
.note{color:#8a4b00}.key{color:#5a6472}.table{overflow-x:auto}.max td{font-weight:600}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.2em .9em;text-align:right;border-bottom:1px solid #e3e7ec;white-space:nowrap}
@media(max-width:600px){td,th{padding:.2em .35em}}
@media(prefers-color-scheme:dark){body{background:#12161c;color:#e6eaf0}text,.key{fill:#9aa5b4;color:#9aa5b4}.grid{stroke:#2a313b}.past{stroke:#e6eaf0}
.band{fill:#4c9be8}.quantile,.peak{stroke:#4c9be8}.note{color:#e0a04c}td,th{border-color:#2a313b}}
</style><h1>` + html.EscapeString(s.Column) + `, the next ` + shortDuration(time.Duration(f.Steps)*f.Step) + ` in steps of ` + shortDuration(f.Step) + `</h1>
<p class="key">` + html.EscapeString(s.Name) + `, ` + strconv.Itoa(f.Samples) + ` samples up to ` + html.EscapeString(s.FormatTime(f.At)) + secondsUnit(s) + `</p>` + note + p.String() + `
<p class="key">A value stays at or under q` + strconv.FormatFloat(f.Levels[n-1], 'g', -1, 64) + ` with a chance of ` +
		strconv.FormatFloat(100*f.Levels[n-1], 'g', 4, 64) + ` %, and so on. The dotted line is that quantile of the maximum over all steps, which is what there must be room for.</p>
<div class="table"><table><tr><th>step</th><th>time` + secondsUnit(s) + `</th><th>` + head + "</th></tr>\n" + rows.String() + "</table></div></html>\n"
}

// grid draws lines at round values and marks at round times.
func (p *fanPlot) grid(s *history.Series) {
	for _, v := range niceTicks(0, p.peak) {
		fmt.Fprintf(p, `<line class="grid" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text x="%g" y="%.1f" text-anchor="end">%s</text>`,
			fanLeft, fanWidth-fanRight, p.y(v), p.y(v), fanLeft-8, p.y(v)+4, tickText(v))
	}
	every := tickEvery(p.end.Sub(p.begin))
	for at := p.begin.Truncate(every); !at.After(p.end); at = at.Add(every) {
		if at.Before(p.begin) {
			continue
		}
		name := s.FormatTime(at) + secondsUnit(s)
		if s.Dated || p.begin.Year() > 2000 {
			switch utc := at.UTC(); {
			case every < time.Minute:
				name = utc.Format("15:04:05")
			case utc.Hour() == 0 && utc.Minute() == 0:
				name = utc.Format("2 Jan")
			default:
				name = utc.Format("15:04")
			}
		}
		fmt.Fprintf(p, `<line class="grid" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/><text x="%.1f" y="%g" text-anchor="middle">%s</text>`,
			p.x(at), p.x(at), fanHeight-fanBottom, fanHeight-fanBottom+5, p.x(at), fanHeight-fanBottom+20, html.EscapeString(name))
	}
}

// tickEvery returns a round distance of which a span holds some, but not too many.
func tickEvery(span time.Duration) time.Duration {
	const day = 24 * time.Hour
	for _, d := range []time.Duration{
		time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour,
		2 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day, 28 * day,
	} {
		if span/d < fanTicks {
			return d
		}
	}
	return (span / fanTicks).Round(28*day) + 28*day
}

// fan draws the quantiles from the last value on, where that is known, with their names at the end, and the maximum's highest.
func (p *fanPlot) fan(f *forecaster.Forecast, last float64) {
	n := len(f.Levels)
	path := func(i int) []string {
		var points []string
		if !math.IsNaN(last) {
			points = append(points, fmt.Sprintf("%.1f,%.1f", p.x(f.At), p.y(last)))
		}
		for k := 1; k <= f.Steps; k++ {
			points = append(points, fmt.Sprintf("%.1f,%.1f", p.x(f.At.Add(time.Duration(k)*f.Step)), p.y(f.Quantile(k, i))))
		}
		return points
	}
	for i := 1; i < n; i++ {
		band := path(i)
		below := path(i - 1)
		for j := len(below) - 1; j >= 0; j-- {
			band = append(band, below[j])
		}
		fmt.Fprintf(p, `<polygon class="band" fill-opacity="%.2f" points="%s"><title>%g to %g</title></polygon>`,
			0.5*float64(n-i)/float64(n), strings.Join(band, " "), f.Levels[i-1], f.Levels[i])
	}
	// Names stand in the order of the levels, apart, and no higher than the drawing.
	type name struct {
		y    float64
		text string
	}
	var names []name
	add := func(y float64, text string) {
		if len(names) > 0 {
			y = min(y, names[len(names)-1].y-fanLabel)
		}
		names = append(names, name{y, text})
	}
	for i, level := range f.Levels {
		class := ""
		if level == 0.5 {
			class = " median"
		}
		fmt.Fprintf(p, `<polyline class="quantile%s" points="%s"><title>quantile %g</title></polyline>`, class, strings.Join(path(i), " "), level)
		if n > fanNames && i > 0 && i < n-1 {
			continue
		}
		value := f.Quantile(f.Steps, i)
		add(p.y(value)+4, fmt.Sprintf("q%g %s", level, tickText(value)))
	}
	x, y, arrow := p.x(f.At), p.y(f.Max[n-1]), ""
	if y < fanTop {
		y, arrow = fanTop, " ↑"
	}
	fmt.Fprintf(p, `<line class="now" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/><line class="peak" x1="%.1f" x2="%g" y1="%.1f" y2="%.1f"/>`,
		x, x, fanTop, fanHeight-fanBottom, x, fanWidth-fanRight, y, y)
	add(y+4, "max "+tickText(f.Max[n-1])+arrow)
	lowest := letterHeight
	for i := len(names) - 1; i >= 0; i-- {
		lowest = max(lowest, names[i].y)
		fmt.Fprintf(p, `<text x="%g" y="%.1f">%s</text>`, fanWidth-fanRight+6, lowest, names[i].text)
		lowest += fanLabel
	}
}

// history draws what was, with a break where something is missing.
func (p *fanPlot) history(step time.Duration, times []time.Time, values []float64) {
	p.WriteString(`<path class="past" d="`)
	pen := "M"
	for i, v := range values {
		if math.IsNaN(v) || i > 0 && times[i].Sub(times[i-1]) > step*3/2 {
			pen = "M"
		}
		if !math.IsNaN(v) {
			fmt.Fprintf(p, "%s%.1f %.1f", pen, p.x(times[i]), p.y(v))
			pen = "L"
		}
	}
	p.WriteString(`"/>`)
}

// secondsUnit is what stands behind the times of a history that counts seconds from some start.
func secondsUnit(s *history.Series) string {
	if s.Dated {
		return ""
	}
	return "\u00a0s" // no-break: it stays with its number
}

// shortDuration writes 1m0s as 1m, and 720h0m0s as 30 days.
func shortDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day && d%day == 0 {
		return fmt.Sprintf("%d days", d/day)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// digitsOf is how many digits after the point a number of the size of v is worth.
func digitsOf(v float64) int {
	if v == 0 {
		return 0
	}
	return max(0, min(12, 4-int(math.Floor(math.Log10(math.Abs(v))))))
}

// plain writes a number without an exponent, to no more digits than its size is worth.
func plain(v float64) string {
	text := strconv.FormatFloat(v, 'f', digitsOf(v), 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}
