package main

import (
	"strings"
	"testing"
)

func TestBacktestSaysWhereNoRuleCan(t *testing.T) {
	for _, c := range []struct {
		late, perfect, most float64
		want                string
	}{
		{0.0010, 0.0200, 0.0200, "kept"},
		{0.0011, 0.0009, 0.0000, "nobody foresaw"},
		{0.0400, 0.0020, 0.0010, "the lead time is too long"},
		{0.0400, 0.0300, 0.0011, "no rule can keep it, for with 48 replicas all the time 0.11 % come late"},
	} {
		r := backtestResult{ViolationRatio: 0.001, MostReplicas: 48, LateAtMost: c.most, Rows: []backtestRow{
			{Policy: ours, Setting: 0.001, LateRatio: c.late},
			{Policy: ours, Setting: 0.01, LateRatio: 0.5},
			{Policy: ours + ", perfect forecasts", LateRatio: c.perfect, KnowsTheFuture: true},
		}}
		if got := r.Promised(); !strings.Contains(got, c.want) {
			t.Errorf("late %v, perfect %v, most %v: got %q, want %q in it", c.late, c.perfect, c.most, got, c.want)
		}
	}
}
