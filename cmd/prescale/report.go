package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"os"
	"strings"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/scaler/sim"
)

//go:embed report.html
var reportPage string

// plot is one picture: its axes and lines, in the units of the data.
type plot struct {
	Title, Unit string
	Width       float64
	Height      float64
	Lines       []plotLine
	Bands       []plotLine
	Dots        []plotDot
	XTicks      []tickMark
	YTicks      []tickMark
}

type plotLine struct {
	Name, Color string
	Path        string
}

type plotDot struct {
	X, Y        float64
	Name, Color string
	Label       string
}

type tickMark struct {
	At   float64
	Text string
}

const (
	plotWidth, plotHeight = 1000.0, 240.0
	plotBuckets           = 1000
)

// Colours that stay apart for the colour-blind: Okabe and Ito (2008).
var palette = []string{"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"}

// writeReport writes the page, with everything in it that it needs.
func writeReport(path string, r *backtestResult) error {
	page, err := template.New("report").Parse(reportPage)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	data := struct {
		*backtestResult
		Plots []plot
	}{r, []plot{r.paretoPlot(), r.arrivalsPlot(), r.replicasPlot(), r.lagPlot()}}
	if err := page.Execute(f, data); err != nil {
		f.Close()
		return fmt.Errorf("write the report: %w", err)
	}
	return f.Close()
}

// Percent and the like serve the page.
func (r backtestRow) Percent() string { return fmt.Sprintf("%.4f", 100*r.LateRatio) }

// scale maps data to the picture.
type plotScale struct{ x0, x1, y0, y1 float64 }

func (s plotScale) x(v float64) float64 { return (v - s.x0) / (s.x1 - s.x0) * plotWidth }
func (s plotScale) y(v float64) float64 {
	return plotHeight - (v-s.y0)/(s.y1-s.y0)*plotHeight
}

// bucketed thins values over time out to the highest of each bucket, so that no peak is lost.
func bucketed(n int, value func(i int) float64) []float64 {
	count := min(n, plotBuckets)
	out := make([]float64, count)
	for b := range out {
		from, to := b*n/count, max((b+1)*n/count, b*n/count+1)
		highest := math.Inf(-1)
		for i := from; i < min(to, n); i++ {
			highest = max(highest, value(i))
		}
		out[b] = highest
	}
	return out
}

func (s plotScale) path(values []float64, begin, end float64) string {
	var b strings.Builder
	for i, v := range values {
		command := "L"
		if i == 0 {
			command = "M"
		}
		x := begin + (float64(i)+0.5)/float64(len(values))*(end-begin)
		fmt.Fprintf(&b, "%s%.1f %.1f", command, s.x(x), s.y(v))
	}
	return b.String()
}

// band closes the area between a lower and an upper line.
func (s plotScale) band(lower, upper []float64, begin, end float64) string {
	var b strings.Builder
	b.WriteString(s.path(upper, begin, end))
	for i := len(lower) - 1; i >= 0; i-- {
		x := begin + (float64(i)+0.5)/float64(len(lower))*(end-begin)
		fmt.Fprintf(&b, "L%.1f %.1f", s.x(x), s.y(lower[i]))
	}
	return b.String() + "Z"
}

func (s plotScale) ticks(title, unit string) plot {
	p := plot{Title: title, Unit: unit, Width: plotWidth, Height: plotHeight}
	days := (s.x1 - s.x0) / 86400
	step, format, per := 86400.0, "day %g", 86400.0
	switch {
	case days > 14:
		step = math.Ceil(days/14) * 86400
	case days < 0.25:
		step, format, per = 1800, "%g min", 60
	case days < 2:
		step, format, per = 14400, "%g h", 3600
	}
	for at := math.Ceil(s.x0/step) * step; at <= s.x1; at += step {
		p.XTicks = append(p.XTicks, tickMark{s.x(at), fmt.Sprintf(format, at/per)})
	}
	for _, v := range niceTicks(s.y0, s.y1) {
		p.YTicks = append(p.YTicks, tickMark{s.y(v), fmt.Sprintf("%g", v)})
	}
	return p
}

func niceTicks(low, high float64) []float64 {
	span := high - low
	if !(span > 0) {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10(span/4)))
	for _, m := range []float64{1, 2, 5, 10} {
		if span/(step*m) <= 5 {
			step *= m
			break
		}
	}
	var ticks []float64
	for v := math.Ceil(low/step) * step; v <= high+1e-9*span; v += step {
		ticks = append(ticks, math.Round(v/step)*step)
	}
	return ticks
}

func highestOf(lists ...[]float64) float64 {
	h := 1e-9
	for _, l := range lists {
		for _, v := range l {
			if !math.IsInf(v, 0) {
				h = max(h, v)
			}
		}
	}
	return h
}

