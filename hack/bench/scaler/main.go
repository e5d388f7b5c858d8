// Command scaler tries the shipped scaling rule and its competitors in the simulator over public traces, and prints what
// each costs against how many records come late: the table behind the figures in the README.
package main

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/sim"
)

// traces with a step of at most a minute, with the column that is the arrivals.
var traces = []struct{ file, column string }{
	{"nasa_http_aug95_60s", "requests"}, {"nasa_http_jul95_60s", "requests"},
	{"azure_llm_conv_2023", "requests"}, {"alibaba_lora_requests", "requests"},
	{"crane_metric_01", "value"}, {"crane_metric_02", "value"}, {"crane_metric_06", "value"},
	{"crane_metric_08", "value"}, {"crane_metric_11", "value"}, {"crane_metric_14", "value"},
	{"daedalus_traffic_6h", "messages_per_s"},
	{"nasa_http_aug95_15s", "requests"}, {"nasa_http_jul95_15s", "requests"},
}

var promises = []float64{0.0003, 0.001, 0.003, 0.01, 0.03}

type options struct {
	data, cache      string
	only             string
	leads            []float64
	seeds            int
	partitions       int
	days             float64
	verbose, tuning  bool
	skipBase, skipPF bool
	tune             scaler.Tuning
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "scaler bench:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	var o options
	var leads string
	o.tune = scaler.DefaultTuning()
	flags := flag.NewFlagSet("scaler", flag.ContinueOnError)
	flags.StringVar(&o.data, "data", os.Getenv("PRESCALE_DATA"), "directory with traces/*.csv.gz")
	flags.StringVar(&o.cache, "cache", "", "directory that keeps recorded forecasts between runs")
	flags.StringVar(&o.only, "traces", "", "comma-separated parts of trace names; empty means all")
	flags.StringVar(&leads, "leads", "30,60,180,300", "lead times in seconds")
	flags.IntVar(&o.seeds, "seeds", 5, "seeds")
	flags.IntVar(&o.partitions, "partitions", 48, "partitions")
	flags.Float64Var(&o.days, "days", 0, "use only so many days of each trace; 0 means all")
	flags.BoolVar(&o.verbose, "v", false, "print every point")
	flags.BoolVar(&o.skipBase, "nobase", false, "leave the baselines out")
	flags.BoolVar(&o.skipPF, "noperfect", false, "leave perfect forecasts and the oracle out")
	flags.IntVar(&o.tune.UpSteps, "up", o.tune.UpSteps, "tuning: UpSteps")
	flags.IntVar(&o.tune.DownSteps, "down", o.tune.DownSteps, "tuning: DownSteps")
	flags.Float64Var(&o.tune.MoveCost, "move", o.tune.MoveCost, "tuning: MoveCost")
	flags.Float64Var(&o.tune.DelayShare, "delay", o.tune.DelayShare, "tuning: DelayShare")
	flags.Float64Var(&o.tune.Spread, "spread", o.tune.Spread, "tuning: Spread")
	flags.Float64Var(&o.tune.Margin, "margin", o.tune.Margin, "tuning: Margin")
	flags.Float64Var(&o.tune.Noise, "noise", o.tune.Noise, "tuning: Noise")
	flags.Float64Var(&o.tune.Hold, "hold", o.tune.Hold, "tuning: Hold")
	flags.Float64Var(&o.tune.Price, "price", o.tune.Price, "tuning: Price")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.data == "" {
		return errors.New("no data: set PRESCALE_DATA or -data to the directory that holds traces/")
	}
	for _, l := range strings.Split(leads, ",") {
		x, err := strconv.ParseFloat(l, 64)
		if err != nil {
			return fmt.Errorf("leads: %w", err)
		}
		o.leads = append(o.leads, x)
	}
	w := bufio.NewWriter(out)
	defer w.Flush()
	var all []cell
	for _, tr := range traces {
		if o.only != "" && !matchesAny(tr.file, strings.Split(o.only, ",")) {
			continue
		}
		cells, err := o.trace(tr.file, tr.column, w)
		if err != nil {
			return err
		}
		all = append(all, cells...)
		w.Flush()
	}
	summary(w, all)
	return nil
}

func matchesAny(name string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(name, p) {
			return true
		}
	}
	return false
}

