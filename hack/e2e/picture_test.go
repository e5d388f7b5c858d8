//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"html"
	"math"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// quantity is a Kubernetes quantity as a number.
type quantity float64

func (q *quantity) UnmarshalJSON(b []byte) error {
	var parsed resource.Quantity
	if err := json.Unmarshal(b, &parsed); err != nil {
		return err
	}
	*q = quantity(parsed.AsApproximateFloat64())
	return nil
}

// curve is one line of a panel.
type curve struct {
	name, colour string
	of           func(sample) float64
}

// draw returns the run as an SVG: replicas, traffic and lag over time, one below the other, with the moments of note.
func draw(samples []sample, notes []note) string {
	const width, height, left, top = 900.0, 170.0, 60.0, 24.0
	panels := []struct {
		title  string
		curves []curve
	}{
		{"replicas", []curve{
			{"wanted by Prescale", "#d95f02", func(s sample) float64 { return s.desired }},
			{"asked for by the HPA", "#1f77b4", func(s sample) float64 { return s.spec }},
			{"ready", "#2ca02c", func(s sample) float64 { return s.ready }},
		}},
		{"records per second", []curve{
			{"forecast", "#d95f02", func(s sample) float64 { return s.forecast }},
			{"arriving", "#1f77b4", func(s sample) float64 { return s.arrival }},
		}},
		{"lag, seconds", []curve{{"lag", "#1f77b4", func(s sample) float64 { return s.lagSeconds }}}},
	}
	end := time.Second
	if len(samples) > 0 {
		end = samples[len(samples)-1].at
	}
	x := func(at time.Duration) float64 { return left + width*float64(at)/float64(end) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12" width="%g" height="%g">`+"\n"+`<rect width="100%%" height="100%%" fill="white"/>`+"\n",
		left+width+20, float64(len(panels))*(height+60)+20)
	for i, panel := range panels {
		y0 := top + float64(i)*(height+60)
		highestSeen := 1.0
		for _, c := range panel.curves {
			highestSeen = max(highestSeen, highest(samples, c.of))
		}
		y := func(v float64) float64 { return y0 + height - height*v/highestSeen }
		fmt.Fprintf(&b, `<text x="%g" y="%g" font-weight="bold">%s</text>`+"\n", left, y0-8, panel.title)
		fmt.Fprintf(&b, `<rect x="%g" y="%g" width="%g" height="%g" fill="none" stroke="#ccc"/>`+"\n", left, y0, width, height)
		fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="end">%.3g</text><text x="%g" y="%g" text-anchor="end">0</text>`+"\n", left-6, y0+10, highestSeen, left-6, y0+height)
		for _, n := range notes {
			fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%g" y2="%g" stroke="#999" stroke-dasharray="3 3"><title>%s</title></line>`+"\n", x(n.at), x(n.at), y0, y0+height, html.EscapeString(n.text))
		}
		for j, c := range panel.curves {
			fmt.Fprintf(&b, `<text x="%g" y="%g" fill="%s">%s</text>`+"\n", left+160+150*float64(j), y0-8, c.colour, c.name)
			var points []string
			flush := func() {
				if len(points) > 0 {
					fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="%s"/>`+"\n", c.colour, strings.Join(points, " "))
				}
				points = nil
			}
			for _, s := range samples { // a gap where there was no value: missing is not zero
				if v := c.of(s); math.IsNaN(v) {
					flush()
				} else {
					points = append(points, fmt.Sprintf("%.1f,%.1f", x(s.at), y(v)))
				}
			}
			flush()
		}
	}
	for k, n := range notes {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" font-size="10" fill="#555">%s</text>`+"\n", x(n.at)+2, top+height+14+11*float64(k%4), html.EscapeString(n.text))
	}
	b.WriteString("</svg>\n")
	return b.String()
}
