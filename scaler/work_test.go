package scaler

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

func workConfig() Config {
	c := testConfig()
	c.Work = "tokens_total"
	return c
}

// TestWorkOfOneIsARecord: where every record is one piece of work, reckoning in work decides as reckoning in records does.
func TestWorkOfOneIsARecord(t *testing.T) {
	records := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 3, random: rand.New(rand.NewPCG(1, 2))}
	work := &world{a: newTest(t, workConfig()), lead: 4, partitions: 48, ready: 3, random: rand.New(rand.NewPCG(1, 2))}
	for i := range 600 {
		rate := 400 + 300*math.Sin(float64(i)/40)
		want, got := records.step(rate), work.step(rate)
		if got.DesiredReplicas != want.DesiredReplicas || got.Reason != want.Reason || got.LagRecords != want.LagRecords {
			t.Fatalf("tick %d: in work %d (%s), in records %d (%s)", i, got.DesiredReplicas, got.Reason, want.DesiredReplicas, want.Reason)
		}
	}
}

// TestAHeavierMix: the same number of records comes, and from a tick on each is twice the work. Reckoned in records it looks for
// a while like replicas that do half; reckoned in work it is known at once.
func TestAHeavierMix(t *testing.T) {
	late := map[string]float64{}
	for _, config := range []Config{testConfig(), workConfig()} {
		w := &world{a: newTest(t, config), lead: 4, partitions: 48, ready: 5, random: rand.New(rand.NewPCG(3, 4)), heavy: 1}
		for range 300 {
			w.step(400)
		}
		w.heavy = 2
		sum := 0.0
		for range 60 {
			d := w.step(400)
			sum += max(0, w.lags[len(w.lags)-1]-config.ObjectiveLag.Seconds())
			if n := d.WorkPerRecord; config.Work == "" && n.Known() {
				t.Fatalf("a policy without work has %v a record", n)
			}
		}
		if n := w.counts[len(w.counts)-1]; n < 8 || n > 13 {
			t.Errorf("work %q: %d replicas in the end, want about 10", config.Work, n)
		}
		late[config.Work] = sum
	}
	t.Logf("seconds beyond the promise, summed over ticks: in records %.0f, in work %.0f", late[""], late["tokens_total"])
	if late["tokens_total"] > 0.7*late[""] {
		t.Errorf("seconds beyond the promise: in work %.0f, in records %.0f; want at most 0.7 of it", late["tokens_total"], late[""])
	}
}

// TestWorkIsToldInRecords holds what is shown to the records that were observed, though all is reckoned in work of 500 a record.
func TestWorkIsToldInRecords(t *testing.T) {
	w := &world{a: newTest(t, workConfig()), lead: 4, partitions: 48, ready: 5}
	w.hide = func(o *series.Observation) { o.ArrivalWork = o.ArrivalRecords.Times(500) }
	var d Decision
	for range 200 {
		d = w.step(400)
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 0.02*want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	near("work per record", d.WorkPerRecord.Or(0), 500)
	near("arrival rate", d.ArrivalRate.Or(0), 400)
	near("capacity", d.CapacityPerReplica.Or(0), perSecond)
	near("median forecast", d.ArrivalForecast[0].Value, 400)
}

// TestWorkThatIsNotMeasured: a record that is not measured counts as those before it. Before the first of all nothing is
// learned, and yet a group that was scaled to zero starts when something comes.
func TestWorkThatIsNotMeasured(t *testing.T) {
	w := &world{a: newTest(t, workConfig()), lead: 4, partitions: 48, ready: 5, heavy: 3}
	for range 200 {
		w.step(100)
	}
	w.hide = func(o *series.Observation) { o.ArrivalWork = series.Missing }
	before := slices.Clone(w.counts)
	for range 100 {
		if d := w.step(100); d.DesiredReplicas != before[len(before)-1] || slices.Contains(d.Verdicts, VerdictStale) {
			t.Fatalf("without a measure %d replicas (%v), with one %d", d.DesiredReplicas, d.Verdicts, before[len(before)-1])
		}
	}
	config := workConfig()
	config.MinReplicas = 0
	cold := newTest(t, config)
	o := series.Observation{
		At: start, Interval: 15 * time.Second, ArrivalRecords: series.Of(30), ConsumedRecords: series.Of(0), LagRecords: series.Of(30), LagSeconds: series.Of(3),
		ReadyReplicas: series.Of(0), StartingReplicas: series.Of(0), Partitions: series.Of(4),
	}
	if d := cold.Tick(start, o); d.DesiredReplicas != 1 {
		t.Errorf("from zero: %d replicas (%s), want 1", d.DesiredReplicas, d.Reason)
	}
}

// TestWorkInACheckpoint: the state goes on bit for bit, and is refused where another unit is meant.
func TestWorkInACheckpoint(t *testing.T) {
	w := &world{a: newTest(t, workConfig()), lead: 4, partitions: 48, ready: 5, heavy: 3}
	for range 50 {
		w.step(100)
	}
	saved := w.a.AppendCheckpoint(nil)
	again := newTest(t, workConfig())
	if err := again.Restore(saved); err != nil {
		t.Fatal(err)
	}
	other := &world{a: again, lead: w.lead, partitions: w.partitions, ready: w.ready, starting: slices.Clone(w.starting), lag: w.lag, tick: w.tick, heavy: 4}
	w.heavy = 4
	for range 20 {
		w.step(120)
		other.step(120)
	}
	if !bytes.Equal(w.a.AppendCheckpoint(nil), again.AppendCheckpoint(nil)) {
		t.Error("the restored state went on otherwise")
	}
	if err := newTest(t, testConfig()).Restore(saved); err == nil {
		t.Error("a state in tokens was taken for one in records")
	}
}

// TestPartitionsKeepTheirShares: in work the partitions still add up to the whole, each with its share.
func TestPartitionsKeepTheirShares(t *testing.T) {
	w := work{PerRecord: 10}
	o := series.Observation{
		ArrivalRecords: series.Of(40), ArrivalWork: series.Of(800), LagRecords: series.Of(7),
		PartitionArrivalRecords: []series.Value{series.Of(10), series.Of(30)}, PartitionLagRecords: []series.Value{series.Of(0), series.Of(7)},
		Pools: []series.PoolObservation{{Name: "gpu", ConsumedRecords: series.Of(4)}},
	}
	var x series.Observation
	for range 2 { // the memory is reused
		w.convert(&x, &o)
		if x.ArrivalRecords != series.Of(800) || x.LagRecords != series.Of(70) || x.ConsumedRecords.Known() || x.Pools[0].ConsumedRecords != series.Of(80) ||
			!slices.Equal(x.PartitionArrivalRecords, []series.Value{series.Of(200), series.Of(600)}) ||
			!slices.Equal(x.PartitionLagRecords, []series.Value{series.Of(0), series.Of(70)}) {
			t.Errorf("got %+v", x)
		}
	}
	if o.PartitionArrivalRecords[1] != series.Of(30) || o.Pools[0].ConsumedRecords != series.Of(4) {
		t.Error("the observation was changed")
	}
}
