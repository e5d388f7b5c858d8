package main

import (
	"math"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/scaler/sim"
)

// BenchmarkMonthOfBacktest is what prescale backtest does for one policy with a month at 15 s: the forecasts, which all rules that
// need them share, and one rule's run. It reports processor time. Run it with -benchtime=1x.
func BenchmarkMonthOfBacktest(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	rates := make([]float64, 30*5760)
	for i := range rates {
		rates[i] = 1000 * (1 + 0.6*math.Sin(float64(i)/5760*2*math.Pi)) * (0.8 + 0.4*random.Float64())
	}
	trace, err := sim.NewTrace("month", 15, rates)
	if err != nil {
		b.Fatal(err)
	}
	s := sim.DefaultScenario(trace)
	config := s.Config(0.001)
	cpu := func() float64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	}
	var forecasting, running float64
	for range b.N {
		before := cpu()
		const steps = 12 // what the command takes for a lead time of 60 s
		model, err := catalog.New(forecaster.Config{Step: config.Interval, MaxSteps: steps, Quantiles: forecaster.DefaultQuantiles()})
		if err != nil {
			b.Fatal(err)
		}
		recorded := sim.Record(&s, model, steps, nil)
		between := cpu()
		policy, err := sim.NewPrescale(config, recorded.Playback())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := sim.Run(s, policy); err != nil {
			b.Fatal(err)
		}
		forecasting, running = forecasting+between-before, running+cpu()-between
	}
	b.ReportMetric(forecasting/float64(b.N), "forecasts-cpu-s")
	b.ReportMetric(running/float64(b.N), "rule-cpu-s")
	b.ReportMetric(0, "ns/op")
}
