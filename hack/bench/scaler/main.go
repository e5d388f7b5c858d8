// Command scaler tries the shipped scaling rule and its competitors in the simulator over public traces, and prints what
// each costs against how many records come late: the table behind the figures in the README.
//
// A sweep of the whole grid takes hours of CPU time. With -results FILE every run is appended to the file as it ends and
// none that is there is done again, so a sweep can be cut off and the table be printed of what there is.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/sim"
)

type options struct {
	data, cache  string
	traces       string
	leads        []float64
	policies     []string
	seeds        int
	partitions   int
	days, from   float64
	rule         string
	verbose, dry bool
	tune         scaler.Tuning
	store        *store
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "scaler bench:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) (err error) {
	var o options
	var leads, policies, results string
	o.tune = scaler.DefaultTuning()
	flags := flag.NewFlagSet("scaler", flag.ContinueOnError)
	flags.StringVar(&o.data, "data", os.Getenv("PRESCALE_DATA"), "directory with traces/*.csv.gz")
	flags.StringVar(&o.cache, "cache", "", "directory that keeps recorded forecasts between runs")
	flags.StringVar(&results, "results", "", "file of JSON lines that keeps every run's outcome; runs that it holds are not done again")
	flags.StringVar(&o.rule, "rule", "", "name of this version of our rule in the results; give another after a change")
	flags.StringVar(&o.traces, "traces", "", "comma-separated parts of trace names; empty means all")
	flags.StringVar(&leads, "leads", "30,60,180,300", "lead times in seconds")
	flags.StringVar(&policies, "policies", "prescale,perfect forecasts,persistence,baselines,oracle", "what is tried")
	flags.IntVar(&o.seeds, "seeds", 5, "seeds")
	flags.IntVar(&o.partitions, "partitions", 48, "partitions")
	flags.Float64Var(&o.days, "days", 0, "use only so many days of each trace; 0 means all")
	flags.Float64Var(&o.from, "from", 0, "leave out so many days at the beginning of each trace, and traces that are not twice as long")
	flags.BoolVar(&o.verbose, "v", false, "print every point")
	flags.BoolVar(&o.dry, "table", false, "print the table of the results that there are and try nothing")
	flags.IntVar(&o.tune.UpSteps, "up", o.tune.UpSteps, "tuning: UpSteps")
	flags.IntVar(&o.tune.DownSteps, "down", o.tune.DownSteps, "tuning: DownSteps")
	flags.Float64Var(&o.tune.MoveCost, "move", o.tune.MoveCost, "tuning: MoveCost")
	flags.Float64Var(&o.tune.LeadCost, "leadcost", o.tune.LeadCost, "tuning: LeadCost")
	flags.Float64Var(&o.tune.DelayShare, "delay", o.tune.DelayShare, "tuning: DelayShare")
	flags.Float64Var(&o.tune.Spread, "spread", o.tune.Spread, "tuning: Spread")
	flags.Float64Var(&o.tune.Margin, "margin", o.tune.Margin, "tuning: Margin")
	flags.Float64Var(&o.tune.Noise, "noise", o.tune.Noise, "tuning: Noise")
	flags.Float64Var(&o.tune.Hold, "hold", o.tune.Hold, "tuning: Hold")
	flags.Float64Var(&o.tune.Price, "price", o.tune.Price, "tuning: Price")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.cache != "" {
		if err := os.MkdirAll(o.cache, 0o755); err != nil {
			return err
		}
	}
	if o.data == "" && !o.dry {
		return errors.New("no data: set PRESCALE_DATA or -data to the directory that holds traces/")
	}
	for l := range strings.SplitSeq(leads, ",") {
		x, err := strconv.ParseFloat(l, 64)
		if err != nil || x <= 0 || x > longestLead {
			return fmt.Errorf("leads: %q: want seconds up to %d", l, longestLead)
		}
		o.leads = append(o.leads, x)
	}
	o.policies = strings.Split(policies, ",")
	if o.store, err = openStore(results); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.store.close()) }()
	w := bufio.NewWriter(out)
	var all []cell
	for _, tr := range traces {
		if !matchesAny(tr.file, o.traces) {
			continue
		}
		if !o.dry {
			if err := o.try(tr.file, tr.column); errors.Is(err, errTooShort) {
				continue
			} else if err != nil {
				return err
			}
		}
		for _, lead := range o.leads {
			c := o.collect(o.cell(tr.file, lead))
			if len(c.ours) == 0 {
				continue
			}
			if o.verbose {
				c.print(w, true)
			}
			all = append(all, c)
		}
	}
	summary(w, all)
	return w.Flush()
}

// cell is the key of a trace at a lead time, without a policy.
func (o *options) cell(file string, lead float64) key {
	return key{Trace: file, From: o.from, Days: o.days, Partitions: o.partitions, Lead: lead}
}

func (o *options) wants(policy string) bool { return slices.Contains(o.policies, policy) }

// try does the runs of one trace that the store lacks.
func (o *options) try(file, column string) error {
	trace, err := o.load(file, column)
	if err != nil {
		return err
	}
	s := sim.DefaultScenario(trace)
	s.Partitions, s.Max = o.partitions, o.partitions
	if o.partitions > 48 {
		s.Max = 96
	}
	// A tenth of the trace, a day at most, is for warming up and is not counted.
	s.CountFrom = min(86400, trace.Duration()/10)
	var recorded *sim.Forecasts
	if o.wants(ours) {
		if recorded, err = o.forecasts(&s); err != nil {
			return err
		}
	}
	for _, lead := range o.leads {
		began, done := time.Now(), 0
		s.Lead = lead
		k := o.cell(file, lead)
		var left []job
		for _, j := range o.jobs(k, recorded, &s) {
			if _, ok := o.store.get(j.key); !ok {
				left = append(left, j)
			}
		}
		done = len(left)
		if err := o.runAll(s, left); err != nil {
			return err
		}
		k.Policy = oracle
		if _, ok := o.store.get(k); !ok && o.wants(oracle) {
			c, err := sim.ClairvoyantCost(s)
			if err != nil {
				return err
			}
			if err := o.store.put(k, outcome{Cost: c.Upper}); err != nil {
				return err
			}
			done++
		}
		if done > 0 {
			fmt.Fprintf(os.Stderr, "%s, lead %g s: %d runs in %v\n", file, lead, done, time.Since(began).Round(time.Millisecond))
		}
	}
	return nil
}

// runAll does jobs on as many cores as there are.
func (o *options) runAll(s sim.Scenario, jobs []job) error {
	var group sync.WaitGroup
	next := make(chan job)
	failed := make(chan error, len(jobs))
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for j := range next {
				if err := o.runOne(s, j); err != nil {
					failed <- fmt.Errorf("%s %g: %w", j.Policy, j.Setting, err)
				}
			}
		})
	}
	for _, j := range jobs {
		next <- j
	}
	close(next)
	group.Wait()
	close(failed)
	return <-failed
}

func (o *options) runOne(s sim.Scenario, j job) error {
	s.Seed = uint64(j.Seed)
	policy, err := j.make(&s)
	if err != nil {
		return err
	}
	r, err := sim.Run(s, policy)
	if err != nil {
		return err
	}
	return o.store.put(j.key, outcome{
		Cost: r.Cost(), Late: r.LateRatio, WaitP99: r.WaitP99,
		ChangesDay: float64(r.Changes) / r.Days, MovesDay: float64(r.Moves) / r.Days,
	})
}
