package scaler

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/metrics/series"
)

// settled returns the input of a group that has run for a while, for one decision to be varied.
type settled struct {
	config      Config
	state       State
	observation series.Observation
	forecast    forecaster.Forecast
}

func drawSettled(t *rapid.T) *settled {
	s := &settled{config: testConfig()}
	s.config.MaxReplicas = rapid.IntRange(1, 60).Draw(t, "max")
	s.config.MinReplicas = rapid.IntRange(0, min(3, s.config.MaxReplicas)).Draw(t, "min")
	s.config.ViolationRatio = rapid.SampledFrom([]float64{0.0003, 0.001, 0.01, 0.03}).Draw(t, "ratio")
	partitions := rapid.SampledFrom([]int{1, 3, 12, 48, 100}).Draw(t, "partitions")
	ready := rapid.IntRange(0, min(s.config.MaxReplicas, partitions)).Draw(t, "ready")
	starting := rapid.IntRange(0, s.config.MaxReplicas-ready).Draw(t, "starting")
	rate := rapid.Float64Range(0, 6000).Draw(t, "rate")
	lag := rapid.SampledFrom([]float64{0, 100, 5000, 1e5}).Draw(t, "lag")
	at := start.Add(time.Hour)
	for range rapid.IntRange(0, 4).Draw(t, "startups") {
		s.state.Lead.Plain.add(rapid.Float64Range(5, 400).Draw(t, "startup"))
	}
	for i := range 20 {
		s.observation = series.Observation{
			At: at.Add(time.Duration(i) * 15 * time.Second), Interval: 15 * time.Second, ArrivalRecords: series.Of(rate * 15),
			ConsumedRecords: series.Of(rate * 15), LagRecords: series.Of(0), LagSeconds: series.Of(0),
			ReadyReplicas: series.OfInt(ready), StartingReplicas: series.OfInt(starting), Partitions: series.OfInt(partitions),
			BusyRatio: series.Of(0.5),
		}
		s.state.Learn(&s.config, &s.observation)
	}
	s.state.Capacity = capacity{Mean: 100, Deviation: 5, Samples: 20}
	s.state.derive(&s.config)
	s.observation.LagRecords = series.Of(lag)
	s.observation.LagSeconds = series.Of(lag / 1000)
	if rapid.Bool().Draw(t, "perPartition") {
		for range partitions {
			s.observation.PartitionLagRecords = append(s.observation.PartitionLagRecords, series.Of(lag/float64(partitions)))
		}
	}
	for range rapid.IntRange(0, 4).Draw(t, "wanted") {
		s.state.Wanted[s.state.WantedAt] = rapid.IntRange(0, s.config.MaxReplicas).Draw(t, "n")
		s.state.WantedAt++
	}
	s.state.Rivals.Lost = rapid.Bool().Draw(t, "lost")
	s.state.TooFew = tooFew{rapid.IntRange(0, 10).Draw(t, "few"), rapid.Float64Range(0, 1000).Draw(t, "fewRate"), rapid.Float64Range(0, 10).Draw(t, "load"), at}
	s.state.TakenBack = tooFew{rapid.IntRange(0, 10).Draw(t, "back"), rapid.Float64Range(0, 1000).Draw(t, "backRate"), rapid.Float64Range(0, 10).Draw(t, "backLoad"), at}
	if s.config.MinReplicas == 0 && rapid.Bool().Draw(t, "silent") {
		silent := &s.state.Silence
		silent.Since = s.observation.At.Add(-time.Duration(rapid.IntRange(0, 600).Draw(t, "silence")) * time.Second)
		silent.Least = rapid.Float64Range(0, 1000).Draw(t, "least")
		s.observation.ArrivalRecords = series.Of(0)
	}
	missed := rapid.SampledFrom([]float64{0, 0.1, 0.5}).Draw(t, "missed")
	(&levelModel{at: s.observation.At, step: s.config.Interval, level: rate, n: 100, missed: missed}).Forecast(&s.forecast, 10)
	for i := range s.forecast.PerStep { // a path that is not level
		s.forecast.PerStep[i] *= 1 + missed*math.Sin(float64(i/len(s.forecast.Levels)))
	}
	return s
}

func (s *settled) decide() Decision {
	return Decide(s.observation.At, Input{Config: &s.config, State: &s.state, Observation: &s.observation, Forecast: &s.forecast})
}

