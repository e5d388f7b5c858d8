package sim_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/prescale/prescale/scaler/sim"
)

// long asks for the runs of simulated days at short intervals as well, which take minutes.
func long() bool { return os.Getenv("PRESCALE_LONG") != "" }

// zeroRun is a group of up to twelve replicas that may go to zero.
type zeroRun struct {
	interval, lead, objective float64
}

func (z zeroRun) run(t *testing.T, step float64, rates []float64) sim.Result {
	trace, err := sim.NewTrace("zero", step, rates)
	if err != nil {
		t.Fatal(err)
	}
	s := sim.DefaultScenario(trace)
	s.Tick, s.Capacity, s.Lead, s.Partitions, s.Initial, s.Keep, s.Min, s.Max, s.Objective = z.interval, 100, z.lead, 12, 1, true, 0, 12, z.objective
	return runStandard(t, s)
}

// zeroAfter returns for how many seconds after `end` more than no replica is asked for.
func zeroAfter(r sim.Result, end float64) float64 {
	for _, p := range r.Points {
		if p.Seconds >= end && p.Desired == 0 {
			return p.Seconds - end
		}
	}
	return math.Inf(1)
}

// noisy returns the work of 2.5 replicas, in which a tick varies three times as much as a number of independent events.
func noisy(r *rand.Rand, step float64, noise bool) float64 {
	const rate = 250.0
	if !noise {
		return rate
	}
	return max(0, rate+3*math.Sqrt(rate/step)*r.NormFloat64())
}

// TestToZeroMinutesAfterALoad: how long a load lasted, how often it came and how long an interval is make no difference.
func TestToZeroMinutesAfterALoad(t *testing.T) {
	const hour = 3600.0
	for _, load := range []struct {
		name     string
		days     int     // of which each has a load
		from, to float64 // when it begins and ends
		short    float64 // the shortest interval at which it takes no minute to run
	}{
		{"10 minutes", 1, 0, hour / 6, 5},
		{"2 hours", 1, 0, 2 * hour, 5},
		{"a day", 1, 0, 24 * hour, 60},
		{"three days from 8 to 18", 3, 8 * hour, 18 * hour, 60},
	} {
		for _, interval := range []float64{5, 15, 60} {
			if interval < load.short && !long() {
				continue
			}
			for _, noise := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/interval=%gs/noise=%v", load.name, interval, noise), func(t *testing.T) {
					t.Parallel()
					r := rand.New(rand.NewPCG(1, 5))
					end := float64(load.days-1)*24*hour + load.to
					rates := make([]float64, int((end+6*hour)/interval))
					for i := range rates {
						if at := float64(i) * interval; at < end && math.Mod(at, 24*hour) >= load.from && math.Mod(at, 24*hour) < load.to {
							rates[i] = noisy(r, interval, noise)
						}
					}
					result := zeroRun{interval, 60, 30}.run(t, interval, rates)
					got := zeroAfter(result, end)
					t.Logf("at zero %.0f s after the last record, %.2f replica-hours, %.4f late", got, result.ReplicaSeconds/hour, result.LateRatio)
					if got > 360 {
						t.Errorf("at zero %.0f s after the last record, want 360 at most", got)
					}
				})
			}
		}
	}
}

// TestAMorningFromZeroIsServed: after a night without a record the load of every day has its replicas before it comes.
func TestAMorningFromZeroIsServed(t *testing.T) {
	const days, interval, hour = 5, 60.0, 3600.0
	for _, noise := range []bool{false, true} {
		r := rand.New(rand.NewPCG(1, 5))
		rates := make([]float64, days*24*60)
		for i := range rates {
			if h := i / 60 % 24; h >= 8 && h < 18 {
				rates[i] = noisy(r, interval, noise)
			}
		}
		result := zeroRun{interval, 60, 30}.run(t, interval, rates)
		for day := range days {
			morning := (day*24+8)*60 - 1
			night := 0.0
			for _, p := range result.Points[max(0, morning-14*60):morning] {
				night += float64(p.Ready+p.Starting) * interval / hour
			}
			got := result.Points[morning].Ready
			t.Logf("noise %v, day %d: %d ready at eight, %.2f replica-hours in the night before", noise, day, got, night)
			if day >= 2 && (got < 1 || night > 0.5) {
				t.Errorf("noise %v, day %d: %d ready at eight and %.2f replica-hours in the night before, want one at least and 0.5 at most", noise, day, got, night)
			}
		}
	}
}

// TestWhatComesAndGoes has records or bursts come after pauses of which some are longer than five minutes. Where one that is late is
// more than is promised, and a start takes longer than a record may wait, the group must not be at zero for each of them; where a start
// is quick it may, and must not pay for the pauses.
func TestWhatComesAndGoes(t *testing.T) {
	const hours, hour = 24, 3600.0
	for _, stream := range []struct {
		name        string
		from, to    float64 // how long a pause is, in seconds
		poisson     bool    // it is as long as one between independent events, `to` on average
		burst, rate float64 // how long records come and how many a second
		late        float64 // the most that may come late, but for the first that show what pauses there are
		share       float64 // of the time that replicas are paid for where a start is quick
	}{
		{"a record a minute", 50, 70, false, 1, 1, 0, 1},
		{"a record each 3 to 10 minutes", 180, 600, false, 1, 1, 0.01, 0.5},
		{"a record each 10 minutes, independent", 0, 600, true, 1, 1, 0.05, 0.5},
		{"a minute each 15", 840, 840, false, 60, 100, 0.02, 0.5},
		{"a minute each 9 to 20", 500, 1180, false, 60, 100, 0.02, 0.5},
		{"20 minutes an hour", 2400, 2400, false, 1200, 100, 0.02, 1},
	} {
		for _, z := range []zeroRun{{60, 60, 30}, {60, 20, 180}, {15, 60, 30}, {15, 20, 180}} {
			if z.interval < 60 && !long() {
				continue
			}
			t.Run(fmt.Sprintf("%s/interval=%gs/lead=%gs", stream.name, z.interval, z.lead), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(2, 5))
				rates := make([]float64, (hours+2)*hour)
				for at := 60.0; at < hours*hour; {
					for k := range int(stream.burst) {
						rates[int(at)+k] = stream.rate
					}
					at += stream.burst
					if stream.poisson {
						at += stream.to * r.ExpFloat64()
					} else {
						at += stream.from + (stream.to-stream.from)*r.Float64()
					}
				}
				result := z.run(t, 1, rates)
				starts := 0
				for i, p := range result.Points[1:] {
					if p.Desired > 0 && result.Points[i].Desired == 0 {
						starts++
					}
				}
				t.Logf("%.4f of %.0f late, %.1f replica-hours in %d, %d starts from zero", result.LateRatio, result.Records, result.ReplicaSeconds/hour, hours+2, starts)
				late, share := stream.late, math.Inf(1)
				if z.objective > z.lead+z.interval {
					late, share = 0, stream.share
				}
				if result.LateRatio > late || result.ReplicaSeconds > share*(hours+2)*hour {
					t.Errorf("%.4f late, %.1f replica-hours, want %.4f and %.1f at most", result.LateRatio, result.ReplicaSeconds/hour, late, share*(hours+2))
				}
				sum, last := 0.0, result.Points[len(result.Points)-int(hour/z.interval):]
				for _, p := range last {
					sum += float64(p.Ready+p.Starting) / float64(len(last))
				}
				if sum > 0.5 || result.EndsWithLag > 0 { // a season is not forgotten at once
					t.Errorf("in the second hour after the end: %.2f replicas, and %.2f records wait", sum, result.EndsWithLag)
				}
			})
		}
	}
}
