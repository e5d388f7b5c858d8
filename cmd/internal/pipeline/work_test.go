package pipeline

import (
	"math"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// TestAHeavierHourIsForeseen: as many records come all day, and from 9 to 10 each is three times the work. On the fourth day
// a policy that reckons in work foresees the hour, and is late for the minutes at most that its first replicas take; one that
// reckons in records sees the same rate always: the records of the first minutes wait, or replicas stand by all day.
func TestAHeavierHourIsForeseen(t *testing.T) {
	const interval, perSecond, rate, lead = 60.0, 100.0, 500.0, 2
	late, minutes := map[string]float64{}, map[string]float64{}
	for _, unit := range []string{"", "tokens_total"} {
		p := policy("ai/a")
		p.Scaler.Interval, p.Scaler.MaxReplicas, p.Scaler.Work = time.Minute, 48, unit
		p = NewPolicy(p.Target, p.Scaler, []time.Duration{24 * time.Hour})
		a, err := p.newAutoscaler()
		if err != nil {
			t.Fatal(err)
		}
		ready, lag := 6, 0.0
		var starting []int // the ticks at which they are there
		begin := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
		for tick := 1; tick <= 4*1440; tick++ {
			at := begin.Add(time.Duration(tick) * time.Minute)
			var startups []float64
			for len(starting) > 0 && starting[0] <= tick {
				starting, startups = starting[1:], append(startups, lead*interval)
				ready++
			}
			heavy := 1.0
			if at.Add(-time.Minute).Hour() == 9 {
				heavy = 3
			}
			arrived := rate*interval + 200*math.Sin(float64(tick*7919))
			can := float64(ready) * perSecond * interval / heavy
			consumed := min(lag+arrived, can)
			lag += arrived - consumed
			waits := lag / max(can, 1) * interval
			if tick > 3*1440 {
				minutes[unit] += float64(ready + len(starting))
				late[unit] += max(0, waits-p.Scaler.ObjectiveLag.Seconds())
			}
			o := series.Observation{
				At: at, Interval: time.Minute, ArrivalRecords: series.Of(arrived), ConsumedRecords: series.Of(consumed), LagRecords: series.Of(lag),
				LagSeconds: series.Of(waits), ReadyReplicas: series.OfInt(ready), StartingReplicas: series.OfInt(len(starting)), Partitions: series.Of(48),
				BusyRatio: series.Of(consumed / can), StartupSeconds: startups,
			}
			if unit != "" {
				o.ArrivalWork = series.Of(arrived * heavy)
			}
			want := a.Tick(at, o).DesiredReplicas
			for ready+len(starting) < want {
				starting = append(starting, tick+lead)
			}
			for ready+len(starting) > want {
				if len(starting) > 0 {
					starting = starting[:len(starting)-1]
				} else {
					ready--
				}
			}
		}
	}
	t.Logf("on the fourth day: in records %.0f s beyond the promise, summed over minutes, and %.0f replica-minutes; in work %.0f and %.0f",
		late[""], minutes[""], late["tokens_total"], minutes["tokens_total"])
	// The first minutes of an hour three times as heavy are 2 lead times at most.
	if late["tokens_total"] > 2*lead*interval {
		t.Errorf("in work %.0f s beyond the promise, want %.0f at most", late["tokens_total"], 2*lead*interval)
	}
	punctual := late["tokens_total"] <= 0.35*late[""]
	cheap := minutes["tokens_total"] <= 0.35*minutes[""]
	if !punctual && !cheap {
		t.Error("in work neither the lateness nor the replicas are 0.35 of those in records")
	}
}