func TestWithinBoundsAlways(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettled(t)
		d := s.decide()
		if d.DesiredReplicas < s.config.MinReplicas || d.DesiredReplicas > s.config.MaxReplicas {
			t.Fatalf("got %d, want %d to %d", d.DesiredReplicas, s.config.MinReplicas, s.config.MaxReplicas)
		}
		if !slices.Contains(Reasons(), d.Reason) {
			t.Fatalf("reason %q is not in the set", d.Reason)
		}
		for _, v := range d.Verdicts {
			if !slices.Contains(Verdicts(), v) {
				t.Fatalf("verdict %q is not in the set", v)
			}
		}
	})
}

func TestMonotoneInBacklog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettled(t)
		less := s.decide().DesiredReplicas
		seconds := rapid.Float64Range(0, 60).Draw(t, "older")
		records := rapid.Float64Range(0, 100*s.config.ObjectiveLag.Seconds()).Draw(t, "more") * float64(s.config.MaxReplicas)
		const steps = 30
		for i := range steps {
			s.more(records/steps, seconds/steps)
			got := s.decide().DesiredReplicas
			if got < less {
				t.Fatalf("with %v more records and %v more seconds behind, step %d: %d, which is less than %d", records/steps, seconds/steps, i, got, less)
			}
			less = got
		}
	})
}

// more puts the group further behind. What one partition holds stays below what one replica does in the time of the objective: what
// is beyond that is a partition that does not move, and counts no longer.
func (s *settled) more(records, seconds float64) {
	o := &s.observation
	if n := float64(len(o.PartitionLagRecords)); n > 0 {
		each := 0.0
		for _, v := range o.PartitionLagRecords {
			each = max(each, v.Or(0))
		}
		records = max(0, min(records, n*(100*s.config.ObjectiveLag.Seconds()-each)))
		for i, v := range o.PartitionLagRecords {
			o.PartitionLagRecords[i] = series.Of(v.Or(0) + records/n)
		}
	}
	o.LagRecords = series.Of(o.LagRecords.Or(0) + records)
	o.LagSeconds = series.Of(o.LagSeconds.Or(0) + seconds)
}

func TestMonotoneInForecastArrivals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettled(t)
		less := s.decide().DesiredReplicas
		factor := rapid.Float64Range(1, 3).Draw(t, "factor")
		for i := range s.forecast.PerStep {
			s.forecast.PerStep[i] *= factor
		}
		if got := s.decide().DesiredReplicas; got < less {
			t.Fatalf("with arrivals %v times as high: %d, which is less than %d", factor, got, less)
		}
		less = s.decide().DesiredReplicas
		from, more := rapid.IntRange(0, s.forecast.Steps).Draw(t, "from"), rapid.Float64Range(0, 1000).Draw(t, "more")
		for i := from * len(s.forecast.Levels); i < len(s.forecast.PerStep); i++ {
			s.forecast.PerStep[i] += more
		}
		if got := s.decide().DesiredReplicas; got < less {
			t.Fatalf("with arrivals higher by %v from step %d on: %d, which is less than %d", more, from, got, less)
		}
	})
}

// A plan for at least twice what is ready is a panic: until a minute after it nothing is taken away, then it is.
func TestPanicTakesNothingAway(t *testing.T) {
	config := testConfig()
	config.MinReplicas, config.MaxReplicas = 1, 60
	s := &State{}
	at := start.Add(time.Hour)
	observe := func(ready int) *series.Observation {
		o := &series.Observation{
			At: at, Interval: 15 * time.Second, ArrivalRecords: series.Of(400 * 15), ConsumedRecords: series.Of(400 * 15), LagRecords: series.Of(0),
			LagSeconds: series.Of(0), ReadyReplicas: series.OfInt(ready), StartingReplicas: series.Of(0), Partitions: series.Of(60), BusyRatio: series.Of(0.2),
		}
		s.Learn(&config, o)
		s.Capacity = capacity{Mean: 100, Deviation: 5, Samples: 20}
		s.derive(&config)
		return o
	}
	var f forecaster.Forecast
	for range 20 {
		observe(20)
		at = at.Add(15 * time.Second)
	}
	(&levelModel{at: at, step: config.Interval, level: 400, n: 100}).Forecast(&f, 10)
	s.Record(&Decision{At: at, DesiredReplicas: 20, CurrentReplicas: series.Of(10), planned: 20, horizon: 4}, &series.Observation{ReadyReplicas: series.Of(10)})
	began := at
	s.WantedAt = 0 // the ordinary hold asks for nothing
	for {
		at = at.Add(15 * time.Second)
		o := observe(20)
		d := Decide(at, Input{Config: &config, State: s, Observation: o, Forecast: &f})
		if at.Sub(began) < panicSpan {
			if d.DesiredReplicas != 20 || d.Reason != ReasonPanic {
				t.Fatalf("%s after the panic: got %d (%s), want 20 (Panic)", at.Sub(began), d.DesiredReplicas, d.Reason)
			}
			continue
		}
		if d.DesiredReplicas >= 20 || d.Reason == ReasonPanic {
			t.Fatalf("%s after the panic: got %d (%s), want fewer", at.Sub(began), d.DesiredReplicas, d.Reason)
		}
		return
	}
}

