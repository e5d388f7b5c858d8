package scaler

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/prescale/prescale/metrics/series"
)

// A record that its consumer cannot get past is mended when 15,000 wait behind it. Its consumer has other partitions as well and
// gets rid of them in 7 to 23 minutes; the more replicas there are, the fewer those are, and as many are asked for as is worth it.
// When all of it is drained there are as many as before: they were not too few.
func TestWhatAMendedRecordLeavesIsDrainedByMore(t *testing.T) {
	for _, test := range []struct {
		count, ready int
		rate         float64
		want, ticks  int // replicas, and the ticks that the present ones take
	}{
		{8, 4, 360, 8, 94},
		{8, 4, 300, 8, 31},
		{12, 6, 500, 12, 52},
		{48, 16, 1400, 48, 48},
	} {
		t.Run(fmt.Sprintf("%d partitions, %d replicas", test.count, test.ready), func(t *testing.T) {
			g := newFair(t, test.count, test.ready)
			g.rate = test.rate
			asked, since, tick := test.ready, 0, 0
			step := func() Decision {
				if tick++; tick-since >= 4 {
					g.ready = asked
				}
				d := g.tick(g.rate)
				if d.DesiredReplicas != asked {
					asked, since = d.DesiredReplicas, tick
				}
				g.starting = max(asked-g.ready, 0)
				g.ready = min(g.ready, asked)
				return d
			}
			for range 300 {
				step()
			}
			g.stuck = 1
			for g.lags[1] < 15000*8/360*g.rate/float64(test.count) {
				if d := step(); d.DesiredReplicas != test.ready {
					t.Fatalf("%d replicas while the record stands still: %v", d.DesiredReplicas, d.Terms)
				}
			}
			g.stuck = -1
			d := step()
			says := slices.ContainsFunc(d.Terms, func(t Term) bool { return t.Name == "alone" && t.Detail != "" })
			if d.DesiredReplicas != test.want || d.Reason != ReasonBacklog || !says {
				t.Errorf("%d replicas by %s, want %d: %v", d.DesiredReplicas, d.Reason, test.want, d.Terms)
			}
			ticks := 0
			for ; slices.Max(g.lags) > g.rate/float64(test.count)*30; ticks++ {
				step()
			}
			if ticks > test.ticks/2 {
				t.Errorf("drained in %d ticks, want half of the %d that %d replicas take", ticks, test.ticks, test.ready)
			}
			for range 20 {
				step()
			}
			if g.ready != test.ready {
				t.Errorf("%d replicas in the end, want %d", g.ready, test.ready)
			}
		})
	}
}

// As one partition after the other falls far behind, up to half of them, never fewer replicas are asked for.
func TestMonotoneInThePartitionsThatDrainAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettled(t)
		lags := s.observation.PartitionLagRecords
		s.state.Pace.Falls = true
		each := rapid.Float64Range(10, 50000).Draw(t, "each")
		less := s.decide()
		for i := range len(lags) / 2 {
			lags[i] = series.Of(lags[i].Or(0) + each)
			s.observation.LagRecords = series.Of(s.observation.LagRecords.Or(0) + each)
			got := s.decide()
			if got.DesiredReplicas < less.DesiredReplicas {
				t.Fatalf("with %v more on %d partitions of %d: %v\nwith one fewer: %v", each, i+1, len(lags), got.Terms, less.Terms)
			}
			less = got
		}
	})
}