// arrivalsPlot shows the arrivals and the forecast that was made for each moment a lead time before it.
func (r *backtestResult) arrivalsPlot() plot {
	s := &r.scenario
	ticks := int(s.Trace.Duration() / s.Tick)
	rate := func(i int) float64 {
		return (s.Trace.Arrived(float64(i+1)*s.Tick) - s.Trace.Arrived(float64(i)*s.Tick)) / s.Tick
	}
	ahead := max(1, int(math.Ceil(s.Lead/s.Tick)))
	fan := make(map[float64][]float64)
	model := r.recorded.Playback()
	var f forecaster.Forecast
	values := map[float64][]float64{0.5: make([]float64, ticks), 0.99: make([]float64, ticks)}
	for i := range ticks - ahead {
		model.Observe(r.recorded.Time(i), 0)
		model.Forecast(&f, ahead)
		if f.Steps < ahead || !f.Warm {
			continue
		}
		for k, l := range f.Levels {
			if to, ok := values[l]; ok {
				to[i+ahead] = f.Quantile(ahead, k)
			}
		}
	}
	for l, v := range values {
		fan[l] = bucketed(ticks, func(i int) float64 { return v[i] })
	}
	arrivals := bucketed(ticks, rate)
	sc := plotScale{0, s.Trace.Duration(), 0, 1.05 * min(highestOf(arrivals, fan[0.99]), 2*highestOf(arrivals))}
	p := sc.ticks(fmt.Sprintf("Arrivals, and the forecast made %.0f s before (median to 0.99)", s.Lead), "records/s")
	p.Bands = []plotLine{{"forecast, median to 0.99", palette[5], sc.band(fan[0.5], fan[0.99], 0, s.Trace.Duration())}}
	p.Lines = []plotLine{{"arrivals", palette[0], sc.path(arrivals, 0, s.Trace.Duration())}}
	return p
}

func (r *backtestResult) perPolicy(title, unit string, cap float64, value func(sim.Point) float64) plot {
	end := r.scenario.Trace.Duration()
	var lists [][]float64
	var names []string
	for _, row := range r.Rows {
		if len(row.points) > 0 {
			lists = append(lists, bucketed(len(row.points), func(i int) float64 { return value(row.points[i]) }))
			names = append(names, rowName(row))
		}
	}
	sc := plotScale{0, end, 0, min(1.05*highestOf(lists...), cap)}
	for _, l := range lists {
		for i := range l {
			l[i] = min(l[i], sc.y1)
		}
	}
	p := sc.ticks(title, unit)
	for i, l := range lists {
		p.Lines = append(p.Lines, plotLine{names[i], palette[i%len(palette)], sc.path(l, 0, end)})
	}
	return p
}

func rowName(row backtestRow) string {
	if row.Setting == 0 {
		return row.Policy
	}
	return fmt.Sprintf("%s %g", row.Policy, row.Setting)
}

func (r *backtestResult) replicasPlot() plot {
	return r.perPolicy("Replicas paid for", "replicas", math.Inf(1), func(p sim.Point) float64 { return float64(p.Ready + p.Starting) })
}

func (r *backtestResult) lagPlot() plot {
	limit := 20 * r.Objective
	return r.perPolicy(fmt.Sprintf("Seconds behind (objective %.0f s; cut off at %.0f s)", r.Objective, limit), "s", limit, func(p sim.Point) float64 { return p.LagSeconds })
}

// paretoPlot shows cost against late records on a logarithmic axis: down and to the left is better.
func (r *backtestResult) paretoPlot() plot {
	const floor = 1e-6
	log := func(x float64) float64 { return math.Log10(max(x, floor)) }
	low, high, costly := 0.0, -9.0, 1.0
	for _, row := range r.Rows {
		low, high = min(low, log(row.LateRatio)), max(high, log(row.LateRatio))
		costly = max(costly, row.CostRatio)
	}
	sc := plotScale{1, 1.03 * costly, math.Floor(low), math.Ceil(high + 1e-9)}
	if sc.y1 <= sc.y0 {
		sc.y1 = sc.y0 + 1
	}
	p := plot{Title: "What it costs against what comes late", Unit: "late records, logarithmic", Width: plotWidth, Height: plotHeight}
	for _, v := range niceTicks(sc.x0, sc.x1) {
		p.XTicks = append(p.XTicks, tickMark{sc.x(v), fmt.Sprintf("%g ×", v)})
	}
	for e := sc.y0; e <= sc.y1; e++ {
		p.YTicks = append(p.YTicks, tickMark{sc.y(e), fmt.Sprintf("%g %%", 100*math.Pow(10, e))})
	}
	colors := map[string]string{}
	for _, row := range r.Rows {
		color, seen := colors[row.Policy]
		if !seen {
			color = palette[len(colors)%len(palette)]
			colors[row.Policy] = color
			p.Lines = append(p.Lines, plotLine{Name: row.Policy, Color: color})
		}
		p.Dots = append(p.Dots, plotDot{sc.x(row.CostRatio), sc.y(log(row.LateRatio)), row.Policy, color,
			fmt.Sprintf("%s: cost %.3f, late %.4f %%", rowName(row), row.CostRatio, 100*row.LateRatio)})
	}
	return p
}
