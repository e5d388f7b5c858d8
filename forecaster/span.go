package forecaster

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Span is a stretch of time that comes again, such as a working day or a sale: it begins whenever Start, a cron expression of
// five fields, fires in TimeZone (an IANA name; empty means UTC), and lasts Duration of elapsed time.
type Span struct {
	Start    string
	Duration time.Duration
	TimeZone string
}

// maxSpan is the longest Duration: a month.
const maxSpan = 31 * 24 * time.Hour

// Validate joins all that is wrong with s, each problem with its key below path.
func (s Span) Validate(path string) error {
	var problems []error
	if _, err := s.cron(); err != nil {
		problems = append(problems, fmt.Errorf("%s.start: %q: %w: want five fields such as \"0 8 * * 1-5\"", path, s.Start, err))
	}
	if s.Duration <= 0 || s.Duration > maxSpan {
		problems = append(problems, fmt.Errorf("%s.duration: %v: want more than 0 and at most 744h", path, s.Duration))
	}
	if _, err := time.LoadLocation(s.TimeZone); err != nil {
		problems = append(problems, fmt.Errorf("%s.timeZone: %q: want an IANA name such as Europe/Paris", path, s.TimeZone))
	}
	return errors.Join(problems...)
}

// cron parses Start. Five fields are wanted, so that no time zone stands before them and no word such as @daily for them.
func (s Span) cron() (cron.Schedule, error) {
	if n := len(strings.Fields(s.Start)); n != 5 {
		return nil, fmt.Errorf("has %d fields", n)
	}
	return cron.ParseStandard(s.Start)
}

// Compile returns s ready to be asked, or what is wrong with it.
func (s Span) Compile() (*Recurrence, error) {
	if err := s.Validate("span"); err != nil {
		return nil, err
	}
	start, err := s.cron()
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		return nil, err
	}
	return &Recurrence{start: start, zone: zone, duration: s.Duration}, nil
}

// Recurrence answers when a Span is on. It remembers its last answer and is not safe for concurrent use.
type Recurrence struct {
	start    cron.Schedule
	zone     *time.Location
	duration time.Duration

	on       bool // what holds from `from` until `to`
	from, to time.Time
}

// On reports whether the span covers `at`, its start included and its end not, and a later time until which the answer stays.
func (r *Recurrence) On(at time.Time) (on bool, until time.Time) {
	if !at.Before(r.from) && at.Before(r.to) {
		return r.on, r.to
	}
	next := r.start.Next(at.In(r.zone).Add(-r.duration))
	switch {
	case next.IsZero(): // It does not fire within years, as on the 30th of February.
		r.on, r.from, r.to = false, at, at.AddDate(1, 0, 0)
	case next.After(at):
		r.on, r.from, r.to = false, at, next
	default:
		r.on, r.from, r.to = true, next, next.Add(r.duration)
	}
	return r.on, r.to
}
