package hpa

import (
	"math"
	"time"
)

// normalize applies stabilization, policies and bounds to what the metrics asked for.
func (c *Controller) normalize(now time.Time, current, proposed int) int {
	if c.config.Behavior == nil {
		return c.limitPlain(current, c.stabilizePlain(now, proposed))
	}
	return c.limitByPolicies(now, current, c.stabilize(now, current, proposed))
}

// stabilizePlain returns the highest recommendation of the down-scale window.
func (c *Controller) stabilizePlain(now time.Time, proposed int) int {
	result, cutoff := proposed, now.Add(-c.config.DownscaleStabilization)
	// A recommendation exactly as old as the window still counts here; in stabilize it does not.
	c.prune(cutoff.Add(-1))
	for _, r := range c.recommendations {
		result = max(result, r.replicas)
	}
	c.recommendations = append(c.recommendations, recommendation{proposed, now})
	return result
}

// stabilize moves the current count into the band from the lowest recommendation of the up window to the highest of the
// down window.
func (c *Controller) stabilize(now time.Time, current, proposed int) int {
	up, down := proposed, proposed
	upCutoff, downCutoff := now.Add(-c.upWindow()), now.Add(-c.downWindow())
	c.prune(now.Add(-c.longest))
	for _, r := range c.recommendations {
		if r.at.After(upCutoff) {
			up = min(up, r.replicas)
		}
		if r.at.After(downCutoff) {
			down = max(down, r.replicas)
		}
	}
	c.recommendations = append(c.recommendations, recommendation{proposed, now})
	return min(max(current, up), down)
}

func (c *Controller) prune(cutoff time.Time) {
	kept := c.recommendations[:0]
	for _, r := range c.recommendations {
		if r.at.After(cutoff) {
			kept = append(kept, r)
		}
	}
	c.recommendations = kept
}

// storeEvent puts a new event in the place of the last outdated one, or after all.
func storeEvent(events []scaleEvent, cutoff time.Time, event scaleEvent) []scaleEvent {
	at := -1
	for i := range events {
		e := &events[i]
		e.outdated = e.outdated || e.at.Before(cutoff)
		if e.outdated {
			at = i
		}
	}
	if at < 0 {
		return append(events, event)
	}
	events[at] = event
	return events
}

// limitPlain applies the rule of an HPA without behavior: at most twice the count, or 4, at one sync.
func (c *Controller) limitPlain(current, desired int) int {
	limit := min(c.config.MaxReplicas, max(2*current, 4))
	if desired < c.config.MinReplicas {
		return c.config.MinReplicas
	}
	return min(desired, limit)
}

// limitByPolicies applies the policies of the direction.
func (c *Controller) limitByPolicies(now time.Time, current, desired int) int {
	switch b := c.config.Behavior; {
	case desired > current:
		return min(desired, c.config.MaxReplicas, max(c.reach(now, current, &b.ScaleUp, true), current))
	case desired < current:
		return max(desired, c.config.MinReplicas, min(c.reach(now, current, &b.ScaleDown, false), current))
	default:
		return desired
	}
}

// reach returns the count that the rules allow by now.
func (c *Controller) reach(now time.Time, current int, rules *Rules, up bool) int {
	if rules.Select == SelectDisabled {
		return current
	}
	result, found := 0, false
	for _, p := range rules.Policies {
		start := current - changeWithin(c.ups, now, p.Period) + changeWithin(c.downs, now, p.Period)
		var n int
		switch {
		case p.Percent && up:
			// Rounded up, else a small count could never grow.
			n = int(math.Ceil(float64(start) * (1 + float64(p.Value)/100)))
		case p.Percent:
			n = int(float64(start) * (1 - float64(p.Value)/100))
		case up:
			n = start + p.Value
		default:
			n = start - p.Value
		}
		// The largest change is the highest count when going up and the lowest when going down.
		if larger := (rules.Select != SelectMin) == up; !found {
			result, found = n, true
		} else if larger {
			result = max(result, n)
		} else {
			result = min(result, n)
		}
	}
	if !found {
		return current
	}
	return result
}

func changeWithin(events []scaleEvent, now time.Time, period time.Duration) int {
	sum, cutoff := 0, now.Add(-period)
	for _, e := range events {
		if e.at.After(cutoff) {
			sum += e.change
		}
	}
	return sum
}
