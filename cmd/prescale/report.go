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

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/scaler/sim"
)

//go:embed report.html
var reportPage string

// writeReport writes the page, with everything in it that it needs.
func writeReport(path string, r *backtestResult) error {
	functions := template.FuncMap{"abs": func(x float64) string { return fmt.Sprintf("%.0f", math.Abs(x)) }}
	page, err := template.New("report").Funcs(functions).Parse(reportPage)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	whole := span{0, r.scenario.Trace.Duration()}
	sections := []plotSection{{"What it costs against what comes late",
		"Each dot is a rule at one setting, and a line joins the settings of one rule. Down and to the left is " +
			"better: cheaper, and fewer late.", []plot{r.paretoPlot()}}}
	if busy, ok := r.busiestDay(); ok {
		sections = append(sections, plotSection{"The busiest day", "From its beginning to its end, at full resolution.", r.overTime(busy)})
	}
	sections = append(sections, plotSection{"The whole history", "The highest value of each stretch is drawn, so that no peak is lost.",
		r.overTime(whole)})
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

// Hours returns the replica-hours, of which a short history has few.
func (r backtestRow) Hours() string {
	if r.ReplicaHours < 100 {
		return fmt.Sprintf("%.3g", r.ReplicaHours)
	}
	return fmt.Sprintf("%.0f", r.ReplicaHours)
}

// PromisedPercent is the share of records that may be late.
func (r *backtestResult) PromisedPercent() float64 { return 100 * r.ViolationRatio }

// Span returns how long the history is.
func (r *backtestResult) Span() string {
	if r.Days < 2 {
		return fmt.Sprintf("%.3g hours", 24*r.Days)
	}
	return fmt.Sprintf("%.1f days", r.Days)
}

// ToZero says that the shipped rule may do what the others are not tried at.
func (r *backtestResult) ToZero() bool { return r.scenario.Min == 0 }

// WarmHours is the beginning of the history that is not counted.
func (r *backtestResult) WarmHours() float64 { return r.scenario.CountFrom / 3600 }

// overTime returns the plots of one stretch.
func (r *backtestResult) overTime(at span) []plot {
	limit := 5 * r.Objective
	lag := r.perPolicy(fmt.Sprintf("Seconds behind, cut off at %.0f s", limit), at, limit,
		func(p sim.Point) float64 { return p.LagSeconds })
	lag.Rules = []plotRule{{Y: plotScale{at.from, at.to, 0, lag.Highest}.y(r.Objective), Text: "objective"}}
	return []plot{
		r.arrivalsPlot(at),
		r.perPolicy("Replicas paid for", at, math.Inf(1), func(p sim.Point) float64 { return float64(p.Ready + p.Starting) }),
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
			values[level] = slices.Repeat([]float64{math.NaN()}, count)
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
	p := sc.ticks(fmt.Sprintf("Arrivals, and the forecast made %.0f s before", s.Lead), "in records/s", s.Start)
	for _, band := range bands {
		p.Bands = append(p.Bands, plotLine{fmt.Sprintf("forecast, median to %g", band[1]), palette[5],
			sc.band(fan[band[0]], fan[band[1]], at.from, at.to)})
	}
	p.Lines = []plotLine{{"arrivals", palette[0], sc.path(arrivals, at.from, at.to)}}
	return p
}

func (r *backtestResult) perPolicy(title string, at span, limit float64, value func(sim.Point) float64) plot {
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
	p := sc.ticks(title, "", r.scenario.Start)
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
	low, high, cheap, costly := log(r.ViolationRatio), -9.0, 1.0, 1.0
	for _, row := range r.Rows {
		low, high = min(low, log(row.LateRatio)), max(high, log(row.LateRatio))
		cheap, costly = min(cheap, row.CostRatio), max(costly, row.CostRatio) // one that leaves records waiting may pay less than 1
	}
	sc := plotScale{cheap, 1.03 * costly, math.Floor(low), min(math.Ceil(high+1e-9), 0)}
	if sc.y1 <= sc.y0 {
		sc.y1 = sc.y0 + 1
	}
	p := plot{Title: "", Unit: "cost, in multiples of the least that any rule could pay; upwards: share of late records, logarithmic",
		Width: plotWidth, Height: plotHeight}
	for _, v := range niceTicks(sc.x0, sc.x1) {
		p.XTicks = append(p.XTicks, tickMark{sc.x(v), plain(v) + " ×"})
	}
	for e := sc.y0; e <= sc.y1; e++ {
		p.YTicks = append(p.YTicks, tickMark{sc.y(e), plain(100*math.Pow(10, e)) + " %"})
	}
	p.Rules = []plotRule{{Y: sc.y(log(r.ViolationRatio)), Text: "promised"}}
	if r.OracleUpper > sc.x0 && r.OracleUpper < sc.x1 {
		post := plotRule{X: sc.x(r.OracleUpper), Text: "a clairvoyant pays this"}
		post.Left = post.X > plotWidth/2
		p.Posts = []plotRule{post}
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
			dot := plotDot{X: x, Y: y, Name: name, Color: color, R: 5,
				Label: fmt.Sprintf("%s: cost %.3f, late %.4f %%", rowName(row), row.CostRatio, 100*row.LateRatio)}
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
		beside := 4.0
		if post.Left {
			beside = -4
		}
		standing = append(standing, textBox(post.Text, post.X+beside, 12, post.Left))
	}
	placeLabels(p.Dots, standing)
	return p
}
