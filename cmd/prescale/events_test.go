package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prescale/prescale/scaler/sim"
)

// dailySale is what arrives in three days: 200 records a second, and five times as many from 9 to 10 of each.
func dailySale(t *testing.T) *sim.Trace {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	rates := make([]float64, 3*1440)
	for i := range rates {
		rates[i] = 200 + 10*random.NormFloat64()
		if i%1440/60 == 9 {
			rates[i] *= 5
		}
	}
	trace, err := sim.NewTrace("sale", 60, rates)
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

// TestASaleIsForeseen: with the event in the policy the replicas are there when the sale begins, the first time too, and they
// leave when it ends. Without it records are late, and the next days' mornings remember it.
func TestASaleIsForeseen(t *testing.T) {
	trace := dailySale(t)
	try := func(policy string) sim.Result {
		p, config, err := readPolicy(writeFile(t, "policy.yaml", policy))
		if err != nil {
			t.Fatal(err)
		}
		config.Interval = 30 * time.Second
		s := sim.DefaultScenario(trace)
		s.Tick, s.Capacity, s.Initial, s.Keep = 30, 100, 4, true
		a, err := newAutoscaler(p, config)
		if err != nil {
			t.Fatal(err)
		}
		r, err := sim.Run(s, &sim.Prescale{Autoscaler: a})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	without := try(testPolicy)
	with := try(testPolicy + "events: [{name: sale, start: '0 9 * * *', duration: 1h, factor: 5}]\n")
	const ticksADay = 2880
	for day := range 3 {
		before := with.Points[day*ticksADay+9*120-1] // the tick at which it begins
		early, after := with.Points[day*ticksADay+8*120], with.Points[day*ticksADay+10*120+20]
		// A record may wait 30 s, so the last of the ten may still be starting.
		if before.Ready < 9 || before.Ready+before.Starting < 10 {
			t.Errorf("day %d: %d replicas are ready and %d start when the sale begins, want 9 or more and 10 with those", day+1, before.Ready, before.Starting)
		}
		if early.Desired >= 10 || after.Desired >= 10 {
			t.Errorf("day %d: %d replicas are wanted an hour before and %d ten minutes after, want fewer than 10", day+1, early.Desired, after.Desired)
		}
	}
	if with.LateRatio >= without.LateRatio/2 {
		t.Errorf("late: %v with the event, %v without; want less than half", with.LateRatio, without.LateRatio)
	}
	t.Logf("late %.5f with the event at %.2f times the least cost, %.5f without at %.2f", with.LateRatio, with.Cost(), without.LateRatio, without.Cost())
}
