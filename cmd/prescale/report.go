package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"os"
	"slices"
	"strings"
	"time"

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
	Rules       []plotRule // level lines
	Posts       []plotRule // upright lines
	Highest     float64    // at the upper edge
	XTicks      []tickMark
	YTicks      []tickMark
}

type plotLine struct {
	Name, Color string
	Path        string
}

type plotDot struct {
	X, Y, R      float64
	Name, Color  string
	Label        string  // shown when pointed at
	Text         string  // shown beside it
	TextX, TextY float64 // where it begins, or with Left ends
	Left         bool
}

type plotRule struct {
	X, Y float64
	Text string
}

type tickMark struct {
	At   float64
	Text string
}

const (
	plotWidth, plotHeight = 1000.0, 240.0
	plotBuckets           = 1000
)

// Colours that stay apart for the colour-blind: Okabe and Ito (2008), with two greys for dark and light pages alike.
var palette = []string{"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#888888", "#B8A000", "#7B4EA3", "#8C4A2F", "#00A3A3"}

// writeReport writes the page, with everything in it that it needs.
func writeReport(path string, r *backtestResult) error {
	page, err := template.New("report").Funcs(template.FuncMap{"abs": func(x float64) string { return fmt.Sprintf("%.0f", math.Abs(x)) }}).Parse(reportPage)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	whole := span{0, r.scenario.Trace.Duration()}
	sections := []plotSection{{"What it costs against what comes late", "Each dot is a rule at one setting, and a line joins the settings of one rule. Down and to the left is better: cheaper, and fewer late.", []plot{r.paretoPlot()}}}
	if busy, ok := r.busiestDay(); ok {
		sections = append(sections, plotSection{"The busiest day", "From its beginning to its end, at full resolution.", r.overTime(busy)})
	}
	sections = append(sections, plotSection{"The whole history", "The highest value of each stretch is drawn, so that no peak is lost.", r.overTime(whole)})
	data := struct {
		*backtestResult
		Headline headline
		Sections []plotSection
	}{r, r.headline(), sections}
	if err := page.Execute(f, data); err != nil {
		f.Close()
		return fmt.Errorf("write the report: %w", err)
	}
	return f.Close()
}

// plotSection is some plots under one heading.
type plotSection struct {
	Title, Text string
	Plots       []plot
}

// span is a stretch of the history, in seconds since its beginning.
type span struct{ from, to float64 }

// busiestDay returns the day of the history in which most arrived; false where the history is hardly longer than a day.
func (r *backtestResult) busiestDay() (span, bool) {
	const day = 86400.0
	trace := r.scenario.Trace
	if trace.Duration() < 2*day {
		return span{}, false
	}
	best, most := span{}, -1.0
	for from := math.Ceil(r.scenario.CountFrom/day) * day; from+day <= trace.Duration(); from += day {
		if n := trace.Arrived(from+day) - trace.Arrived(from); n > most {
			best, most = span{from, from + day}, n
		}
	}
	return best, most >= 0
}

// headline is the outcome in a few numbers: the rule as promised, against the cheapest other rule that was as punctual.
type headline struct {
	Ours, Rival backtestRow
	// Matched says that there is a Rival with as few or fewer late records; else it is the most punctual of the others.
	Matched bool
	// SavedRatio is the share of the Rival's replica-hours that Ours does without; negative where it takes more.
	SavedRatio float64
	// PerMonth is what is saved in 30 days, in replica-hours and by the price.
	HoursPerMonth, PricePerMonth float64
}

func (r *backtestResult) headline() headline {
	h := headline{}
	for _, row := range r.Rows {
		if row.Policy == ours && row.Setting == r.ViolationRatio {
			h.Ours = row
		}
	}
	for _, row := range r.Rows {
		if row.KnowsTheFuture || strings.HasPrefix(row.Policy, ours) {
			continue
		}
		matches := row.LateRatio <= h.Ours.LateRatio
		switch {
		case h.Rival.Policy == "", matches && !h.Matched,
			matches && row.CostRatio < h.Rival.CostRatio,
			!matches && !h.Matched && row.LateRatio < h.Rival.LateRatio:
			h.Rival, h.Matched = row, matches
		}
	}
	if h.Rival.ReplicaHours > 0 {
		h.SavedRatio = 1 - h.Ours.ReplicaHours/h.Rival.ReplicaHours
	}
	if r.Days > 0 {
		counted := (r.scenario.Trace.Duration() - r.scenario.CountFrom) / 86400
		h.HoursPerMonth = (h.Rival.ReplicaHours - h.Ours.ReplicaHours) / counted * 30
		h.PricePerMonth = (h.Rival.Price - h.Ours.Price) / counted * 30
	}
	return h
}

// RivalName and the like serve the page.
func (h headline) RivalName() string { return rowName(h.Rival) }

// Saved returns the saving in per cent.
func (h headline) Saved() string { return fmt.Sprintf("%.0f", math.Abs(100*h.SavedRatio)) }

