package scaler

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// A promise that nothing keeps: each tick all records are late, for two days. The price must stop at a few times what it began
// with, and two days in which none is late must bring it back below that.
func TestPriceStopsWhereThePromiseCannotBeKept(t *testing.T) {
	const interval, days = 15 * time.Second, 2
	config := testConfig()
	config.ViolationRatio = 0.003
	tick := func(age float64) *series.Observation {
		return &series.Observation{Interval: interval, ArrivalRecords: series.Of(1500), ConsumedRecords: series.Of(1500), LagRecords: series.Of(100 * age), LagSeconds: series.Of(age)}
	}
	late := config.ObjectiveLag.Seconds() * 4
	var p promise
	for range days * 24 * int(time.Hour/interval) {
		p.observe(&config, tick(late), series.Of(100), series.Of(100), 0, false)
	}
	start := startPrice(config.ViolationRatio)
	if got := p.price(config.ViolationRatio) / start; got < 4 || got > 5 || !p.atMost(config.ViolationRatio) {
		t.Errorf("after %d days of late records: got %.2f times the first price, at most: %v; want 4 to 5, and true", days, got, p.atMost(config.ViolationRatio))
	}
	for range 2 * 24 * int(time.Hour/interval) {
		p.observe(&config, tick(0), series.Of(100), series.Of(100), 0, false)
	}
	if got := p.price(config.ViolationRatio) / start; got > 1 || p.atMost(config.ViolationRatio) {
		t.Errorf("after two days without: got %.2f times the first price, at most: %v; want 1 or less, and false", got, p.atMost(config.ViolationRatio))
	}
}

// A policy that begins in a quiet minute, or with an outage's backlog: what the first tick brought is no mean of a day. Else for hours
// each tick counts for ten and the price falls ten times as fast as by dailyDecay, or for a day none counts.
func TestAQuietFirstTickIsNoMeanOfADay(t *testing.T) {
	const interval, hours = 15 * time.Second, 2
	config := testConfig()
	config.ViolationRatio = 0.003
	for _, first := range []float64{0, 1, 1500, 150000} {
		var p promise
		for i := range hours * int(time.Hour/interval) {
			records := 1500.0
			if i == 0 {
				records = first
			}
			o := &series.Observation{
				Interval: interval, ArrivalRecords: series.Of(records), ConsumedRecords: series.Of(records),
				LagRecords: series.Of(0), LagSeconds: series.Of(0),
			}
			p.observe(&config, o, o.ConsumedRate(), o.ArrivalRate(), 0, false)
		}
		// A first tick of 100 times the others makes the mean of an hour 1.4 times as much, and more before.
		want := -dailyDecay * hours / 24
		if p.LogPrice > 0.5*want || p.LogPrice < 1.05*want {
			t.Errorf("first tick of %g records, then 1500: the logarithm of the price fell by %.3f in %d hours without a late record; want about %.3f",
				first, -p.LogPrice, hours, -want)
		}
	}
}

// One burst a day, in which the fewer ticks are late the higher the price. The days after the first must about keep the promise:
// that a burst's later ticks count less must not come to twice of it.
func TestBurstsThatReturnEveryDayKeepThePromise(t *testing.T) {
	const interval, days = 15 * time.Second, 10
	config := testConfig()
	config.ViolationRatio = 0.003
	ticksDay := 24 * int(time.Hour/interval)
	var p promise
	late := 0
	for day := range days {
		burst := 0
		for i := range ticksDay {
			age := 0.0
			// At the first price 40 of the day's 5,760 ticks, 2.3 times the promise.
			if began := i - ticksDay/2; began >= 0 && float64(began) < 40/math.Exp(p.LogPrice) {
				age = 4 * config.ObjectiveLag.Seconds()
				burst++
			}
			o := &series.Observation{Interval: interval, ArrivalRecords: series.Of(1500), ConsumedRecords: series.Of(1500), LagRecords: series.Of(100 * age), LagSeconds: series.Of(age)}
			p.observe(&config, o, series.Of(100), series.Of(100), 0, false)
		}
		if day > 0 {
			late += burst
		}
	}
	got := float64(late) / float64((days-1)*ticksDay)
	if got < 0.7*config.ViolationRatio || got > 1.5*config.ViolationRatio {
		t.Errorf("a burst a day: got %.4f of the ticks late, want 0.7 to 1.5 times %.4f", got, config.ViolationRatio)
	}
}

