package main

import (
	"slices"
	"unicode/utf8"
)

// box is a rectangle of a plot, upright, with y downwards.
type box struct{ x0, y0, x1, y1 float64 }

func (b box) meets(o box) bool { return b.x0 < o.x1 && o.x0 < b.x1 && b.y0 < o.y1 && o.y0 < b.y1 }

// The text of a plot is 12 units high, and its bold letters at most so wide on average.
const (
	letterWidth  = 7.4
	letterHeight = 12.0
)

// textBox returns what a text covers whose base line is at y, and that begins at x, or with left ends there.
func textBox(text string, x, y float64, left bool) box {
	width := letterWidth * float64(utf8.RuneCountInString(text))
	if left {
		x -= width
	}
	return box{x, y - letterHeight, x + width, y + 3}
}

// placeLabels puts the text of each dot that has one where it covers fewest other dots, and above all no text that stands already
// and nothing outside the plot. Of places as good it takes one away from the other dots that have a text, so that each text is beside
// its own, and of these the first: above, below, beside the dot, and a line further up or down.
func placeLabels(dots []plotDot, standing []box) {
	for i := range dots {
		d := &dots[i]
		if d.Text == "" {
			continue
		}
		away := slices.ContainsFunc(dots, func(o plotDot) bool { return o.Text != "" && o.X > d.X }) // to the left
		least := -1
		var taken box
		for _, place := range []struct {
			dx, dy float64
			left   bool
		}{{6, -d.R - 4, false}, {6, d.R + 14, false}, {-6, -d.R - 4, true}, {-6, d.R + 14, true}, {d.R + 6, 4, false},
			{-d.R - 6, 4, true}, {6, -d.R - 20, false}, {-6, -d.R - 20, true}, {6, d.R + 30, false}, {-6, d.R + 30, true}} {
			x, y := d.X+place.dx, d.Y+place.dy
			b := textBox(d.Text, x, y, place.left)
			covers := 0
			for j, o := range dots {
				if j != i && b.meets(box{o.X - o.R, o.Y - o.R, o.X + o.R, o.Y + o.R}) {
					covers++
				}
			}
			for _, s := range standing {
				if b.meets(s) {
					covers += len(dots)
				}
			}
			if b.x0 < 0 || b.x1 > plotWidth || b.y0 < 0 || b.y1 > plotHeight {
				covers += len(dots)
			}
			cost := 2 * covers
			if place.left != away {
				cost++
			}
			if least < 0 || cost < least {
				least, taken = cost, b
				d.TextX, d.TextY, d.Left = x, y, place.left
			}
		}
		standing = append(standing, taken)
	}
}
