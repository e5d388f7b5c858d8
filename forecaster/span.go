package forecaster

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Span is a stretch of time that comes again, such as a working day or a sale: it begins whenever Start, a cron expression of
// five fields, fires in TimeZone (an IANA name; empty means UTC), and lasts Duration of elapsed time. In the last field both 0
// and 7 are Sunday.
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
		problems = append(problems, fmt.Errorf("%s.start: %q: %w", path, s.Start, err))
	}
	if s.Duration <= 0 || s.Duration > maxSpan {
		problems = append(problems, fmt.Errorf("%s.duration: %v: want more than 0 and at most 744h", path, s.Duration))
	}
	if _, err := time.LoadLocation(s.TimeZone); err != nil {
		problems = append(problems, fmt.Errorf("%s.timeZone: %q: want an IANA name such as Europe/Paris", path, s.TimeZone))
	}
	return errors.Join(problems...)
}

// cronFields are the fields of a cron expression, in order, with what each may hold.
var cronFields = [...]struct{ name, want string }{
	{"minute", "0 to 59"},
	{"hour", "0 to 23"},
	{"day of month", "1 to 31"},
	{"month", "1 to 12 or jan to dec"},
	{"day of week", "0 to 7 or sun to sat, 0 and 7 being Sunday"},
}

// cron parses Start. Five fields are wanted, so that no time zone stands before them and no word such as @daily for them.
func (s Span) cron() (cron.Schedule, error) {
	fields := strings.Fields(s.Start)
	if n := len(fields); n != len(cronFields) {
		return nil, fmt.Errorf("has %d fields: want five such as \"0 8 * * 1-5\"", n)
	}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	days := strings.Split(fields[4], ",")
	for i, d := range days {
		days[i] = sundayIs0(d)
	}
	numbers := append(fields[:4:4], strings.Join(days, ","))
	for i, f := range cronFields {
		alone := []string{"*", "*", "*", "*", "*"} // so that what is wrong is wrong with this field
		alone[i] = numbers[i]
		_, err := parser.Parse(strings.Join(alone, " "))
		if err != nil || strings.Trim(fields[i], ",") == "" { // which the parser takes for never
			return nil, fmt.Errorf("%s %q: want %s, a range upwards such as 1-5, a step such as */2, or some with commas between",
				f.name, fields[i], f.want)
		}
	}
	start, err := parser.Parse(strings.Join(numbers, " "))
	if err != nil {
		return nil, err
	}
	// Next looks five years ahead, in which a 29th of February comes.
	if start.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("never fires: day of month %q does not come in month %q: want a day that does, such as 28",
			fields[2], fields[3])
	}
	return start, nil
}

// toSunday finds days of the week that end with 7, with the first of them and the step.
var toSunday = regexp.MustCompile(`^(?:([0-7])-)?7(?:/([1-7]))?$`)

// sundayIs0 writes days that end with 7, which the parser does not know, one by one and 0 for it. Others stay as they are.
func sundayIs0(days string) string {
	part := toSunday.FindStringSubmatch(days)
	if part == nil {
		return days
	}
	first, step := 7, 1
	if part[1] != "" {
		first = int(part[1][0] - '0')
	}
	if part[2] != "" {
		step = int(part[2][0] - '0')
	}
	var each []string
	for day := first; day <= 7; day += step {
		each = append(each, strconv.Itoa(day%7))
	}
	return strings.Join(each, ",")
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
	case next.IsZero(): // It does not fire within years, as on the 29th of February about 2100.
		r.on, r.from, r.to = false, at, at.AddDate(1, 0, 0)
	case next.After(at):
		r.on, r.from, r.to = false, at, next
	default:
		r.on, r.from, r.to = true, next, next.Add(r.duration)
	}
	return r.on, r.to
}
