package sim

import (
	"math"
	"testing"
)

// wavy is a day of arrivals with a daily wave and noise, at a step of a minute.
func wavy(tb testing.TB, days int) *Trace {
	tb.Helper()
	rates := make([]float64, days*1440)
	state := uint64(1)
	for i := range rates {
		state = state*6364136223846793005 + 1442695040888963407
		noise := float64(state>>40) / float64(1<<24)
		rates[i] = 1000 * (1 + 0.6*math.Sin(float64(i)/1440*2*math.Pi)) * (0.8 + 0.4*noise)
	}
	trace, err := NewTrace("wavy", 60, rates)
	if err != nil {
		tb.Fatal(err)
	}
	return trace
}

func BenchmarkDayHPARate(b *testing.B) {
	s := DefaultScenario(wavy(b, 1))
	for b.Loop() {
		if _, err := Run(s, NewHPARate(&s, 0.7)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDayPrescale(b *testing.B) {
	s := DefaultScenario(wavy(b, 1))
	for b.Loop() {
		p, err := NewPrescale(s.Config(0.001), nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Run(s, p); err != nil {
			b.Fatal(err)
		}
	}
}
