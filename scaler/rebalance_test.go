package scaler

import "testing"

// Replicas that take five minutes to start, give or take half of one, come one after the other, and each begins a rebalance of three
// seconds: many ticks in a row end within one.
func TestRebalancesOneAfterTheOtherAreNotOneLongOne(t *testing.T) {
	const interval = 15.0
	var joins, long rebalances
	for range 4 {
		joins.observe(true, interval, 0, 0, false, true, true)
	}
	joins.observe(false, interval, 1000, 1000, false, false, true)
	if joins.seconds() != assumedPause {
		t.Errorf("after four joins in four ticks: a pause of %g s, want the %g that are assumed", joins.seconds(), assumedPause)
	}
	long.observe(true, interval, 0, 0, false, true, true)
	for range 3 {
		long.observe(true, interval, 0, 0, false, false, true)
	}
	long.observe(false, interval, 1000, 1000, false, false, true)
	if want := 3.5 * interval; long.seconds() != want {
		t.Errorf("after one that was on at four ticks: a pause of %g s, want %g", long.seconds(), want)
	}
}
