package main

import (
	_ "embed"
	"fmt"
	"html/template"
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

//go:embed forecast.html
var forecastPage string

// forecastRow is a row of the table below the plot.
type forecastRow struct {
	Name, When string
	Cells      []string
}

// forecastHTML draws the end of the history and the forecast's fan: one page, no script, nothing loaded from elsewhere.
func forecastHTML(s *history.Series, f *forecaster.Forecast) (string, error) {
	plot, digits := drawFan(s, f)
	n := len(f.Levels)
	row := func(name, when string, values []float64) forecastRow {
		cells := make([]string, n)
		for i, v := range values {
			cells[i] = strconv.FormatFloat(v, 'f', digits, 64)
		}
		return forecastRow{name, when, cells}
	}
	rows := []forecastRow{row("max", "of all steps", f.Max)}
	for k := range f.Steps {
		rows = append(rows, row(strconv.Itoa(k+1), s.FormatTime(f.At.Add(time.Duration(k+1)*f.Step)), f.PerStep[k*n:(k+1)*n]))
	}
	unit := "\u00a0s" // no-break: it stays with its number
	if s.Dated {
		unit = ""
	}
	page, err := template.New("forecast").Parse(forecastPage)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = page.Execute(&out, struct {
		Name, Column, Span, Step string
		Samples                  int
		At, SecondsUnit, Reason  string
		Plot                     template.HTML
		Levels                   []float64
		Highest, HighestPercent  float64
		Rows                     []forecastRow
	}{
		s.Name, s.Column, shortDuration(time.Duration(f.Steps) * f.Step), shortDuration(f.Step), f.Samples, s.FormatTime(f.At),
		unit, f.Reason,
		template.HTML(plot), f.Levels, f.Levels[n-1], 100 * f.Levels[n-1], rows,
	})
	return out.String(), err
}

// drawFan returns the drawing, and to how many digits its numbers are worth writing.
func drawFan(s *history.Series, f *forecaster.Forecast) (svg string, digits int) {
	shown := min(len(s.Values), max(60, fanHistory*f.Steps))
	past, times := s.Values[len(s.Values)-shown:], s.Times[len(s.Values)-shown:]
	p := &fanPlot{begin: times[0], end: f.At.Add(time.Duration(f.Steps) * f.Step), peak: slices.Max(f.PerStep)}
	for _, v := range past {
		if !math.IsNaN(v) {
			p.peak = max(p.peak, v)
		}
	}
	if top := f.Max[len(f.Levels)-1]; top <= fanRoom*p.peak {
		p.peak = max(p.peak, top)
	}
	digits = max(0, digitsOf(p.peak)-1)
	if p.peak *= 1.03; p.peak == 0 {
		p.peak = 1
	}
	fmt.Fprintf(p, `<svg viewBox="0 0 %g %g" role="img" aria-label="history and forecast">`, fanWidth, fanHeight)
	p.grid(s)
	p.fan(f, past[shown-1])
	p.history(f.Step, times, past)
	p.WriteString("</svg>")
	return p.String(), digits
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
		name := s.FormatTime(at) + "\u00a0s"
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
			p.x(at), p.x(at), fanHeight-fanBottom, fanHeight-fanBottom+5, p.x(at), fanHeight-fanBottom+20, name)
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
		fmt.Fprintf(p, `<polyline class="quantile%s" points="%s"><title>quantile %g</title></polyline>`, class,
			strings.Join(path(i), " "), level)
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
