package main

import (
	"slices"
	"testing"
)

func TestFront(t *testing.T) {
	for _, c := range []struct {
		points, want [][2]float64 // cost, late
	}{
		{[][2]float64{{3, 0}, {2, 0}, {1, 0.1}}, [][2]float64{{2, 0}, {1, 0.1}}},
		{[][2]float64{{2, 0.1}, {2, 0.1}}, [][2]float64{{2, 0.1}}},
		{[][2]float64{{2, 0.1}, {3, 0.2}, {3, 0.01}}, [][2]float64{{2, 0.1}, {3, 0.01}}},
		{nil, nil},
	} {
		var points []point
		for _, x := range c.points {
			points = append(points, point{outcome: outcome{Cost: x[0], Late: x[1]}})
		}
		var got [][2]float64
		for _, p := range front(points) {
			got = append(got, [2]float64{p.Cost, p.Late})
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("front(%v): got %v, want %v", c.points, got, c.want)
		}
	}
}
