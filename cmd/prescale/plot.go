package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

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
	Left bool // the text of an upright one stands left of it
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
var palette = []string{"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#888888", "#9467BD", "#8C564B",
	"#B8A000", "#00A3A3"}

// plotScale maps data to the picture.
type plotScale struct{ x0, x1, y0, y1 float64 }

func (s plotScale) x(v float64) float64 { return (v - s.x0) / (s.x1 - s.x0) * plotWidth }
func (s plotScale) y(v float64) float64 {
	return plotHeight - (v-s.y0)/(s.y1-s.y0)*plotHeight
}

// bucketed thins values over time out to the highest of each bucket, so that no peak is lost. NaN stands for a missing value; a bucket
// of nothing else is NaN.
func bucketed(n int, value func(i int) float64) []float64 {
	count := min(n, plotBuckets)
	out := make([]float64, count)
	for b := range out {
		from, to := b*n/count, max((b+1)*n/count, b*n/count+1)
		highest := math.NaN()
		for i := from; i < min(to, n); i++ {
			if v := value(i); !(v <= highest) && !math.IsNaN(v) {
				highest = v
			}
		}
		out[b] = highest
	}
	return out
}

// path draws a line through values that are spread evenly from begin to end.
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

// band closes the area between a lower and an upper line, a piece for each stretch in which neither is missing.
func (s plotScale) band(lower, upper []float64, begin, end float64) string {
	var b strings.Builder
	there := func(i int) bool { return i < len(lower) && !math.IsNaN(lower[i]) && !math.IsNaN(upper[i]) }
	edge := func(i int) float64 { return begin + float64(i)/float64(len(lower))*(end-begin) }
	for first := 0; first < len(lower); first++ {
		last := first
		for there(last) {
			last++
		}
		if last == first {
			continue
		}
		back := slices.Clone(lower[first:last])
		slices.Reverse(back)
		b.WriteString(s.path(upper[first:last], edge(first), edge(last)))
		b.WriteString("L" + strings.TrimPrefix(s.path(back, edge(last), edge(first)), "M") + "Z")
		first = last
	}
	return b.String()
}

// ticks makes a plot over time with its axes; start is when second 0 was, and the zero Time where nobody knows.
func (s plotScale) ticks(title, unit string, start time.Time) plot {
	p := plot{Title: title, Unit: unit, Width: plotWidth, Height: plotHeight, Highest: s.y1}
	days := (s.x1 - s.x0) / 86400
	step, format, per, layout := 86400.0, "day %g", 86400.0, "2 Jan"
	switch {
	case days > 14:
		step = math.Ceil(days/14) * 86400
	case days < 1.0/12:
		step, format, per, layout = 600, "%g min", 60, "15:04"
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

// tickText writes a number to four digits, short enough to stand beside an axis.
func tickText(v float64) string {
	unit := ""
	for _, u := range []struct {
		from, size float64
		text       string
	}{{999.95e6, 1e9, " G"}, {999.95e3, 1e6, " M"}, {9999.5, 1e3, " k"}} { // from where four digits round up to the unit
		if v >= u.from {
			v, unit = v/u.size, u.text
			break
		}
	}
	return strconv.FormatFloat(v, 'g', 4, 64) + unit
}

// niceTicks returns round numbers from low to high, five steps at most.
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

// highestOf returns the highest finite value, and a little where there is none above 0.
func highestOf(lists ...[]float64) float64 {
	h := 1e-9
	for _, l := range lists {
		for _, v := range l {
			if v > h && !math.IsInf(v, 0) {
				h = v
			}
		}
	}
	return h
}
