package main

import (
	"fmt"
	"io"
	"math"
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

// front returns the points of which no other is at least as cheap with as few late records: what one would choose of.
func front(points []point) []point {
	var best []point
	for i, p := range points {
		dominated := false
		for j, q := range points {
			alike := q.Cost == p.Cost && q.Late == p.Late
			dominated = dominated || q.Cost <= p.Cost && q.Late <= p.Late && (!alike || j < i)
		}
		if !dominated {
			best = append(best, p)
		}
	}
	return best
}

// gains returns, point by point, by which share one of ours is cheaper than the cheapest baseline with as few late records; 1
// where no baseline has so few.
func (c *cell) gains(points []point) []float64 {
	var g []float64
	for _, p := range points {
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
		fmt.Fprintf(w, "  %-22s %8.4g  cost %6.3f  late %8.4f %%  p99 %6.1f s  %5.0f changes/day  %6.0f moves/day%s\n", p.policy,
			p.setting, p.Cost, 100*p.Late, p.WaitP99, p.ChangesDay, p.MovesDay, extra)
	}
	gains := c.gains(c.ours)
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

// splitAt is the promise at which the table shows what is lost to what: the middle one.
const splitAt = 2

// split is what one promise costs with more and less known, in units of the lower bound; NaN where it was not tried.
type split struct {
	// oracle knows all arrivals and plans for the whole trace; perfect is our rule with the arrivals as its forecast, ours with
	// those of the standard model, persist with the last value.
	oracle, perfect, ours, persist float64
}

func (c *cell) split() split {
	s := split{math.NaN(), math.NaN(), math.NaN(), math.NaN()}
	if c.hasOracle {
		s.oracle = c.oracle.Cost
	}
	for _, of := range []struct {
		points []point
		cost   *float64
	}{{c.perfect, &s.perfect}, {c.ours, &s.ours}, {c.persist, &s.persist}} {
		for _, p := range of.points {
			if p.setting == promises[splitAt] {
				*of.cost = p.Cost
			}
		}
	}
	return s
}

// summary writes the one table: a line a cell, then what they come to.
func summary(w io.Writer, cells []cell) {
	fmt.Fprintf(w,
		"\nGain: by which share of its cost ours is cheaper than the cheapest baseline with as few late records, per promise (%v);\n"+
			"\"none\" where no baseline has so few. Cost, in units of the lower bound, at a promise of %g: "+
			"of a clairvoyant who knows the partitions, of\n"+
			"our rule with perfect forecasts, as it is, and with the last value as its forecast. Kept: "+
			"late records at most %d times the promise;\n"+
			"! broken though perfect forecasts keep it, - broken with perfect forecasts too, + kept.\n", promises,
		promises[splitAt], keptFactor)
	fmt.Fprintf(w, "%-22s %5s %s %30s %8s %9s %8s %7s %7s %7s  %s\n", "trace", "lead", "gain per promise", "", "median", "worst",
		"oracle", "perfect", "ours", "last", "kept")
	var t totals
	for i := range cells {
		t.add(w, &cells[i])
	}
	t.print(w)
}

// totals is what the cells come to.
type totals struct {
	each, front                  comparison // of all promises, and of those on ours' own front
	kept, broken, hopeless, late int
	rule, forecast, lastValue    mean // ratios of costs
}

// comparison is how cells do against the baselines.
type comparison struct {
	cells, ten, fifteen, dear int
	worst                     float64
	worstAt                   string
}

// add takes the gains of one cell and returns their median and the least.
func (t *comparison) add(c *cell, gains []float64) (middle, low float64) {
	low, middle = slices.Min(gains), median(gains)
	t.cells++
	if middle >= 0.10 {
		t.ten++
	}
	if middle >= 0.15 {
		t.fifteen++
	}
	if low < -0.03 {
		t.dear++
	}
	if t.cells == 1 || low < t.worst {
		t.worst, t.worstAt = low, fmt.Sprintf("%s at %g s", c.Trace, c.Lead)
	}
	return middle, low
}

func (t *comparison) String() string {
	return fmt.Sprintf("at least 10 %% cheaper (median): %d of %d cells (%.0f %%); at least 15 %%: %d; "+
		"with one more than 3 %% dearer: %d; worst: %.1f %% (%s)",
		t.ten, t.cells, 100*float64(t.ten)/float64(t.cells), t.fifteen, t.dear, 100*t.worst, t.worstAt)
}

// mean is a geometric mean.
type mean struct {
	logs  float64
	count int
}

func (m *mean) add(x float64) {
	if !math.IsNaN(x) {
		m.logs += math.Log(x)
		m.count++
	}
}

func (m mean) String() string {
	if m.count == 0 {
		return "?"
	}
	return fmt.Sprintf("%.2f (%d cells)", math.Exp(m.logs/float64(m.count)), m.count)
}

func (t *totals) add(w io.Writer, c *cell) {
	fmt.Fprintf(w, "%-22s %5g ", c.Trace, c.Lead)
	if g := c.gains(c.ours); len(g) > 0 && len(c.baseline) > 0 {
		for _, x := range g {
			if x == 1 {
				fmt.Fprintf(w, " %8s", "none")
			} else {
				fmt.Fprintf(w, " %6.1f %%", 100*x)
			}
		}
		m, low := t.each.add(c, g)
		fmt.Fprintf(w, "   %6.1f %% %6.1f %%", 100*m, 100*low)
		t.front.add(c, c.gains(front(c.ours)))
	} else {
		for _, p := range c.ours {
			fmt.Fprintf(w, " | %6.3f %8.4f%%", p.Cost, 100*p.Late)
		}
	}
	s := c.split()
	fmt.Fprintf(w, " %s %s %s %s  ", cost(s.oracle), cost(s.perfect), cost(s.ours), cost(s.persist))
	if len(c.ours) > splitAt && c.ours[splitAt].Late <= keptFactor*promises[splitAt] {
		// Where a promise cannot be kept the price of lateness rises in vain, and costs tell of that alone.
		t.rule.add(s.perfect / s.oracle)
		t.forecast.add(s.ours / s.perfect)
		t.lastValue.add(s.persist / s.ours)
	}
	for i, p := range c.ours {
		perfectBreaks := i < len(c.perfect) && c.perfect[i].Late > keptFactor*p.setting
		switch {
		case p.Late <= keptFactor*p.setting:
			t.kept++
			fmt.Fprint(w, "+")
		case perfectBreaks:
			t.hopeless++
			fmt.Fprint(w, "-")
		default:
			t.broken++
			fmt.Fprint(w, "!")
		}
		if perfectBreaks && p.Late <= keptFactor*p.setting {
			t.late++
		}
	}
	fmt.Fprintln(w)
}

func cost(x float64) string {
	if math.IsNaN(x) {
		return "      ?"
	}
	return fmt.Sprintf("%7.3f", x)
}

func (t *totals) print(w io.Writer) {
	if t.each.cells > 0 {
		fmt.Fprintf(w, "over the promises, %v\n", &t.each)
		// Where two promises end with as few late records, the dearer one says what was not known beforehand and not what the rule can do.
		fmt.Fprintf(w, "over ours' own Pareto front, %v\n", &t.front)
	}
	// A promise that ours keeps and perfect forecasts do not is left out of the share: perfect forecasts plan closer to the edge.
	if keepable := t.kept - t.late + t.broken; keepable > 0 {
		fmt.Fprintf(w, "promises that perfect forecasts keep: %d; kept by ours too: %d (%.0f %%); broken: %d; "+
			"that perfect forecasts break as well: %d, of which ours keeps %d\n",
			keepable, t.kept-t.late, 100*float64(t.kept-t.late)/float64(keepable), t.broken, t.hopeless+t.late, t.late)
	}
	if t.rule.count+t.forecast.count+t.lastValue.count > 0 {
		fmt.Fprintf(w, "cost at a promise of %g, geometric means over the cells that keep it: "+
			"our rule with perfect forecasts over the clairvoyant %v; with forecasts over that %v; with the last value over that %v\n",
			promises[splitAt], t.rule, t.forecast, t.lastValue)
	}
}
