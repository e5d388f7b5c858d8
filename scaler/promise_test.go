package scaler

import (
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
		p.observe(&config, tick(late), series.Of(100), series.Of(100), 0)
	}
	start := startPrice(config.ViolationRatio)
	if got := p.price(config.ViolationRatio) / start; got < 4 || got > 5 || !p.atMost() {
		t.Errorf("after %d days of late records: got %.2f times the first price, at most: %v; want 4 to 5, and true", days, got, p.atMost())
	}
	for range 2 * 24 * int(time.Hour/interval) {
		p.observe(&config, tick(0), series.Of(100), series.Of(100), 0)
	}
	if got := p.price(config.ViolationRatio) / start; got > 1 || p.atMost() {
		t.Errorf("after two days without: got %.2f times the first price, at most: %v; want 1 or less, and false", got, p.atMost())
	}
}

// Late records that the most replicas allowed would not have prevented leave the price alone; what is late besides does not.
func TestPriceIsNotMovedByWhatNoCountPrevents(t *testing.T) {
	const interval = 15 * time.Second
	config := testConfig()
	run := func(arrivals, most float64) float64 {
		var p promise
		age := 0.0
		for i := range 200 {
			rate := min(arrivals, most)
			if i == 10 { // a backlog takes its time to build up
				age = 120
			}
			o := &series.Observation{Interval: interval, ArrivalRecords: series.Of(15 * arrivals), ConsumedRecords: series.Of(15 * rate), LagRecords: series.Of(arrivals * age), LagSeconds: series.Of(age)}
			p.observe(&config, o, series.Of(rate), series.Of(arrivals), most)
		}
		return p.LogPrice
	}
	if got := run(150, 100); got > 0 {
		t.Errorf("half more than the most replicas can do: price rose by %.2f, want no rise", got)
	}
	if got := run(90, 100); got <= 0 {
		t.Errorf("less than the most replicas can do: price moved by %.2f, want a rise", got)
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