// A price that has been the least for two weeks rises on the first day of which twice the promise is late, as it would from the first
// day on.
func TestPriceRisesOnTheFirstLateDayAfterACalm(t *testing.T) {
	const interval = 15 * time.Second
	ticksDay := 24 * int(time.Hour/interval)
	for _, ratio := range []float64{0.003, 0.01, 0.03} {
		config := testConfig()
		config.ViolationRatio = ratio
		var p promise
		for i := range 15 * ticksDay {
			age := 0.0
			if every := int(1 / (2 * ratio)); i >= 14*ticksDay && i%every == 0 {
				age = 4 * config.ObjectiveLag.Seconds()
			}
			o := &series.Observation{Interval: interval, ArrivalRecords: series.Of(1500), ConsumedRecords: series.Of(1500), LagRecords: series.Of(100 * age), LagSeconds: series.Of(age)}
			p.observe(&config, o, series.Of(100), series.Of(100), 0, false)
			if got := p.price(ratio); i == 14*ticksDay-1 && got > leastPrice*(1+1e-9) {
				t.Errorf("%v late allowed, two calm weeks: got a price of %.2f, want the least, %g", ratio, got, leastPrice)
			}
		}
		if got := p.price(ratio); got < 1.5*leastPrice {
			t.Errorf("%v late allowed, a day with twice that after two calm weeks: got a price of %.2f, want %.2f at least", ratio, got, 1.5*leastPrice)
		}
	}
}

// What a day without a late record takes back of the price, however many ticks it has: less where so few are allowed that days without one are to be expected.
func TestATightPromiseRemembersABurst(t *testing.T) {
	for _, tt := range []struct {
		interval time.Duration
		ratio    float64
		fall     float64 // of the price's logarithm, in two days
	}{
		{15 * time.Second, 0.0003, 0.6},
		{15 * time.Second, 0.001, 2},
		{15 * time.Second, 0.003, 2},
		{5 * time.Second, 0.0003, 0.6},
		{time.Minute, 0.0003, 0.6},
		{5 * time.Minute, 0.001, 2},
	} {
		config := testConfig()
		config.ViolationRatio = tt.ratio
		records := series.Of(100 * tt.interval.Seconds())
		tick := func(age float64) *series.Observation {
			return &series.Observation{Interval: tt.interval, ArrivalRecords: records, ConsumedRecords: records, LagRecords: series.Of(100 * age), LagSeconds: series.Of(age)}
		}
		ticks := 2 * 24 * int(time.Hour/tt.interval)
		var p promise
		p.LogPrice = maxRise
		for range ticks {
			p.observe(&config, tick(0), series.Of(100), series.Of(100), 0, false)
		}
		if got := maxRise - p.LogPrice; math.Abs(got-tt.fall) > 0.01 {
			t.Errorf("%v late allowed, an interval of %v: two calm days took back %.3f, want %.3f", tt.ratio, tt.interval, got, tt.fall)
		}
	}
}

// A promise that no count keeps leaves the price alone in the end; one that the most replicas keep does not, though some are late with
// those as well.
func TestPriceIsNotMovedByAPromiseThatNoCountKeeps(t *testing.T) {
	const interval, days = 15 * time.Second, 14
	config := testConfig()
	config.ViolationRatio = 0.01
	ticksDay := 24 * int(time.Hour/interval)
	// A busy hour a day, the first minutes of which are late; `most` is what the most replicas do of its 150 records a second.
	run := func(lateTicks int, most float64) float64 {
		var p promise
		for i := range days * ticksDay {
			arrivals, age := 50.0, 0.0
			if began := i%ticksDay - ticksDay/2; began >= 0 && began < 240 {
				arrivals = 150
				if began < lateTicks {
					age = 120
				}
			}
			o := &series.Observation{Interval: interval, ArrivalRecords: series.Of(15 * arrivals), ConsumedRecords: series.Of(15 * arrivals), LagRecords: series.Of(arrivals * age), LagSeconds: series.Of(age)}
			p.observe(&config, o, series.Of(arrivals), series.Of(arrivals), most, false)
		}
		return p.LogPrice
	}
	for _, tt := range []struct {
		name      string
		lateTicks int
		most      float64
		rises     bool
	}{
		{"all of the hour is late, and would be with the most replicas", 240, 75, false},
		{"all of the hour is late, and the most replicas would serve it", 240, 200, true},
		// With the most replicas 21.4 records a second wait, 30 s' worth after 12 ticks: 28 of 40 late ticks are theirs as well, 1.4 % of the
		// records. 0.6 % are less than is promised, and both together more.
		{"more is late with the most replicas than is promised, and more than that with others", 40, 128.6, true},
	} {
		if got := run(tt.lateTicks, tt.most); (got > 0) != tt.rises {
			t.Errorf("%s: price moved by %.2f, want a rise: %v", tt.name, got, tt.rises)
		}
	}
}