func TestSameInputSameDecision(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettled(t)
		a, _ := json.Marshal(s.decide())
		b, _ := json.Marshal(s.decide())
		if string(a) != string(b) {
			t.Fatalf("got %s, then %s", a, b)
		}
	})
}

func TestUsefulCounts(t *testing.T) {
	p := partitions{Count: 12}
	p.derive(100, 0, 0)
	if want := []int{1, 2, 3, 4, 6, 12}; !slices.Equal(p.useful, want) {
		t.Errorf("12 partitions: got %v, want %v", p.useful, want)
	}
	// 17 to 23 consumers of 48 partitions do the work of 16.
	p = partitions{Count: 48}
	p.derive(100, 0, 0)
	for n := 16; n < 24; n++ {
		if w := p.work(n); w != 16 {
			t.Errorf("work of %d: got %v, want 16", n, w)
		}
	}
}

// hot runs a group with 12 partitions of which the first gets a share of the arrivals, from tick `from` on.
func hot(a *Autoscaler, rate, late float64, from int) (verdictAt int, counts []int) {
	verdictAt = -1
	const interval = 15.0
	n, lag := 8, 0.0
	for i := range 60 {
		share := 1.0 / 12
		if i >= from {
			share = late
		}
		lags, arrivals := make([]series.Value, 12), make([]series.Value, 12)
		for p := range 12 {
			arrivals[p], lags[p] = series.Of(rate*interval*(1-share)/11), series.Of(0)
		}
		arrivals[0] = series.Of(rate * interval * share)
		lag += max(0, rate*share-perSecond) * interval
		lags[0] = series.Of(lag)
		at := start.Add(time.Duration(i+1) * 15 * time.Second)
		d := a.Tick(at, series.Observation{
			At: at, Interval: 15 * time.Second, ArrivalRecords: series.Of(rate * interval),
			ConsumedRecords: series.Of(min(rate, rate*(1-share)+perSecond) * interval), LagRecords: series.Of(lag),
			LagSeconds: series.Of(lag / (rate * share)), ReadyReplicas: series.OfInt(n), StartingReplicas: series.Of(0),
			Partitions: series.Of(12), PartitionLagRecords: lags, PartitionArrivalRecords: arrivals,
			BusyRatio: series.Of(min(1, rate/(float64(n)*perSecond))),
		})
		if verdictAt < 0 && slices.Contains(d.Verdicts, VerdictHotPartition) {
			verdictAt = i
		}
		n = d.DesiredReplicas
		counts = append(counts, n)
	}
	return verdictAt, counts
}

func TestHotPartition(t *testing.T) {
	// 600 records/s at 100 a replica: half of them on one partition is three replicas' work for the one that has it.
	at, counts := hot(newTest(t, testConfig()), 600, 0.5, 0)
	if at < 0 || at > warmTicks+2 {
		t.Errorf("verdict at tick %d, want within two of the warm-up", at)
	}
	if last := counts[len(counts)-1]; last > 8 {
		t.Errorf("a hot partition drove the count to %d: %v", last, counts)
	}
	if at, counts := hot(newTest(t, testConfig()), 600, 0.5, 40); at < 40 || at > 41 || counts[59] > counts[39] {
		t.Errorf("hot from tick 40 on: verdict at tick %d, want within two, and counts that do not grow: %v", at, counts)
	}
	if at, _ := hot(newTest(t, testConfig()), 600, 1.0/12, 0); at >= 0 {
		t.Errorf("evenly spread: verdict at tick %d", at)
	}
}

func TestHotPartitionWhateverItsShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, err := NewAutoscaler(testConfig(), &levelModel{step: 15 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		rate := rapid.Float64Range(300, 1000).Draw(t, "rate")
		// Beyond a replica by a half or more: three quarters of that show in two ticks.
		share := rapid.Float64Range(1.5*perSecond/rate, 0.9).Draw(t, "share")
		at, counts := hot(a, rate, share, 40)
		if at < 40 || at > 41 {
			t.Errorf("verdict at tick %d, want 40 or 41", at)
		}
		// The hot partition's consumer, and what the others' arrivals take with a margin of a half.
		var p partitions
		p.observe(series.Of(12), nil)
		p.derive(48, rate, perSecond)
		enough, _ := p.snap(1 + 1.5*rate*(1-share)/perSecond)
		if n := counts[59]; n > max(counts[39], enough) {
			t.Errorf("%d replicas after %d, want at most %d: %v", n, counts[39], enough, counts[35:])
		}
	})
}

func TestEvenlyOverloadedPartitionsAreBound(t *testing.T) {
	a := newTest(t, testConfig())
	arrivals := make([]series.Value, 12)
	for p := range arrivals {
		arrivals[p] = series.Of(1500 * 15 / 12)
	}
	var d Decision
	for i := range 20 {
		at := start.Add(time.Duration(i+1) * 15 * time.Second)
		d = a.Tick(at, series.Observation{
			At: at, Interval: 15 * time.Second, ArrivalRecords: series.Of(1500 * 15), ConsumedRecords: series.Of(1200 * 15), LagRecords: series.Of(300 * 15 * float64(i)),
			ReadyReplicas: series.Of(12), StartingReplicas: series.Of(0), Partitions: series.Of(12), PartitionArrivalRecords: arrivals, BusyRatio: series.Of(1),
		})
	}
	if !slices.Contains(d.Verdicts, VerdictPartitionBound) || d.DesiredReplicas != 12 {
		t.Errorf("15 replicas' work on 12 partitions: got %d replicas with %v, want 12 with PartitionBound", d.DesiredReplicas, d.Verdicts)
	}
}

func TestPoisonPartitionDoesNotDriveToTheBound(t *testing.T) {
	// One partition is not consumed at all; its backlog grows for ever. The rest needs three replicas.
	a := newTest(t, testConfig())
	n := 4
	for i := range 200 {
		lags := make([]series.Value, 12)
		for p := range lags {
			lags[p] = series.Of(0)
		}
		lag := float64(i) * 15 * 25
		lags[3] = series.Of(lag)
		at := start.Add(time.Duration(i+1) * 15 * time.Second)
		d := a.Tick(at, series.Observation{
			At: at, Interval: 15 * time.Second, ArrivalRecords: series.Of(300 * 15), ConsumedRecords: series.Of(275 * 15),
			LagRecords: series.Of(lag), LagSeconds: series.Of(float64(i) * 15), ReadyReplicas: series.OfInt(n), StartingReplicas: series.Of(0),
			Partitions: series.Of(12), PartitionLagRecords: lags, BusyRatio: series.Of(275 / (100 * float64(n))),
		})
		n = d.DesiredReplicas
	}
	if n > 6 {
		t.Errorf("got %d replicas, want at most 6", n)
	}
}

func TestObserveAndPausedKeepTheCount(t *testing.T) {
	for _, change := range []func(*Config){func(c *Config) { c.Observe = true }, func(c *Config) { c.Paused = true }} {
		config := testConfig()
		change(&config)
		w := &world{a: newTest(t, config), lead: 4, partitions: 48, ready: 3}
		for range 50 {
			w.step(1200)
		}
		if n := w.counts[49]; n != 3 {
			t.Errorf("observe %v, paused %v: got %d, want 3", config.Observe, config.Paused, n)
		}
	}
}

