package scaler

import (
	"slices"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/metrics/series"
)

// silence is what the last replica waits for where a policy allows zero. The means that a forecast rests on, and yesterday at this
// time, stay above nothing for hours after the last record, and any record would come late at zero. So the last replica is not asked of
// the forecast but of the silence: it goes once that has lasted, unless the forecast begins to expect more than it did in the silence,
// or records have come back after silences like this one and would have been late for more than is promised
// (hack/designs/scaler-zero.md).
type silence struct {
	// Since is when records came or waited last, or what came was last not known; zero before the first observation.
	Since time.Time
	// Blind says that the silence may have begun earlier or not at all: nothing is learned of how long it lasts.
	Blind bool `json:",omitempty"`
	// Records came since the latest of Gaps ended, at Ended.
	Records float64
	Ended   time.Time `json:",omitzero"`
	Gaps    [gapsKept]gap
	Count   int // how many gaps there ever were
	// Least is the least that the forecast expected in this silence, in records a tick, and Rose since when it expects much more; zero
	// while it does not.
	Least float64
	Rose  time.Time `json:",omitzero"`
}

// gap is a silence that ended.
type gap struct {
	// Seconds is how long it lasted, Before what had come since the gap before it, and Late what came after it until a replica could have
	// been there that was asked for when it ended, less what may wait.
	Seconds, Before, Late float64
}

const (
	// gapsKept is how many silences of gapSeconds and more are remembered.
	gapsKept   = 16
	gapSeconds = idleSeconds
	// gapMargin is by how much a silence must outlast those that it is feared to be like, and mostSilence the most that it must last: an
	// hour of one replica. What comes less often than that is for the forecast to know.
	gapMargin   = 1.5
	mostSilence = 3600
	// riseFactor is by what factor the forecast must expect more than it did in the silence for that to be news, and leastExpected how many
	// records a tick. Chance moves what is left of a forecast by less.
	riseFactor    = 2
	leastExpected = 0.05
)

// observe learns from one observation: what came and what waits, whether it followed on the one before it, and for how many seconds
// after a silence records would be late were nobody there when it ends.
func (s *silence) observe(o *series.Observation, at time.Time, arrivals series.Value, lagSeen, follows bool, late float64) {
	a, known := arrivals.Get()
	interval := o.Interval.Seconds()
	if a > 0 || waits(o) > 0 {
		if seconds := at.Sub(s.Since).Seconds() - interval; a > 0 && !s.Blind && follows && !s.Since.IsZero() && seconds >= gapSeconds {
			s.Gaps[s.Count%gapsKept] = gap{Seconds: seconds, Before: s.Records}
			s.Count++
			s.Records, s.Ended = 0, at.Add(-o.Interval)
		}
		if since := at.Sub(s.Ended).Seconds() - interval; s.Count > 0 && interval > 0 {
			s.Gaps[(s.Count-1)%gapsKept].Late += a * min(max(late-since, 0)/interval, 1)
		}
		s.Records += a
		s.Since, s.Blind = at, false
		return
	}
	if !known || !follows || lagSeen && !o.LagRecords.Known() && !o.LagSeconds.Known() || s.Since.IsZero() {
		s.Since, s.Blind = at, true
	}
}

// waits returns the backlog in records, or where only that is known in seconds; 0 where neither is.
func waits(o *series.Observation) float64 { return o.LagRecords.Or(o.LagSeconds.Or(0)) }

// needed returns for how many seconds a silence must last, least or more, for no more than ratio of the records to come late.
func (s *silence) needed(least, ratio float64) float64 {
	gaps, n := s.Gaps, min(s.Count, gapsKept)
	allowed := s.Records
	for _, g := range gaps[:n] {
		allowed += g.Before
	}
	allowed *= ratio
	slices.SortFunc(gaps[:n], func(a, b gap) int {
		switch {
		case a.Seconds > b.Seconds:
			return -1
		case a.Seconds < b.Seconds:
			return 1
		}
		return 0
	})
	for _, g := range gaps[:n] {
		if g.Seconds > mostSilence {
			continue
		}
		if allowed -= g.Late; allowed < 0 {
			return max(least, min(gapMargin*g.Seconds, mostSilence))
		}
	}
	return least
}