// Marks says how the table shows a row.
func (h headline) Marks(row backtestRow) string {
	switch {
	case row.Policy == h.Ours.Policy && row.Setting == h.Ours.Setting:
		return "ours"
	case row.Policy == h.Rival.Policy && row.Setting == h.Rival.Setting:
		return "rival"
	case row.KnowsTheFuture:
		return "future"
	}
	return ""
}

// Percent and the like serve the page.
func (r backtestRow) Percent() string { return fmt.Sprintf("%.4f", 100*r.LateRatio) }

// PromisedPercent is the share of records that may be late.
func (r *backtestResult) PromisedPercent() float64 { return 100 * r.ViolationRatio }

// WarmHours is the beginning of the history that is not counted.
func (r *backtestResult) WarmHours() float64 { return r.scenario.CountFrom / 3600 }

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

// ticks makes a plot over time with its axes; start is when second 0 was, and the zero Time where nobody knows.
func (s plotScale) ticks(title, unit string, start time.Time) plot {
	p := plot{Title: title, Unit: unit, Width: plotWidth, Height: plotHeight, Highest: s.y1}
	days := (s.x1 - s.x0) / 86400
	step, format, per, layout := 86400.0, "day %g", 86400.0, "2 Jan"
	switch {
	case days > 14:
		step = math.Ceil(days/14) * 86400
	case days < 0.25:
		step, format, per, layout = 1800, "%g min", 60, "15:04"
	case days < 2:
		step, format, per, layout = 14400, "%g h", 3600, "15:04"
	}
	for at := math.Ceil(s.x0/step) * step; at <= s.x1; at += step {
		text := fmt.Sprintf(format, at/per)
		if !start.IsZero() {
			text = start.Add(time.Duration(at * float64(time.Second))).UTC().Format(layout)
		}
		p.XTicks = append(p.XTicks, tickMark{s.x(at), text})
	}
	for _, v := range niceTicks(s.y0, s.y1) {
		p.YTicks = append(p.YTicks, tickMark{s.y(v), tickText(v)})
	}
	return p
}

