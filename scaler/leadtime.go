package scaler

import (
	"slices"
	"time"
)

// startups remembers the latest start-ups of one kind and answers with their 0.9 quantile.
type startups struct {
	Ring  [startupsKept]float64
	Count int // how many were ever seen
	// HungAt is when one was learned that had taken more than mostWaiting times the usual.
	HungAt time.Time `json:",omitzero"`
}

const (
	startupsKept = 32
	// startupsNeeded is from how many start-ups on the assumption made at first is dropped.
	startupsNeeded = 3
	startupLevel   = 0.9
)

func (s *startups) add(seconds float64) {
	if !(seconds > 0) || seconds > 24*3600 {
		return
	}
	s.Ring[s.Count%startupsKept] = seconds
	s.Count++
}

// learn adds a start-up that has ended at a time. Of those that an outage kept, such as a registry that could not be reached, one is
// learned, and no longer than would have been planned with while it was waited for: else dozens of it would be the lead time until as many
// others have come, which takes hours. If starts do take as long from now on, the next increases tell. What is no longer than was assumed
// at first is always believed.
func (s *startups) learn(seconds float64, at time.Time, assumed float64) {
	most := max(mostWaiting*s.quantile(assumed), assumed)
	if s.Count < startupsNeeded || !(seconds > most) {
		s.add(seconds)
		return
	}
	if began := at.Add(-time.Duration(seconds * float64(time.Second))); began.Before(s.HungAt) {
		return
	}
	s.HungAt = at
	s.add(most)
}

// quantile returns the 0.9 quantile of the latest start-ups in seconds, and no less than assumed while they are few.
func (s *startups) quantile(assumed float64) float64 {
	var sorted [startupsKept]float64
	n := s.sorted(&sorted)
	if n == 0 {
		return assumed
	}
	q := sorted[min(n-1, int(startupLevel*float64(n)))]
	if s.Count < startupsNeeded {
		q = max(q, assumed)
	}
	return q
}

// spread returns how many seconds lie between the first and the last of many start-ups that began together: four deviations of a
// normal variable, between whose 0.1 and 0.9 quantiles lie 2.56. It is 0 while they are few.
func (s *startups) spread() float64 {
	var sorted [startupsKept]float64
	n := s.sorted(&sorted)
	if n < startupsNeeded {
		return 0
	}
	return 4 / 2.56 * (sorted[min(n-1, int(startupLevel*float64(n)))] - sorted[int((1-startupLevel)*float64(n))])
}

// sorted fills dst with the latest start-ups, ascending, and returns how many they are.
func (s *startups) sorted(dst *[startupsKept]float64) int {
	n := min(s.Count, startupsKept)
	copy(dst[:], s.Ring[:n])
	slices.Sort(dst[:n])
	return n
}

// leadTimes learns how long a replica takes from the request to its first record: on a node that is there, on one that had
// to be provisioned, and as the first of a group that was at zero. They are kept apart, since one must not blur the others.
type leadTimes struct {
	Plain, Provisioned, FromZero startups
	// ProvisionedAt is when a provisioned start-up was seen last, while that tells of the next one; else zero.
	ProvisionedAt time.Time `json:",omitzero"`
	// OrderedAt, OrderedFrom and OrderedTo describe the last increase asked for, to time it where nothing else does.
	OrderedAt              time.Time
	OrderedFrom, OrderedTo int
	Timed                  bool // a start-up was reported by the observer: do not time ourselves
	// UnheededSince is since when less is there than was asked for and none of it is starting or has come; zero where that is not so.
	UnheededSince time.Time `json:",omitzero"`
	// Waiting is for how many seconds that increase has been waited for, or an earlier one that is overdue; 0 when there is none.
	Waiting float64
}

// overdue is from how many times the usual on, once that is known, a start-up that was ordered before the last increase stretches the lead
// time, too: else one more that is asked for would make those that hang seem to be about to come. Chance alone makes none as late.
const overdue = 2

// asLongAgain makes what has taken as long as was assumed at first, before any start-up was seen, be expected after as long again. Were it
// expected any moment, what waits for it meanwhile would ask for a little more every few ticks.
const asLongAgain = 2

// mostWaiting bounds how far a replica that does not start stretches the lead time, as a multiple of what is usual: one that
// never starts must not be planned with for ever.
const mostWaiting = 5

// provisionedMemory is for how long after a start-up that needed a node the next is expected to need one too.
const provisionedMemory = 10 * time.Minute

// fromZero reports whether the increase that is waited for began without a replica.
func (l *leadTimes) fromZero() bool { return !l.OrderedAt.IsZero() && l.OrderedFrom == 0 }

func (l *leadTimes) observe(plain, provisioned []float64, ready float64, readyKnown bool, at time.Time, assumed float64) {
	usual := &l.Plain
	if l.fromZero() {
		usual = &l.FromZero
	}
	for _, x := range plain {
		l.Timed = true
		usual.learn(x, at, assumed)
	}
	if at.Sub(l.ProvisionedAt) >= provisionedMemory {
		l.ProvisionedAt = time.Time{}
	}
	for _, x := range provisioned {
		l.Timed = true
		l.Provisioned.learn(x, at, assumed)
		l.ProvisionedAt = at
	}
	l.Waiting = 0
	if l.OrderedAt.IsZero() || !readyKnown {
		return
	}
	if int(ready) < l.OrderedTo {
		l.Waiting = at.Sub(l.OrderedAt).Seconds()
		return
	}
	if !l.Timed {
		usual.learn(at.Sub(l.OrderedAt).Seconds(), at, assumed)
	}
	l.OrderedAt = time.Time{}
}

// hangs learns that the oldest of the start-ups that are waited for was ordered at a time, which may be before the last increase.
func (l *leadTimes) hangs(since, at time.Time, assumed float64, current int) {
	if l.Waiting == 0 || since.IsZero() {
		return
	}
	waited, usual := at.Sub(since).Seconds(), l.usual(assumed, current)
	switch known := l.Plain.Count >= startupsNeeded; {
	case known && waited > overdue*usual:
		l.Waiting = waited
	case !known && !l.fromZero() && waited >= usual:
		l.Waiting = asLongAgain * waited
	}
}

// heeds learns whether what was asked for is there or starting, or some of it has just come. What nobody carries out for mostWaiting times
// as long as a start takes, such as more than an HPA's maxReplicas, is not waited for: else each tick would put it off and ask for more,
// and what is then asked for would be waited for anew.
func (l *leadTimes) heeds(heeded bool, at time.Time, assumed float64, current int) {
	switch {
	case heeded:
		l.UnheededSince = time.Time{}
	case l.UnheededSince.IsZero():
		l.UnheededSince = at
	}
	if l.unheeded(at, assumed, current) {
		l.Waiting = 0
	}
}

// unheeded reports whether what was asked for is not carried out.
func (l *leadTimes) unheeded(at time.Time, assumed float64, current int) bool {
	return !l.UnheededSince.IsZero() && at.Sub(l.UnheededSince).Seconds() > mostWaiting*l.usual(assumed, current)
}

// seconds returns the lead time to plan with when there are `current` replicas.
func (l *leadTimes) seconds(assumed float64, current int) float64 {
	q := l.usual(assumed, current)
	return max(q, min(l.Waiting, mostWaiting*q))
}

func (l *leadTimes) usual(assumed float64, current int) float64 {
	if current == 0 {
		return l.FromZero.quantile(l.Plain.quantile(assumed))
	}
	q := l.Plain.quantile(assumed)
	if !l.ProvisionedAt.IsZero() {
		q = max(q, l.Provisioned.quantile(assumed))
	}
	return q
}