func TestToZeroAndBack(t *testing.T) {
	config := testConfig()
	config.MinReplicas = 0
	w := &world{a: newTest(t, config), lead: 4, partitions: 48, ready: 3}
	for range 100 {
		w.step(100)
	}
	for range 200 {
		w.step(0)
	}
	if n := w.counts[299]; n != 0 {
		t.Errorf("nothing arrives: got %d, want 0", n)
	}
	w.step(100)
	if n := w.counts[300]; n < 1 {
		t.Errorf("something arrived: got %d, want 1 or more", n)
	}
}

// The first replica of a group at zero may take longer, for its image has to come first: that is learned apart, and planned with
// only where there is none.
func TestTheLeadTimeFromZeroIsLearnedApart(t *testing.T) {
	config := testConfig()
	config.MinReplicas = 0
	w := &world{a: newTest(t, config), lead: 4, partitions: 48, ready: 2}
	var d Decision
	for range 6 {
		w.lead = 4
		for range 60 {
			d = w.step(250)
		}
		w.step(500) // two more on top of those that there are
		for range 30 {
			w.step(500)
		}
		for w.ready+len(w.starting) > 0 {
			if w.step(0); len(w.counts) > 5000 {
				t.Fatalf("never at zero: %v", w.counts)
			}
		}
		w.lead = 20
		for i := 0; w.ready == 0; i++ {
			d = w.step(250 + 100*float64(i)) // more are ordered while the first ones start
		}
	}
	lead := &w.a.state.Lead
	if lead.FromZero.Count < 5 || lead.Plain.Count < 5 {
		t.Fatalf("%d start-ups from zero and %d others were seen, want 5 of each at least", lead.FromZero.Count, lead.Plain.Count)
	}
	if zero, other := lead.usual(60, 0), lead.usual(60, 3); zero != 20*15 || other != 4*15 {
		t.Errorf("lead times: %g s from zero and %g s else, want 300 and 60", zero, other)
	}
	for range 100 {
		d = w.step(0)
	}
	if got := d.LeadTimeSeconds.Or(0); d.DesiredReplicas != 0 || got != 300 {
		t.Errorf("at zero: %d replicas with a lead time of %g s, want 0 and 300", d.DesiredReplicas, got)
	}
}

func TestScheduleAndBudget(t *testing.T) {
	config := testConfig()
	config.Schedules = []Schedule{{forecaster.Span{Start: "10 0 * * *", Duration: time.Hour}, 10}}
	w := &world{a: newTest(t, config), lead: 4, partitions: 48, ready: 3}
	for range 60 {
		w.step(100)
	}
	// 60 ticks are 15 minutes: the schedule has been on for five.
	if n := w.counts[59]; n < 10 {
		t.Errorf("scheduled: got %d, want 10 or more", n)
	}
	if n := w.counts[20]; n >= 10 {
		t.Errorf("before the schedule: got %d", n)
	}

	config = testConfig()
	config.BudgetReplicaHoursPerDay = 48
	w = &world{a: newTest(t, config), lead: 4, partitions: 48, ready: 8}
	hours := 0.0
	for range 24*240 - 1 {
		w.step(700)
		hours += float64(w.ready+len(w.starting)) / 240
	}
	if hours > 50 {
		t.Errorf("spent %v replica-hours of 48", hours)
	}
}

func TestPoolsFillTheCheapestFirst(t *testing.T) {
	pools := []Pool{{Name: "gpu", MaxReplicas: 4, Price: 4}, {Name: "cpu", MaxReplicas: 10, Price: 1}}
	learned := []capacity{{Mean: 1000, Samples: 10}, {Mean: 100, Samples: 10}}
	for _, tt := range []struct {
		demand   float64
		gpu, cpu int
		left     float64
	}{
		{0, 0, 0, 0},
		{80, 0, 1, 0},   // one CPU replica is cheaper than a GPU that idles
		{1000, 1, 0, 0}, // 0.004 a record on the GPU, 0.01 on the CPU
		{1080, 1, 1, 0}, // the rest on a CPU replica
		{4500, 4, 5, 0}, // the GPU pool is full
		{6000, 4, 10, 1000},
	} {
		got, left := splitPools(nil, pools, learned, 1, tt.demand, 0, 100)
		if got[0].DesiredReplicas != tt.gpu || got[1].DesiredReplicas != tt.cpu || math.Abs(left-tt.left) > 1e-6 {
			t.Errorf("%v records/s: got %v, %v left, want %d, %d and %v", tt.demand, got, left, tt.gpu, tt.cpu, tt.left)
		}
	}
}