// tickText writes a number short enough to stand beside an axis.
func tickText(v float64) string {
	switch {
	case v >= 1e6:
		return plain(v/1e6) + " M"
	case v >= 1e4:
		return plain(v/1e3) + " k"
	}
	return plain(v)
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

// overTime returns the plots of one stretch.
func (r *backtestResult) overTime(at span) []plot {
	limit := 5 * r.Objective
	lag := r.perPolicy(fmt.Sprintf("Seconds behind, cut off at %.0f s", limit), "s", at, limit, func(p sim.Point) float64 { return p.LagSeconds })
	lag.Rules = []plotRule{{Y: plotScale{at.from, at.to, 0, lag.Highest}.y(r.Objective), Text: "objective"}}
	return []plot{
		r.arrivalsPlot(at),
		r.perPolicy("Replicas paid for", "replicas", at, math.Inf(1), func(p sim.Point) float64 { return float64(p.Ready + p.Starting) }),
		lag,
	}
}

// ticksOf returns the ticks that a stretch covers.
func (r *backtestResult) ticksOf(at span) (first, count int) {
	tick := r.scenario.Tick
	first = int(at.from / tick)
	return first, max(1, int(at.to/tick)-first)
}

// arrivalsPlot shows the arrivals and the forecast that was made for each moment a lead time before it.
func (r *backtestResult) arrivalsPlot(at span) plot {
	s := &r.scenario
	first, count := r.ticksOf(at)
	ahead := max(1, int(math.Ceil(s.Lead/s.Tick)))
	model := r.recorded.Playback()
	var f forecaster.Forecast
	bands := [][2]float64{{0.5, 0.99}, {0.5, 0.9}} // the wider first, so that the narrower is drawn over it
	values := map[float64][]float64{}
	for _, band := range bands {
		for _, level := range band {
			values[level] = make([]float64, count)
		}
	}
	for i := range count {
		made := first + i - ahead
		if made < 0 {
			continue
		}
		model.Observe(r.recorded.Time(made), 0)
		model.Forecast(&f, ahead)
		if f.Steps < ahead || !f.Warm {
			continue
		}
		for k, l := range f.Levels {
			if to, ok := values[l]; ok {
				to[i] = f.Quantile(ahead, k)
			}
		}
	}
	fan := map[float64][]float64{}
	for l, v := range values {
		fan[l] = bucketed(count, func(i int) float64 { return v[i] })
	}
	arrivals := bucketed(count, func(i int) float64 {
		from := float64(first+i) * s.Tick
		return (s.Trace.Arrived(from+s.Tick) - s.Trace.Arrived(from)) / s.Tick
	})
	sc := plotScale{at.from, at.to, 0, 1.05 * min(highestOf(arrivals, fan[0.99]), 2*highestOf(arrivals))}
	for _, list := range fan {
		for i := range list {
			list[i] = min(list[i], sc.y1)
		}
	}
	p := sc.ticks(fmt.Sprintf("Arrivals, and the forecast made %.0f s before", s.Lead), "records/s", s.Start)
	for _, band := range bands {
		p.Bands = append(p.Bands, plotLine{fmt.Sprintf("forecast, median to %g", band[1]), palette[5], sc.band(fan[band[0]], fan[band[1]], at.from, at.to)})
	}
	p.Lines = []plotLine{{"arrivals", palette[0], sc.path(arrivals, at.from, at.to)}}
	return p
}

func (r *backtestResult) perPolicy(title, unit string, at span, limit float64, value func(sim.Point) float64) plot {
	first, count := r.ticksOf(at)
	var lists [][]float64
	var names, rules []string
	for _, row := range r.Rows {
		if first+count <= len(row.points) {
			lists = append(lists, bucketed(count, func(i int) float64 { return value(row.points[first+i]) }))
			names, rules = append(names, rowName(row)), append(rules, row.Policy)
		}
	}
	sc := plotScale{at.from, at.to, 0, min(1.05*highestOf(lists...), limit)}
	for _, l := range lists {
		for i := range l {
			l[i] = min(l[i], sc.y1)
		}
	}
	p := sc.ticks(title, unit, r.scenario.Start)
	// Ours last, so that it lies on top.
	for i := len(lists) - 1; i >= 0; i-- {
		p.Lines = append(p.Lines, plotLine{names[i], r.color(rules[i]), sc.path(lists[i], at.from, at.to)})
	}
	return p
}

// color returns a rule's colour, the same in all plots.
func (r *backtestResult) color(rule string) string {
	n := 0
	for i, row := range r.Rows {
		if row.Policy == rule {
			break
		}
		if !slices.ContainsFunc(r.Rows[:i], func(x backtestRow) bool { return x.Policy == row.Policy }) {
			n++
		}
	}
	return palette[n%len(palette)]
}

func rowName(row backtestRow) string {
	if row.Setting == 0 {
		return row.Policy
	}
	return fmt.Sprintf("%s %g", row.Policy, row.Setting)
}

// paretoPlot shows cost against late records on a logarithmic axis.
func (r *backtestResult) paretoPlot() plot {
	const floor = 1e-6
	log := func(x float64) float64 { return math.Log10(max(x, floor)) }
	low, high, costly := log(r.ViolationRatio), -9.0, 1.0
	for _, row := range r.Rows {
		low, high = min(low, log(row.LateRatio)), max(high, log(row.LateRatio))
		costly = max(costly, row.CostRatio)
	}
	sc := plotScale{1, 1.03 * costly, math.Floor(low), math.Ceil(high + 1e-9)}
	if sc.y1 <= sc.y0 {
		sc.y1 = sc.y0 + 1
	}
	p := plot{Title: "", Unit: "cost, in multiples of the least that any rule could pay; upwards: share of late records, logarithmic", Width: plotWidth, Height: plotHeight}
	for _, v := range niceTicks(sc.x0, sc.x1) {
		p.XTicks = append(p.XTicks, tickMark{sc.x(v), plain(v) + " ×"})
	}
	for e := sc.y0; e <= sc.y1; e++ {
		p.YTicks = append(p.YTicks, tickMark{sc.y(e), plain(100*math.Pow(10, e)) + " %"})
	}
	p.Rules = []plotRule{{Y: sc.y(log(r.ViolationRatio)), Text: "promised"}}
	if r.OracleUpper > sc.x0 && r.OracleUpper < sc.x1 {
		p.Posts = []plotRule{{X: sc.x(r.OracleUpper), Text: "a clairvoyant pays this"}}
	}
	best := r.headline()
	byRule := map[string][]backtestRow{}
	var names []string
	for _, row := range r.Rows {
		if byRule[row.Policy] == nil {
			names = append(names, row.Policy)
		}
		byRule[row.Policy] = append(byRule[row.Policy], row)
	}
	for _, name := range names {
		rows, color := byRule[name], r.color(name)
		slices.SortFunc(rows, func(a, b backtestRow) int { return cmp.Compare(a.Setting, b.Setting) })
		line := plotLine{Name: name, Color: color}
		for j, row := range rows {
			x, y := sc.x(row.CostRatio), sc.y(log(row.LateRatio))
			if len(rows) > 1 {
				line.Path += fmt.Sprintf("%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[j == 0], x, y)
			}
			dot := plotDot{X: x, Y: y, Name: name, Color: color, R: 5, Label: fmt.Sprintf("%s: cost %.3f, late %.4f %%", rowName(row), row.CostRatio, 100*row.LateRatio)}
			if mark := best.Marks(row); mark == "ours" || mark == "rival" {
				dot.R, dot.Text = 8, rowName(row)
			}
			p.Dots = append(p.Dots, dot)
		}
		p.Lines = append(p.Lines, line)
	}
	var standing []box
	for _, rule := range p.Rules {
		standing = append(standing, textBox(rule.Text, plotWidth, rule.Y-4, true))
	}
	for _, post := range p.Posts {
		standing = append(standing, textBox(post.Text, post.X+4, 12, false))
	}
	placeLabels(p.Dots, standing)
	return p
}
