package scaler

import "time"

// unsteady finds replicas that come and go: that were ready and are not, again and again, though they are still asked for, such as one
// that runs out of memory a minute after each start. They are there in many ticks, and the plan would count on them as on those that
// stay.
type unsteady struct {
	Since, Last time.Time // the first and the latest time that some were lost, of those without a longer break than unsteadySpan
	Most        int       // how many were lost at once
}

// unsteadySpan is for how long replicas must have been lost again and again, and for how long none must have been until they are taken to
// stay: twice the longest wait of Kubernetes before it starts a container again that crashes. A rollout ends sooner, or keeps as many
// from working.
const unsteadySpan = 10 * time.Minute

// observe learns that `lost` replicas that were ready a tick ago and are asked for are no more.
func (u *unsteady) observe(lost int, at time.Time) {
	if lost <= 0 {
		return
	}
	if at.Sub(u.Last) > unsteadySpan {
		*u = unsteady{Since: at}
	}
	u.Last, u.Most = at, max(u.Most, lost)
}

// count returns how many replicas are not to be counted on.
func (u *unsteady) count(at time.Time) int {
	if at.Sub(u.Last) > unsteadySpan || u.Last.Sub(u.Since) < unsteadySpan {
		return 0
	}
	return u.Most
}
