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
		p.observe(&config, tick(late), series.Of(100))
	}
	start := startPrice(config.ViolationRatio)
	if got := p.price(config.ViolationRatio) / start; got < 4 || got > 5 || !p.atMost() {
		t.Errorf("after %d days of late records: got %.2f times the first price, at most: %v; want 4 to 5, and true", days, got, p.atMost())
	}
	for range 2 * 24 * int(time.Hour/interval) {
		p.observe(&config, tick(0), series.Of(100))
	}
	if got := p.price(config.ViolationRatio) / start; got > 1 || p.atMost() {
		t.Errorf("after two days without: got %.2f times the first price, at most: %v; want 1 or less, and false", got, p.atMost())
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