// risen reports whether the forecast expects much more than it did in the silence.
func (s *silence) risen(expected float64) bool {
	return expected > leastExpected && expected > riseFactor*s.Least
}

// expect learns what the forecast expects. What has been expected for as long as span and has not come is no news any more.
func (s *silence) expect(expected float64, at time.Time, span time.Duration) {
	switch {
	case at.Equal(s.Since): // not silent
		s.Least, s.Rose = expected, time.Time{}
	case !s.risen(expected):
		s.Least, s.Rose = min(s.Least, expected), time.Time{}
	case s.Rose.IsZero():
		s.Rose = at
	case at.Sub(s.Rose) >= span:
		s.Least, s.Rose = expected, time.Time{}
	}
}

// expectedMost returns the most records that the forecast expects in one of its ticks.
func expectedMost(f *forecaster.Forecast, interval float64) float64 {
	most, levels := 0.0, len(f.Levels)
	for k := range f.Steps {
		sum := 0.0
		for j, level := range pathLevels {
			sum += pathWeights[j] * max(0, quantileAt(f.Levels, f.PerStep[k*levels:][:levels], level))
		}
		most = max(most, sum)
	}
	return most * interval
}

// leadFromZero returns the lead time, in seconds, of the first replica.
func (s *State) leadFromZero(config *Config) float64 {
	return s.Lead.usual(config.InitialLeadTime.Seconds(), 0)
}

// lateFromZero returns for how many seconds after a silence records come late when nobody is there at its end: until the next tick, and
// until a replica has started.
func (s *State) lateFromZero(config *Config) float64 {
	may := config.tuning().DelayShare * config.ObjectiveLag.Seconds()
	if latency := config.ObjectiveLatency.Seconds(); latency > 0 {
		may = min(may, latency)
	}
	return config.Interval.Seconds() + s.leadFromZero(config) - may
}

// expectSpan is for how long what the forecast has begun to expect is waited for: until it is due, and as long as for any record.
func (s *State) expectSpan(config *Config) time.Duration {
	return time.Duration((s.leadFromZero(config)+idleSeconds)*float64(time.Second)) + beyondLead*config.Interval
}

// silence reports, where nothing comes, whether there need be no replica, for that has lasted and nothing new is expected. Where it is
// not so yet, it notes what the last one of want is kept for.
func (d decider) silence(current, want int) bool {
	s := &d.state.Silence
	if s.Since.IsZero() {
		return false
	}
	if expected := d.expected.Or(0); s.risen(expected) {
		if want == 1 {
			d.term("expected", want, expected)
		}
		return false
	}
	if current == 0 {
		return true
	}
	lead := d.state.leadFromZero(d.config)
	least := max(idleSeconds, lead)
	if d.state.lateFromZero(d.config) <= 0 {
		least = min(least, max(safeSeconds, lead)) // a replica that starts more often saves little
	}
	left := s.needed(least, d.config.ViolationRatio) - d.state.At.Sub(s.Since).Seconds()
	if left > 0 && want == 1 {
		d.term("silence", want, left)
	}
	return left <= 0
}

// zero returns the count where a policy allows none: one at least for records that came, none where silence has lasted; else want.
func (d decider) zero(current, want int, reason Reason) (int, Reason) {
	came := max(d.o.ArrivalRecords.Or(0), waits(d.o))
	switch {
	case came > 0 && want == 0: // beside what a replica does a record or two are nothing, and would wait for ever
		d.term("backlog", 1, came)
		return 1, ReasonBacklog
	case came == 0 && d.silence(current, want):
		d.term("silence", 0, 0)
		if d.unpaced.Known() {
			d.unpaced = series.Of(0)
		}
		return 0, ReasonReactive
	}
	return want, reason
}
