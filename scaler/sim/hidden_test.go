package sim_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler/sim"
)

// hiding shows the rule only part of what a tick saw.
type hiding struct {
	*sim.Prescale
	hide func(*series.Observation)
}

func (h hiding) Decide(now time.Time, o *series.Observation) int {
	part := *o
	h.hide(&part)
	return h.Prescale.Decide(now, &part)
}

// TestWhatIsNotKnownIsNotZero runs eight hours that swing between two fifths and eight fifths of the mean, with half an hour of half
// as much again, with facts left out: the combinations are among the worst of all that eight facts have. Without a forecast the promise
// of one in a thousand is missed by little with all facts, and by no more than some tenths of a per cent with most of them missing.
func TestWhatIsNotKnownIsNotZero(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	rates := make([]float64, 8*60)
	for i := range rates {
		rates[i] = 8000 * (1 + 0.6*math.Sin(2*math.Pi*float64(i)/240)) * math.Exp(0.08*r.NormFloat64())
		if i >= 300 && i < 330 {
			rates[i] *= 1.5
		}
	}
	trace, err := sim.NewTrace("swing", 60, rates)
	if err != nil {
		t.Fatal(err)
	}
	facts := map[string]func(*series.Observation){
		"busy":       func(o *series.Observation) { o.BusyRatio = series.Missing },
		"starting":   func(o *series.Observation) { o.StartingReplicas = series.Missing },
		"partitions": func(o *series.Observation) { o.Partitions = series.Missing },
		"age":        func(o *series.Observation) { o.LagSeconds = series.Missing },
		"startup":    func(o *series.Observation) { o.StartupSeconds = nil },
		"arrivals":   func(o *series.Observation) { o.ArrivalRecords = series.Missing },
		"consumed":   func(o *series.Observation) { o.ConsumedRecords = series.Missing },
		"ready":      func(o *series.Observation) { o.ReadyReplicas = series.Missing },
	}
	for _, tt := range []struct {
		hidden       string
		late, dearer float64 // share of records; times the cost with all known
	}{
		{"starting startup", 0.01, 1.2},
		{"busy starting startup", 0.01, 1.4},
		{"partitions starting startup ready", 0.01, 1.4},
		{"age starting arrivals", 0.01, 1.4},
		{"partitions age starting startup arrivals ready", 0.01, 1.4},
		{"busy partitions age starting startup consumed", 0.02, 1.5},
	} {
		run := func(hidden string) sim.Result {
			s := sim.DefaultScenario(trace)
			s.Capacity, s.CountFrom = 1000, 1800
			p, err := sim.NewPrescale(s.Config(0.001), nil)
			if err != nil {
				t.Fatal(err)
			}
			result, err := sim.Run(s, hiding{p, func(o *series.Observation) {
				for fact := range strings.FieldsSeq(hidden) {
					facts[fact](o)
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			return result
		}
		all, got := run(""), run(tt.hidden)
		t.Logf("without %s: %.2f %% late and cost %.2f, with all %.2f %% and %.2f", tt.hidden, 100*got.LateRatio, got.Cost(), 100*all.LateRatio, all.Cost())
		if got.LateRatio > tt.late || got.Cost() > tt.dearer*all.Cost() {
			t.Errorf("without %s: %.2f %% late and cost %.2f, want at most %.2f %% and %.2f", tt.hidden, 100*got.LateRatio, got.Cost(), 100*tt.late, tt.dearer*all.Cost())
		}
	}
}
