package scaler

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// TestADecreasePaysForItsChange: in a group of more than two dozen fewer by a share x must have been enough for 15 s / x, for 45 s at least, and for as long as is kept at
// most. One tick in which more was wanted begins it anew.
func TestADecreasePaysForItsChange(t *testing.T) {
	for _, c := range []struct {
		seconds, current, want int
		least                  int // ticks that it must have been wanted for before, 3 of 15 s being 45 s
	}{
		{15, 60, 30, 3},  // 30 s
		{15, 60, 40, 3},  // 45 s
		{15, 60, 54, 10}, // 150 s
		{15, 60, 59, 60}, // 900 s
		{60, 60, 59, 15}, // 900 s
		{60, 60, 30, 1},  // 30 s
		{1, 40, 30, 60},  // 60 s
		{1, 60, 59, 64},  // 900 s, and 64 are kept
		{1, 40, 10, 45},  // 20 s
		{15, 24, 23, 3},  // a small group
		{15, 25, 24, 25}, // 375 s
	} {
		d := decider{config: &Config{Interval: time.Duration(c.seconds) * time.Second}, state: &State{}, tune: new(Tuning)}
		*d.tune = DefaultTuning()
		wanted := func(n int) {
			d.state.Wanted[d.state.WantedAt%wantedKept] = n
			d.state.WantedAt++
		}
		for range 2 * wantedKept {
			wanted(c.current)
		}
		for range 2 {
			for i := range c.least {
				if n := d.wanted(c.current, c.want); n != c.current {
					t.Errorf("%+v: %d after %d ticks, want that it waits", c, n, i)
				}
				wanted(c.want)
			}
			if n := d.wanted(c.current, c.want); n != c.want {
				t.Errorf("%+v: %d after %d ticks", c, n, c.least)
			}
			wanted(c.current)
		}
	}
}

// TestASuddenTickIsWaitedWith: less than twice as many wait for a second tick, where arrivals are calm and one stands out.
func TestASuddenTickIsWaitedWith(t *testing.T) {
	for _, c := range []struct {
		what                 string
		level, noise, beyond float64
		want, postponed      int
	}{
		{"a calm", 100, 4, 50, 14, 10},
		{"twice as many", 100, 4, 50, 20, 20},
		{"three times as much", 180, 14, 200, 19, 10}, // 100 and 4 before, of which 0.4 and 0.05 are learned
		{"noise", 100, 12, 60, 14, 14},
		{"nothing before", 40, 5, 100, 14, 14},
		{"nothing that stands out", 100, 4, 0, 14, 14},
		{"one that fell", 100, 4, -50, 14, 14},
		{"fewer", 100, 4, 50, 9, 9},
	} {
		s := &State{Arrivals: recent{Level: c.level, Noise: c.noise, Beyond: c.beyond}}
		config := DefaultConfig()
		config.Interval = 15 * time.Second
		tune := DefaultTuning()
		d := decider{config: &config, state: s, o: new(series.Observation), tune: &tune, Decision: new(Decision)}
		if n := d.postpone(&choice{current: 10, scene: &scene{ready: 10, paths: &paths{steps: 1}}}, c.want, time.Unix(0, 0)); n != c.postponed {
			t.Errorf("%s: %d, want %d", c.what, n, c.postponed)
		}
	}
}

// TestASlowDeclineIsFollowed: what is wanted falls by one in 60 every five minutes, and is not more than 6 % under what there is for long.
func TestASlowDeclineIsFollowed(t *testing.T) {
	tune := DefaultTuning()
	d := decider{config: &Config{Interval: 15 * time.Second}, state: &State{}, tune: &tune}
	current := 60
	for i := range 20 * 20 {
		want := 60 - i/20
		current = d.wanted(current, want)
		if float64(current-want) > 0.06*60 {
			t.Fatalf("tick %d: %d where %d are wanted", i, current, want)
		}
		d.state.Wanted[d.state.WantedAt%wantedKept] = want
		d.state.WantedAt++
	}
}

// TestWantedIsMonotone: where any of the latest counts was higher, no fewer are kept.
func TestWantedIsMonotone(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	tune := DefaultTuning()
	for range 20000 {
		d := decider{config: &Config{Interval: time.Duration(1+r.IntN(60)) * time.Second}, state: &State{}, tune: &tune}
		current := 1 + r.IntN(80)
		d.state.WantedAt = r.IntN(2 * wantedKept)
		for i := range d.state.Wanted {
			d.state.Wanted[i] = max(0, current-r.IntN(1+r.IntN(1+current)))
		}
		want := r.IntN(current + 1)
		before := d.wanted(current, want)
		more := r.IntN(2)
		for range r.IntN(wantedKept) {
			d.state.Wanted[r.IntN(wantedKept)] += r.IntN(4)
		}
		if after := d.wanted(current, want+more); min(after, current) < min(before, current) {
			t.Fatalf("seed %d: %d instead of %d of %d, wanted %d and %d more, lately %v", seed, after, before, current, want, more, d.state.Wanted)
		}
	}
}
