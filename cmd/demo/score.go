package main

import (
	"fmt"
	"strconv"

	"github.com/prescale/prescale/cmd/internal/console"
	"github.com/prescale/prescale/metrics/series"
)

// scoreOf lays a summary out as the table that the page and the end of the run show.
func scoreOf(s Summary, done bool) console.Score {
	score := console.Score{
		Done: done,
		Note: fmt.Sprintf("Two consumer groups read the same topic. The plain HPA scales on lag with the controller's default rules; "+
			"both have the same replicas, "+
			"start-up delays and service times. The first %s are left out.", minutes(s.WarmUpSeconds)),
	}
	for _, side := range s.Sides {
		score.Columns = append(score.Columns, side.Name)
	}
	row := func(label string, figure func(Side) (float64, bool), text func(float64) string) {
		r := console.ScoreRow{Label: label, Best: -1}
		var first float64
		for i, side := range s.Sides {
			x, known := figure(side)
			if !known {
				r.Values = append(r.Values, "–")
				continue
			}
			r.Values = append(r.Values, text(x))
			switch {
			case i == 0:
				first, r.Best = x, 0
			case r.Best == 0 && x < first:
				r.Best = i
			case r.Best == 0 && x == first:
				r.Best = -1
			}
		}
		score.Rows = append(score.Rows, r)
	}
	optional := func(x *float64) (float64, bool) {
		if x == nil {
			return 0, false
		}
		return *x, true
	}
	seconds := func(x float64) string { return fmt.Sprintf("%.1f s", x) }
	whole := func(x float64) string { return strconv.Itoa(int(x)) }
	row("median behind", func(s Side) (float64, bool) { return optional(s.P50Seconds) }, seconds)
	row("p99 behind", func(s Side) (float64, bool) { return optional(s.P99Seconds) }, seconds)
	row(fmt.Sprintf("late, over %g s", s.ObjectiveSeconds), func(s Side) (float64, bool) {
		if s.Records == 0 {
			return 0, false
		}
		return 100 * float64(s.Late) / float64(s.Records), true
	}, func(x float64) string { return fmt.Sprintf("%.2f %%", x) })
	row("records late", func(s Side) (float64, bool) { return float64(s.Late), s.Records > 0 }, whole)
	row("replica-hours", func(s Side) (float64, bool) { return s.ReplicaHours, true },
		func(x float64) string { return fmt.Sprintf("%.2f", x) })
	if done {
		row("without answer at the end", func(s Side) (float64, bool) { return float64(s.Unanswered), true }, whole)
		row("answered twice", func(s Side) (float64, bool) { return float64(s.AnsweredTwice), true }, whole)
	}
	if len(s.Sides) > 0 {
		ours := s.Sides[0]
		score.Late, score.Records = ours.Late, ours.Records
		if ours.InTimeRatio != nil {
			score.InTimeRatio = series.Of(*ours.InTimeRatio)
		}
	}
	return score
}

func minutes(seconds float64) string {
	if seconds == 60 {
		return "minute"
	}
	return fmt.Sprintf("%g minutes", seconds/60)
}