// A loose promise begins at a low price, and may rise by more than a tight one, to where replicas are bought for 99 of a hundred.
func TestPriceOfALoosePromiseMayRiseFurther(t *testing.T) {
	const interval = 15 * time.Second
	for _, tt := range []struct{ ratio, want float64 }{{0.0003, 2988}, {0.003, 299}, {0.01, 100}, {0.03, 100}} {
		config := testConfig()
		config.ViolationRatio = tt.ratio
		var p promise
		for range 24 * int(time.Hour/interval) {
			o := &series.Observation{Interval: interval, ArrivalRecords: series.Of(1500), ConsumedRecords: series.Of(1500), LagRecords: series.Of(12000), LagSeconds: series.Of(120)}
			p.observe(&config, o, series.Of(100), series.Of(100), 0, false)
		}
		if got := p.price(tt.ratio); math.Abs(got/tt.want-1) > 0.001 || !p.atMost(tt.ratio) {
			t.Errorf("%v late allowed, all are: got a price of %.1f, at most: %v; want %g, and true", tt.ratio, got, p.atMost(tt.ratio), tt.want)
		}
	}
}

func TestDecisionSaysThatThePriceIsAtMost(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 5}
	for range 100 {
		w.step(250)
	}
	says := func() bool {
		d := w.step(250)
		for _, term := range d.Terms {
			if term.Name == "price" && term.Replicas > 0 && term.Detail != "" {
				return true
			}
		}
		return false
	}
	if says() {
		t.Error("a price that has not risen: want no word of it")
	}
	w.a.state.Promise.LogPrice = maxRise + 0.5
	if !says() {
		t.Error("a price at its highest: want a term that says so")
	}
}

// That replicas start too slowly is told while records are late for it, and not for an hour after it.
func TestALeadTimeTooLongIsNoLongerTheNewsWhenNothingIsLate(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 8, partitions: 48, ready: 5, random: rand.New(rand.NewPCG(1, 7))}
	for range 240 {
		w.step(300)
	}
	told, last, late := false, 0, 0
	for i := range 240 {
		rate := 300.0
		if i < 40 {
			rate = 1500
		}
		d := w.step(rate)
		if slices.Contains(d.Verdicts, VerdictLeadTimeTooLong) {
			told, last = true, i
		}
		if d.LagSeconds.Or(0) > 30 {
			late = i
		}
	}
	if !told {
		t.Fatal("five times as much arrived, and replicas start in two minutes: want the verdict")
	}
	if most := late + 21; last > most {
		t.Errorf("the last record was late at tick %d: the verdict was there until %d, want until %d at most", late, last, most)
	}
}

// For six hours nothing can be read; the interval that spans them brings the records of all, and is one of many hours all the same.
func TestALongIntervalDoesNotSetThePriceForDays(t *testing.T) {
	config := testConfig()
	var p promise
	tick := func(interval time.Duration, age float64) {
		records := series.Of(100 * interval.Seconds())
		o := &series.Observation{Interval: interval, ArrivalRecords: records, ConsumedRecords: records, LagRecords: series.Of(100 * age), LagSeconds: series.Of(age)}
		p.observe(&config, o, series.Of(100), series.Of(100), 0, false)
	}
	for range 2 * 24 * int(time.Hour/config.Interval) {
		tick(config.Interval, 0)
	}
	low := p.price(config.ViolationRatio)
	tick(6*time.Hour, 0)
	for range int(time.Hour / config.Interval) {
		tick(config.Interval, 4*config.ObjectiveLag.Seconds())
	}
	if got := p.price(config.ViolationRatio); got < 3*low || p.lateLately() < 0.5 {
		t.Errorf("an hour of late records after it: got %.2f times the price before, %.2f late of late; want three times, half", got/low, p.lateLately())
	}
}