// TestPoolsKeepToTheBoundOfTheirSum: what slow replicas do for less they must not do in numbers that nobody allowed.
func TestPoolsKeepToTheBoundOfTheirSum(t *testing.T) {
	pools := []Pool{{Name: "gpu", MaxReplicas: 4, Price: 20, Speed: 10}, {Name: "cpu", MaxReplicas: 100, Price: 1}}
	for _, tt := range []struct {
		demand   float64
		gpu, cpu int
		left     float64
	}{
		{12, 0, 12, 0}, // a CPU replica does a record for half the price
		{13, 1, 3, 0},  // and one GPU replica the work of ten, where twelve may be
		{30, 2, 10, 0},
		{48, 4, 8, 0},
		{60, 4, 8, 12}, // more than twelve can do
	} {
		got, left := splitPools(nil, pools, nil, 1, tt.demand, 0, 12)
		if got[0].DesiredReplicas != tt.gpu || got[1].DesiredReplicas != tt.cpu || math.Abs(left-tt.left) > 1e-6 {
			t.Errorf("%v records/s: got %v, %v left, want %d, %d and %v", tt.demand, got, left, tt.gpu, tt.cpu, tt.left)
		}
	}
	// What is still asked for while little is known keeps to it, too.
	config := testConfig()
	config.Pools, config.MaxReplicas = pools, 12
	a := newTest(t, config)
	for i := range 100 {
		at := start.Add(time.Duration(i) * config.Interval)
		d := a.Tick(at, series.Observation{At: at, Interval: config.Interval, ArrivalRecords: series.OfInt(1000 + 50*i), ConsumedRecords: series.Of(1600),
			LagRecords: series.OfInt(100 * i), LagSeconds: series.OfInt(i), ReadyReplicas: series.Of(22), StartingReplicas: series.Of(0), Partitions: series.Of(48),
			Pools: []series.PoolObservation{
				{Name: "gpu", ReadyReplicas: series.Of(2), ConsumedRecords: series.Of(1400)}, {Name: "cpu", ReadyReplicas: series.Of(20), ConsumedRecords: series.Of(200)},
			}})
		if d.DesiredReplicas > 12 || sumOf(d.Pools) > 12 {
			t.Fatalf("tick %d: got %d replicas and %v, because of %s, want 12 at most", i, d.DesiredReplicas, d.Pools, d.Reason)
		}
	}
}

// TestWhatWasLearnedOfAPoolStaysWithIt: the policy's pools are put into another order, one is added and one is removed, and what the log
// has of the state is of the pools that there were.
func TestWhatWasLearnedOfAPoolStaysWithIt(t *testing.T) {
	config := testConfig()
	config.Pools = []Pool{{Name: "gpu", MaxReplicas: 4, Price: 4}, {Name: "cpu", MaxReplicas: 10, Price: 1}}
	a := newTest(t, config)
	for i := range 10 {
		at := start.Add(time.Duration(i) * config.Interval)
		a.Tick(at, series.Observation{At: at, Interval: config.Interval, ArrivalRecords: series.Of(1), Pools: []series.PoolObservation{
			{Name: "gpu", ReadyReplicas: series.Of(1), ConsumedRecords: series.Of(15000), BusyRatio: series.Of(1)},
			{Name: "cpu", ReadyReplicas: series.Of(1), ConsumedRecords: series.Of(1500), BusyRatio: series.Of(1)},
		}})
	}
	kept := a.AppendCheckpoint(nil)
	for _, tt := range []struct {
		pools []string
		want  []series.Value
	}{
		{[]string{"gpu", "cpu"}, []series.Value{series.Of(1000), series.Of(100)}},
		{[]string{"cpu", "gpu"}, []series.Value{series.Of(100), series.Of(1000)}},
		{[]string{"spot", "cpu"}, []series.Value{series.Missing, series.Of(100)}},
		{[]string{"cpu"}, []series.Value{series.Of(100)}},
	} {
		config.Pools = nil
		for _, name := range tt.pools {
			config.Pools = append(config.Pools, Pool{Name: name, MaxReplicas: 10, Price: 1})
		}
		b := newTest(t, config)
		if err := b.Restore(kept); err != nil {
			t.Fatal(err)
		}
		for i, want := range tt.want {
			if got := b.state.Pools[i].perReplica(); got.Known() != want.Known() || math.Abs(got.Or(0)-want.Or(0)) > 1e-6 {
				t.Errorf("%v: %s: a replica does %v, want %v", tt.pools, tt.pools[i], got, want)
			}
		}
	}
}