func (o *options) load(file, column string) (*sim.Trace, error) {
	f, err := os.Open(filepath.Join(o.data, "traces", file+".csv.gz"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		return nil, err
	}
	at := -1
	for i, name := range rows[0] {
		if name == column {
			at = i
		}
	}
	if at < 0 {
		return nil, fmt.Errorf("%s: no column %q", file, column)
	}
	t0, _ := strconv.ParseFloat(rows[1][0], 64)
	t1, _ := strconv.ParseFloat(rows[2][0], 64)
	step := t1 - t0
	rates := make([]float64, 0, len(rows))
	for _, row := range rows[1:] {
		x, err := strconv.ParseFloat(row[at], 64)
		if err != nil || !(x >= 0) {
			x = 0
		}
		rates = append(rates, 1000*x/step)
	}
	if n := int(o.days * 86400 / step); n > 0 && n < len(rates) {
		rates = rates[:n]
	}
	return sim.NewTrace(file, step, rates)
}

// forecasts records the standard model's forecasts over a trace, or takes them from the cache.
func (o *options) forecasts(s *sim.Scenario) (*sim.Forecasts, error) {
	longest := 0.0
	for _, l := range o.leads {
		longest = max(longest, l)
	}
	steps := int(math.Ceil(1.25*longest/s.Tick)) + 4
	path := ""
	if o.cache != "" {
		path = filepath.Join(o.cache, fmt.Sprintf("%s-%d-%g-%g.forecasts", s.Trace.Name, len(s.Trace.Rates), s.Tick, float64(steps)))
		if f, err := os.Open(path); err == nil {
			defer f.Close()
			return sim.ReadForecasts(f)
		}
	}
	model, err := catalog.New(forecaster.Config{
		Step: time.Duration(s.Tick * float64(time.Second)), MaxSteps: steps, Quantiles: forecaster.DefaultQuantiles(),
	})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	f := sim.Record(s, model, steps, nil)
	fmt.Fprintf(os.Stderr, "%s: forecasts of %d steps recorded in %v\n", s.Trace.Name, steps, time.Since(began).Round(time.Millisecond))
	if path == "" {
		return f, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := f.Write(file); err != nil {
		return nil, err
	}
	return f, file.Close()
}

// point is a policy at one setting, averaged over the seeds.
type point struct {
	Name          string
	Setting       float64
	Cost, Late    float64
	P99, Changes  float64
	Moves, MaxLag float64
}

type cell struct {
	trace    string
	lead     float64
	ours     []point
	perfect  []point
	persist  []point
	baseline []point
	oracle   point
}

func (o *options) try(s sim.Scenario, name string, setting float64, make func(*sim.Scenario) (sim.Policy, error)) (point, error) {
	p := point{Name: name, Setting: setting}
	n := float64(o.seeds)
	for seed := range o.seeds {
		s.Seed = uint64(seed + 1)
		policy, err := make(&s)
		if err != nil {
			return p, err
		}
		r, err := sim.Run(s, policy)
		if err != nil {
			return p, err
		}
		p.Cost += r.Cost() / n
		p.Late += r.LateRatio / n
		p.P99 += r.WaitP99 / n
		p.Changes += float64(r.Changes) / r.Days / n
		p.Moves += float64(r.Moves) / r.Days / n
		p.MaxLag += r.MaxLag / n
	}
	return p, nil
}

func (o *options) trace(file, column string, w *bufio.Writer) ([]cell, error) {
	trace, err := o.load(file, column)
	if err != nil {
		return nil, err
	}
	s := sim.DefaultScenario(trace)
	s.Partitions, s.Max = o.partitions, o.partitions
	if o.partitions > 48 {
		s.Max = 96
	}
	// A tenth of the trace, a day at most, is for warming up and is not counted.
	s.CountFrom = min(86400, trace.Duration()/10)
	recorded, err := o.forecasts(&s)
	if err != nil {
		return nil, err
	}
	var cells []cell
	for _, lead := range o.leads {
		s.Lead = lead
		c := cell{trace: file, lead: lead}
		began := time.Now()
		for _, promise := range promises {
			ours := func(model forecaster.Model) func(*sim.Scenario) (sim.Policy, error) {
				return func(s *sim.Scenario) (sim.Policy, error) {
					config := s.Config(promise)
					config.Tuning = &o.tune
					return sim.NewPrescale(config, model)
				}
			}
			p, err := o.try(s, "prescale", promise, ours(recorded.Playback()))
			if err != nil {
				return nil, err
			}
			c.ours = append(c.ours, p)
			if o.skipPF {
				continue
			}
			if p, err = o.try(s, "perfect forecasts", promise, ours(sim.Perfect(&s))); err != nil {
				return nil, err
			}
			c.perfect = append(c.perfect, p)
			if p, err = o.try(s, "persistence", promise, ours(nil)); err != nil {
				return nil, err
			}
			c.persist = append(c.persist, p)
		}
		if !o.skipBase {
			if c.baseline, err = o.baselines(s); err != nil {
				return nil, err
			}
		}
		cells = append(cells, c)
		c.print(w, o.verbose)
		fmt.Fprintf(os.Stderr, "%s lead %g: %v\n", file, lead, time.Since(began).Round(time.Millisecond))
		w.Flush()
	}
	return cells, nil
}

var baselines = []struct {
	name     string
	settings []float64
	make     func(*sim.Scenario, float64) sim.Policy
}{
	{"HPA on rate", []float64{0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0}, func(s *sim.Scenario, u float64) sim.Policy { return sim.NewHPARate(s, u) }},
	{"KEDA lag (records)", []float64{10}, func(s *sim.Scenario, n float64) sim.Policy { return sim.NewKEDALag(s, n) }},
	{"KEDA lag (seconds)", []float64{1, 5, 15, 30}, func(s *sim.Scenario, x float64) sim.Policy { return sim.NewKEDALag(s, x*s.Capacity) }},
	{"KPA", []float64{0.4, 0.5, 0.6, 0.7, 0.8, 0.9}, func(s *sim.Scenario, u float64) sim.Policy { return sim.NewKPA(s, u) }},
	{"rate + drain, 60 s", []float64{0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0}, func(s *sim.Scenario, u float64) sim.Policy { return sim.NewRateDrain(s, u, time.Minute) }},
	{"rate + drain, 300 s", []float64{0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0}, func(s *sim.Scenario, u float64) sim.Policy { return sim.NewRateDrain(s, u, 5*time.Minute) }},
	{"PHPA linear", []float64{0.5, 0.7, 0.9}, func(s *sim.Scenario, u float64) sim.Policy { return sim.NewPHPA(s, u, false) }},
	{"PHPA Holt-Winters", []float64{0.5, 0.7, 0.9}, func(s *sim.Scenario, u float64) sim.Policy { return sim.NewPHPA(s, u, true) }},
	{"last value, snapped", []float64{0.5, 0.7, 0.9}, func(s *sim.Scenario, u float64) sim.Policy { return sim.NewLastValue(s, u, true) }},
}

// baselines tries all of them, or takes their results from the cache: they do not change with our rule.
func (o *options) baselines(s sim.Scenario) ([]point, error) {
	path := ""
	if o.cache != "" {
		path = filepath.Join(o.cache, fmt.Sprintf("%s-%d-%g-%d-%d.baselines.json", s.Trace.Name, len(s.Trace.Rates), s.Lead, o.partitions, o.seeds))
		if b, err := os.ReadFile(path); err == nil {
			var points []point
			return points, json.Unmarshal(b, &points)
		}
	}
	var points []point
	for _, b := range baselines {
		for _, setting := range b.settings {
			p, err := o.try(s, b.name, setting, func(s *sim.Scenario) (sim.Policy, error) { return b.make(s, setting), nil })
			if err != nil {
				return nil, err
			}
			points = append(points, p)
		}
	}
	if path == "" {
		return points, nil
	}
	b, err := json.Marshal(points)
	if err != nil {
		return nil, err
	}
	return points, os.WriteFile(path, b, 0o644)
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

// gains returns, promise by promise, by which share ours is cheaper than the cheapest baseline with as few late records; +1
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
	s := append([]float64(nil), x...)
	sort.Float64s(s)
	return s[len(s)/2]
}

func (c *cell) print(w io.Writer, verbose bool) {
	fmt.Fprintf(w, "\n%s, lead %g s\n", c.trace, c.lead)
	row := func(p point, extra string) {
		fmt.Fprintf(w, "  %-22s %8.4g  cost %6.3f  late %8.4f %%  p99 %6.1f s  %5.0f changes/day  %6.0f moves/day %s\n", p.Name, p.Setting, p.Cost, 100*p.Late, p.P99, p.Changes, p.Moves, extra)
	}
	var gains []float64
	if len(c.baseline) > 0 {
		gains = c.gains()
	}
	for i, p := range c.ours {
		extra := ""
		if gains != nil {
			b, _ := cheapest(c.baseline, p.Late)
			extra = fmt.Sprintf(" gain %5.1f %% over %s %g at %.3f", 100*gains[i], b.Name, b.Setting, b.Cost)
		}
		row(p, extra)
	}
	for _, p := range c.perfect {
		row(p, "")
	}
	for _, p := range c.persist {
		row(p, "")
	}
	if verbose {
		for _, p := range c.baseline {
			row(p, "")
		}
	}
}

func summary(w io.Writer, cells []cell) {
	if len(cells) == 0 || len(cells[0].baseline) == 0 {
		fmt.Fprintln(w)
		for _, c := range cells {
			fmt.Fprintf(w, "%-24s %4g ", c.trace, c.lead)
			for _, p := range c.ours {
				fmt.Fprintf(w, " | %6.3f %8.4f%%", p.Cost, 100*p.Late)
			}
			fmt.Fprintln(w)
		}
		return
	}
	fmt.Fprintf(w, "\n%-24s %5s  gain by promise %v, median\n", "trace", "lead", promises)
	ten, fifteen, dear := 0, 0, 0
	for _, c := range cells {
		g := c.gains()
		m := median(g)
		fmt.Fprintf(w, "%-24s %5g ", c.trace, c.lead)
		for _, x := range g {
			fmt.Fprintf(w, " %6.1f %%", 100*x)
		}
		fmt.Fprintf(w, "  %6.1f %%\n", 100*m)
		if m >= 0.10 {
			ten++
		}
		if m >= 0.15 {
			fifteen++
		}
		if m < -0.03 {
			dear++
		}
	}
	fmt.Fprintf(w, "cells: %d; at least 10 %% cheaper: %d; at least 15 %%: %d; more than 3 %% dearer: %d\n", len(cells), ten, fifteen, dear)
}
