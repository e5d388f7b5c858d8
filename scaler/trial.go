package scaler

import "slices"

// exploreSeconds is for how long replicas of unknown capacity must have kept up before one step fewer is tried. Only less can
// teach what they can do where nobody reports how busy they are. safeSeconds is enough where nothing comes late if they fail: two minutes
// hold a trial, its rebalance and the ticks that show what it left.
const exploreSeconds, safeSeconds = 600, 120

// quiet returns for how many seconds `current` replicas of unknown capacity must have kept up before `fewer` are tried. Had they done
// all that they can, fewer would fall behind by so much a second until what is seen after a tick or two is there a lead time later.
func (d decider) quiet(fewer, current int, lead float64) float64 {
	parts := &d.state.Partitions
	short := 1 - parts.work(fewer)/parts.work(current)
	least := float64(exploreSeconds)
	if short*(lead+2*d.config.Interval.Seconds()) <= d.tune.DelayShare*d.config.ObjectiveLag.Seconds() {
		least = safeSeconds
	}
	return max(least, 2*lead)
}

// triedBacklog is how many seconds of arrivals may wait, besides those of the pause that the change took, until what is tried has been
// seen at work. More means that it is too few.
const triedBacklog = 1.0

// try returns the count where what a replica can do is not known, or guessed: one step fewer than has kept up for a while, and no more
// than has kept up before a backlog tells that it is too few. Else it returns want.
func (d decider) try(c *choice, want int) int {
	s, sc, interval := d.state, c.scene, d.config.Interval.Seconds()
	parts := &s.Partitions
	if fewer := parts.below(c.current); want == c.current && s.Capacity.explorable() && fewer >= max(c.lowest, 1, s.tooFew(d.At)+1) &&
		float64(s.QuietTicks)*interval >= d.quiet(fewer, c.current, c.lead) {
		d.exploring = true
		d.term("explore", fewer, 0)
		return fewer
	}
	mayWait := s.Arrivals.Level * min(triedBacklog+s.Rebalance.seconds(), d.config.ObjectiveLag.Seconds()/2)
	if want <= c.current || !s.Capacity.guessed() || sc.backlog > mayWait {
		return want
	}
	// Replicas that are lost meanwhile are no part of the trial: as many as before are asked for.
	tried := min(want, max(c.current, s.Desired))
	switch {
	case s.TriedTicks > 0 && tried > 0:
		d.term("tried", tried, 0) // what was tried has not been seen yet
		return tried
	case slices.Max(sc.paths.at[0][:sc.paths.steps]) <= parts.work(c.current)*sc.perReplica:
		d.term("guess", c.current, 0) // the most that was seen is no bound on what they can do, and chance alone passes it
		return c.current
	}
	return want
}