// TestPoolsThatAreNotMeasuredGoByTheirSpeed: the group's mean is of the replicas that there are.
func TestPoolsThatAreNotMeasuredGoByTheirSpeed(t *testing.T) {
	config := testConfig()
	config.Pools = []Pool{{Name: "gpu", MaxReplicas: 4, Price: 2.5, Speed: 10}, {Name: "cpu", MaxReplicas: 40, Price: 0.4}}
	tune := config.tuning()
	split := func(mean float64, want, gpu, cpu int) []PoolDecision {
		state := State{Capacity: capacity{Mean: mean, Samples: 10}}
		state.derive(&config)
		o := series.Observation{Pools: []series.PoolObservation{
			{Name: "gpu", ReadyReplicas: series.OfInt(gpu), StartingReplicas: series.Of(0)}, {Name: "cpu", ReadyReplicas: series.OfInt(cpu), StartingReplicas: series.Of(0)},
		}}
		d := decider{Decision: &Decision{DesiredReplicas: want, Reason: ReasonForecast}, config: &config, state: &state, o: &o, tune: &tune}
		d.split(100)
		return d.Pools
	}
	// Ten CPU replicas of 100 records a second: one GPU replica does as much for less.
	if got := split(100, 10, 0, 10); got[0].DesiredReplicas != 1 || got[1].DesiredReplicas != 0 {
		t.Errorf("from ten CPU replicas: got %v, want one GPU replica", got)
	}
	// It does 1000, and stays.
	if got := split(1000, 1, 1, 0); got[0].DesiredReplicas != 1 || got[1].DesiredReplicas != 0 {
		t.Errorf("from one GPU replica: got %v, want it to stay", got)
	}
	// One GPU and two CPU replicas do 1200, 400 each on average. Four times that are one GPU replica and six CPU replicas, which cost
	// less than a second GPU replica; five times are two of those.
	if got := split(400, 4, 1, 2); got[0].DesiredReplicas != 1 || got[1].DesiredReplicas != 6 {
		t.Errorf("1600 records/s: got %v, want one GPU replica and six CPU replicas", got)
	}
	if got := split(400, 5, 1, 2); got[0].DesiredReplicas != 2 || got[1].DesiredReplicas != 0 {
		t.Errorf("2000 records/s: got %v, want two GPU replicas", got)
	}
}

// TestAFullPoolOverflows runs the split in a loop with a cluster that has room for eight GPU replicas: the waiting ones go on
// being asked for, the CPU pool stands in for them, and that settles.
func TestAFullPoolOverflows(t *testing.T) {
	config := testConfig()
	config.Pools = []Pool{{Name: "gpu", MaxReplicas: 16, Price: 1}, {Name: "cpu", MaxReplicas: 8, Price: 3}}
	state := State{Capacity: capacity{Mean: 100, Samples: 10}}
	state.derive(&config)
	tune := config.tuning()
	const room = 8
	present := []int{8, 0}
	for _, tt := range []struct{ want, gpu, cpu, sum int }{
		{10, 10, 0, 10}, // not known to be full yet
		{10, 10, 2, 10},
		{10, 10, 2, 10},
		{12, 10, 4, 12}, // no more are asked for than wait already
		{9, 9, 1, 9},
		{8, 8, 0, 8},
		{20, 16, 4, 20},
		{20, 16, 8, 16}, // eight stuck, and eight of sixteen CPU replicas
		{20, 16, 8, 16},
	} {
		stuck := max(0, present[0]-room)
		o := series.Observation{Pools: []series.PoolObservation{
			{Name: "cpu", ReadyReplicas: series.OfInt(present[1]), StartingReplicas: series.Of(0), UnschedulableReplicas: series.Of(0)},
			{Name: "gpu", ReadyReplicas: series.OfInt(present[0] - stuck), StartingReplicas: series.OfInt(stuck), UnschedulableReplicas: series.OfInt(stuck)},
		}}
		d := decider{Decision: &Decision{DesiredReplicas: tt.want, Reason: ReasonForecast}, config: &config, state: &state, o: &o, tune: &tune}
		d.split(100)
		if d.Pools[0].DesiredReplicas != tt.gpu || d.Pools[1].DesiredReplicas != tt.cpu || d.DesiredReplicas != tt.sum {
			t.Fatalf("%d wanted, %v there: got %v, in all %d, want %d, %d, %d", tt.want, present, d.Pools, d.DesiredReplicas, tt.gpu, tt.cpu, tt.sum)
		}
		present = []int{d.Pools[0].DesiredReplicas, d.Pools[1].DesiredReplicas}
	}
	// What only observes keeps every pool as it is, however it would split.
	o := series.Observation{Pools: []series.PoolObservation{
		{Name: "gpu", ReadyReplicas: series.Of(2), StartingReplicas: series.Of(1)}, {Name: "cpu", ReadyReplicas: series.Of(5), StartingReplicas: series.Of(0)},
	}}
	d := decider{Decision: &Decision{DesiredReplicas: 8, Reason: ReasonObserve}, config: &config, state: &state, o: &o, tune: &tune}
	if d.split(100); d.Pools[0].DesiredReplicas != 3 || d.Pools[1].DesiredReplicas != 5 || d.DesiredReplicas != 8 {
		t.Errorf("observing: got %v", d.Pools)
	}
}

