// Command steps counts by how many increases the whole rule answers a step of the arrivals, over random groups in the simulator:
// partitions, start-ups, intervals, sizes and heights of the step, without noise and with, and so for ramps and constant rates.
package main

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/scaler/sim"
)

// kind is what the arrivals do: they rise over ramp seconds, 0 being a step, unless they are constant, and vary by noise, the standard
// deviation of a tick as a share of its mean.
type kind struct {
	name     string
	ramp     float64
	noise    float64
	constant bool
}

var kinds = []kind{
	{"step", 0, 0, false}, {"step", 0, 0.01, false}, {"step", 0, 0.02, false}, {"step", 0, 0.05, false}, {"ramp of 10 min", 600, 0, false},
	{"constant", 0, 0.02, true}, {"constant", 0, 0.05, true}, {"constant", 0, 0.1, true},
}

const (
	capacity = 1000.0 // records per second of a replica
	after    = 7200.0 // seconds that are looked at from the step on
)

// outcome is what the rule did from the step on.
type outcome struct {
	increases, decreases int
	result               sim.Result
}

func main() {
	n := flag.Int("n", 100, "groups of each kind")
	promise := flag.Float64("promise", 0.001, "violationRatio")
	flag.Parse()
	fmt.Printf("%-16s %6s  %s\n", "arrivals", "noise",
		"groups with none or one, two, three and more increases; changes an hour, cost, late")
	for _, k := range kinds {
		outcomes := make([]outcome, *n)
		var group errgroup.Group
		group.SetLimit(runtime.GOMAXPROCS(0))
		for i := range outcomes {
			group.Go(func() (err error) {
				outcomes[i], err = try(k, i, *promise)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			fmt.Fprintln(os.Stderr, "steps:", err)
			os.Exit(1)
		}
		k.print(outcomes)
	}
}

func pick(r *rand.Rand, of ...float64) float64 { return of[r.IntN(len(of))] }

// try runs the i-th group, which is the same for each kind.
func try(k kind, i int, promise float64) (outcome, error) {
	r := rand.New(rand.NewPCG(uint64(i), 77))
	interval, partitions := pick(r, 1, 2, 5, 10, 15, 15, 30, 60), int(pick(r, 12, 24, 48, 96, 480))
	lead, factor := math.Round(10*math.Pow(30, r.Float64())), 1.2*math.Pow(4/1.2, r.Float64())
	most := min(96, partitions)
	need := 1.3 + r.Float64()*min(float64(partitions)/8, 20)
	need = min(need, 0.6*float64(most)/factor) // replicas that arrivals keep busy before the step
	calm := max(10*lead, 1800, 240*interval)
	if k.constant {
		interval, factor = max(interval, 5), 1
	}
	noise := rand.New(rand.NewPCG(uint64(i), 5))
	rates := make([]float64, int((calm+after)/interval))
	for j := range rates {
		rise := (float64(j)*interval - calm) / max(k.ramp, 1e-9)
		rates[j] = need * capacity * (1 + (factor-1)*min(max(rise, 0), 1)) * max(0, 1+k.noise*noise.NormFloat64())
	}
	trace, err := sim.NewTrace(k.name, interval, rates)
	if err != nil {
		return outcome{}, err
	}
	s := sim.DefaultScenario(trace)
	s.Tick, s.Capacity, s.Lead, s.Partitions, s.Initial, s.Keep, s.CountFrom = interval, capacity, lead, partitions, 1, true, calm
	s.Max, s.Objective, s.Seed = most, max(30, 2*interval), uint64(i)
	config := s.Config(promise)
	model, err := catalog.New(forecaster.Config{
		Step: config.Interval, MaxSteps: config.ForecastSteps(), Quantiles: forecaster.DefaultQuantiles()})
	if err != nil {
		return outcome{}, err
	}
	policy, err := sim.NewPrescale(config, model)
	if err != nil {
		return outcome{}, err
	}
	o := outcome{}
	if o.result, err = sim.Run(s, policy); err != nil {
		return outcome{}, err
	}
	points := o.result.Points
	for j := int(calm / interval); j < len(points); j++ {
		switch was := points[j-1].Desired; {
		case points[j].Desired > was:
			o.increases++
		case points[j].Desired < was:
			o.decreases++
		}
	}
	return o, nil
}

func (k kind) print(outcomes []outcome) {
	var groups [3]int
	changes, cost, late := 0, 0.0, 0.0
	for _, o := range outcomes {
		groups[min(max(o.increases, 1), 3)-1]++
		changes += o.increases + o.decreases
		cost += math.Log(o.result.Cost())
		late += o.result.LateRatio
	}
	n := float64(len(outcomes))
	fmt.Printf("%-16s %4.0f %%  %3d %3d %3d  %6.2f  %.4f  %.4f %%\n", k.name, 100*k.noise, groups[0], groups[1], groups[2],
		float64(changes)/n/(after/3600), math.Exp(cost/n), 100*late/n)
}
