package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestLabelsKeepOffDotsAndEachOther(t *testing.T) {
	covered := func(dots []plotDot, standing []box) string {
		for i, d := range dots {
			if d.Text == "" {
				continue
			}
			b := textBox(d.Text, d.TextX, d.TextY, d.Left)
			for j, o := range dots {
				if j != i && b.meets(box{o.X - o.R, o.Y - o.R, o.X + o.R, o.Y + o.R}) {
					return fmt.Sprintf("the label of dot %d covers dot %d", i, j)
				}
				if j < i && o.Text != "" && b.meets(textBox(o.Text, o.TextX, o.TextY, o.Left)) {
					return fmt.Sprintf("the labels of dots %d and %d cover each other", j, i)
				}
			}
			for _, s := range standing {
				if b.meets(s) {
					return fmt.Sprintf("the label of dot %d covers what stands there", i)
				}
			}
			if b.x0 < 0 || b.x1 > plotWidth || b.y0 < 0 || b.y1 > plotHeight {
				return fmt.Sprintf("the label of dot %d leaves the plot", i)
			}
		}
		return ""
	}
	for _, tt := range []struct {
		name     string
		dots     []plotDot
		standing []box
	}{
		{"alone", []plotDot{{X: 500, Y: 100, R: 8, Text: "prescale 0.001"}}, nil},
		{"two, close together", []plotDot{{X: 660, Y: 140, R: 8, Text: "rate + drain (Flink) 0.5"}, {X: 840, Y: 180, R: 8, Text: "prescale 0.001"}, {X: 810, Y: 165, R: 5}}, nil},
		{"side by side", []plotDot{{X: 500, Y: 100, R: 8, Text: "prescale 0.001"}, {X: 510, Y: 104, R: 8, Text: "HPA on rate 0.7"}}, nil},
		{"in the corners", []plotDot{{X: 995, Y: 235, R: 8, Text: "prescale 0.001"}, {X: 5, Y: 5, R: 8, Text: "HPA on rate 0.7"}}, nil},
		{"side by side on the floor", []plotDot{{X: 73, Y: 240, R: 8, Text: "prescale 0.001"}, {X: 131, Y: 240, R: 8, Text: "HPA on rate 0.7"}}, nil},
		{"on each other in the corner", []plotDot{{X: 0, Y: 0, R: 8, Text: "prescale 0.001"}, {X: 0, Y: 0, R: 8, Text: "HPA on rate 0.5"}}, nil},
		{"under a text", []plotDot{{X: 900, Y: 100, R: 8, Text: "prescale 0.001"}}, []box{{880, 70, 1000, 95}}},
		{"dots all around but left below", []plotDot{{X: 500, Y: 100, R: 8, Text: "prescale"}, {X: 530, Y: 85, R: 5}, {X: 530, Y: 115, R: 5}, {X: 470, Y: 85, R: 5}}, nil},
	} {
		placeLabels(tt.dots, tt.standing)
		if said := covered(tt.dots, tt.standing); said != "" {
			t.Errorf("%s: %s: %+v", tt.name, said, tt.dots)
		}
	}
	// Each stands beside its own dot, and not across the other's.
	pair := []plotDot{{X: 508, Y: 100, R: 8, Text: "HPA on rate 0.7"}, {X: 500, Y: 100, R: 8, Text: "prescale 0.001"}}
	if placeLabels(pair, nil); pair[0].Left || !pair[1].Left {
		t.Errorf("of two neighbours the text of the right one is left: %v, of the left one: %v", pair[0].Left, pair[1].Left)
	}
	// Where there is room it is found: ten dots at random, of which two have a text.
	random := rand.New(rand.NewPCG(1, 1))
	bad := 0
	for range 1000 {
		var dots []plotDot
		for i := range 10 {
			d := plotDot{X: 1000 * random.Float64(), Y: 240 * random.Float64(), R: 5}
			if i < 2 {
				d.R, d.Text = 8, "HPA on rate 0.7"
			}
			dots = append(dots, d)
		}
		placeLabels(dots, nil)
		if covered(dots, nil) != "" {
			bad++
		}
	}
	if bad > 10 {
		t.Errorf("%d of 1000 pictures have a label over something, want at most 10", bad)
	}
}