func BenchmarkDecide(b *testing.B) {
	w := &world{a: newTest(b, testConfig()), lead: 20, partitions: 48, ready: 8}
	for i := range 200 {
		w.step(700 + 100*math.Sin(float64(i)))
	}
	o := series.Observation{
		At: start.Add(201 * 15 * time.Second), Interval: 15 * time.Second, ArrivalRecords: series.Of(10500), ConsumedRecords: series.Of(10500),
		LagRecords: series.Of(500), LagSeconds: series.Of(1), ReadyReplicas: series.Of(8), StartingReplicas: series.Of(0), Partitions: series.Of(48),
	}
	var d Decision
	in := Input{Config: &w.a.config, State: &w.a.state, Observation: &o, Forecast: &w.a.forecast}
	b.ReportAllocs()
	for b.Loop() {
		DecideInto(&d, o.At, in)
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	for _, arrivals := range []float64{10500, 0} {
		config := testConfig()
		config.MinReplicas = 0
		w := &world{a: newTest(t, config), lead: 4, partitions: 48, ready: 8}
		for range 100 {
			w.step(700)
		}
		w.a.state.Silence.Count = gapsKept
		var d Decision
		o := series.Observation{
			At: start.Add(101 * 15 * time.Second), Interval: 15 * time.Second, ArrivalRecords: series.Of(arrivals), LagRecords: series.Of(arrivals / 21),
			ReadyReplicas: series.Of(8), Partitions: series.Of(48),
			PartitionArrivalRecords: slices.Repeat([]series.Value{series.Of(arrivals / 48)}, 48),
			PartitionLagRecords:     slices.Repeat([]series.Value{series.Of(arrivals / 21 / 48)}, 48),
		}
		if n := testing.AllocsPerRun(100, func() { w.a.TickInto(&d, o.At, &o) }); n > 0 {
			t.Errorf("%v records: %v allocations a tick, want 0", arrivals, n)
		}
	}
}

// TestARecordThatStandsStillAddsNothing: for a quarter of an hour one of 48 partitions is not read, and nobody tells what waits on each.
func TestARecordThatStandsStillAddsNothing(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 10}
	for range 200 {
		w.step(700)
	}
	still := 0.0
	w.hide = func(o *series.Observation) {
		still++
		share := o.ArrivalRecords.Or(0) / 48
		o.ConsumedRecords = series.Of(o.ConsumedRecords.Or(0) - share)
		o.LagRecords, o.LagSeconds = series.Of(o.LagRecords.Or(0)+still*share), series.Of(15*still)
	}
	before := w.ready
	for i := range 60 {
		if d := w.step(700); d.DesiredReplicas > before {
			t.Fatalf("tick %d after it stood still: %d replicas because of %s, want the %d before", i, d.DesiredReplicas, d.Reason, before)
		}
	}
}
