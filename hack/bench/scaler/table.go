package main

import (
	"fmt"
	"io"
	"slices"
)

// point is a policy at one setting, averaged over the seeds.
type point struct {
	policy  string
	setting float64
	outcome
}

// cell is one trace at one lead time.
type cell struct {
	key
	ours, perfect, persist, baseline []point
	oracle                           point
	hasOracle                        bool
}

// average returns the mean over the seeds, and false where one is missing.
func (o *options) average(k key) (point, bool) {
	p := point{policy: k.Policy, setting: k.Setting}
	n := float64(o.seeds)
	for seed := 1; seed <= o.seeds; seed++ {
		k.Seed = seed
		r, ok := o.store.get(k)
		if !ok {
			return p, false
		}
		p.Cost += r.Cost / n
		p.Late += r.Late / n
		p.WaitP99 += r.WaitP99 / n
		p.ChangesDay += r.ChangesDay / n
		p.MovesDay += r.MovesDay / n
	}
	return p, true
}

// collect gathers what is known of a cell.
func (o *options) collect(k key) cell {
	c := cell{key: k}
	gather := func(points *[]point, policy string, settings []float64, rule string) {
		for _, setting := range settings {
			k := k
			k.Policy, k.Setting, k.Rule = policy, setting, rule
			if p, ok := o.average(k); ok {
				*points = append(*points, p)
			}
		}
	}
	gather(&c.ours, ours, promises, o.rule)
	gather(&c.perfect, perfect, promises, o.rule)
	gather(&c.persist, persistence, promises, o.rule)
	for _, b := range baselines {
		gather(&c.baseline, b.name, b.settings, "")
	}
	k.Policy = oracle
	if r, ok := o.store.get(k); ok {
		c.oracle, c.hasOracle = point{policy: oracle, outcome: r}, true
	}
	return c
}

// cheapest returns the cheapest of points with no more late records.
func cheapest(points []point, late float64) (point, bool) {
	best, found := point{}, false
	for _, p := range points {
		if p.Late <= late && (!found || p.Cost < best.Cost) {
			best, found = p, true
		}
	}
	return best, found
}

// gains returns, promise by promise, by which share ours is cheaper than the cheapest baseline with as few late records; 1
// where no baseline has so few.
func (c *cell) gains() []float64 {
	var g []float64
	for _, p := range c.ours {
		if b, ok := cheapest(c.baseline, p.Late); ok {
			g = append(g, 1-p.Cost/b.Cost)
		} else {
			g = append(g, 1)
		}
	}
	return g
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}

// keptFactor is how many times the promised share may come late for the promise to count as kept.
const keptFactor = 2

// print writes every point of a cell.
func (c *cell) print(w io.Writer, verbose bool) {
	fmt.Fprintf(w, "\n%s, lead %g s, %d partitions", c.Trace, c.Lead, c.Partitions)
	if c.hasOracle {
		fmt.Fprintf(w, ", oracle %.3f", c.oracle.Cost)
	}
	fmt.Fprintln(w)
	row := func(p point, extra string) {
		fmt.Fprintf(w, "  %-22s %8.4g  cost %6.3f  late %8.4f %%  p99 %6.1f s  %5.0f changes/day  %6.0f moves/day%s\n", p.policy, p.setting, p.Cost, 100*p.Late, p.WaitP99, p.ChangesDay, p.MovesDay, extra)
	}
	gains := c.gains()
	for i, p := range c.ours {
		extra := ""
		if b, ok := cheapest(c.baseline, p.Late); ok {
			extra = fmt.Sprintf("  gain %5.1f %% over %s %g at %.3f", 100*gains[i], b.policy, b.setting, b.Cost)
		}
		row(p, extra)
	}
	for _, points := range [][]point{c.perfect, c.persist} {
		for _, p := range points {
			row(p, "")
		}
	}
	if verbose {
		for _, p := range c.baseline {
			row(p, "")
		}
	}
}

// summary writes the one table: a line a cell, then what they come to.
func summary(w io.Writer, cells []cell) {
	fmt.Fprintf(w, "\nGain: by which share of its cost ours is cheaper than the cheapest baseline with as few late records, per promise (%v);\n"+
		"\"none\" where no baseline has so few. Kept: late records at most %d times the promise; ! broken though perfect forecasts keep it,\n"+
		"- broken with perfect forecasts too, + kept.\n", promises, keptFactor)
	fmt.Fprintf(w, "%-22s %5s %s %38s %8s %7s %7s %9s  %s\n", "trace", "lead", "gain per promise", "", "median", "worst", "oracle", "perfect", "kept")
	cellsCompared, ten, fifteen, dear := 0, 0, 0, 0
	kept, keepable, broken := 0, 0, 0
	worst, worstAt := 1.0, ""
	for i := range cells {
		c := &cells[i]
		fmt.Fprintf(w, "%-22s %5g ", c.Trace, c.Lead)
		if g := c.gains(); len(g) > 0 && len(c.baseline) > 0 {
			for _, x := range g {
				if x == 1 {
					fmt.Fprintf(w, " %8s", "none")
				} else {
					fmt.Fprintf(w, " %6.1f %%", 100*x)
				}
			}
			low := slices.Min(g)
			m := median(g)
			fmt.Fprintf(w, "   %6.1f %% %6.1f %%", 100*m, 100*low)
			cellsCompared++
			if m >= 0.10 {
				ten++
			}
			if m >= 0.15 {
				fifteen++
			}
			if low < -0.03 {
				dear++
			}
			if low < worst {
				worst, worstAt = low, fmt.Sprintf("%s at %g s", c.Trace, c.Lead)
			}
		} else {
			for _, p := range c.ours {
				fmt.Fprintf(w, " | %6.3f %8.4f%%", p.Cost, 100*p.Late)
			}
		}
		if c.hasOracle {
			fmt.Fprintf(w, " %7.3f", c.oracle.Cost)
		}
		if len(c.perfect) > 1 {
			fmt.Fprintf(w, " %9.3f", c.perfect[1].Cost)
		}
		fmt.Fprint(w, "  ")
		for i, p := range c.ours {
			mark := "+"
			if p.Late > keptFactor*p.setting {
				mark = "!"
				if i < len(c.perfect) && c.perfect[i].Late > keptFactor*p.setting {
					mark = "-"
				}
			}
			switch mark {
			case "+":
				kept, keepable = kept+1, keepable+1
			case "!":
				broken, keepable = broken+1, keepable+1
			}
			fmt.Fprint(w, mark)
		}
		fmt.Fprintln(w)
	}
	if cellsCompared > 0 {
		fmt.Fprintf(w, "cells: %d; at least 10 %% cheaper (median over the promises): %d (%.0f %%); at least 15 %%: %d; with a promise at which ours is more than 3 %% dearer: %d; worst: %.1f %% (%s)\n",
			cellsCompared, ten, 100*float64(ten)/float64(cellsCompared), fifteen, dear, 100*worst, worstAt)
	}
	if keepable > 0 {
		fmt.Fprintf(w, "promises that perfect forecasts keep: %d; kept by ours too: %d (%.0f %%); broken: %d\n", keepable, kept, 100*float64(kept)/float64(keepable), broken)
	}
}
