package history

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options say how to read a CSV file.
type Options struct {
	// Column names the value column; empty means the one after the time, or the first where the time is last.
	Column string
	// Step is the sampling interval; 0 means the shortest distance between rows, which more than half of them must have.
	Step time.Duration
	// StepRow is the last row that the step is found from, so that what comes after it changes nothing; 0 means the file's last.
	StepRow int
	// StepRemedy says what to do where no step is found; empty names the flag --step.
	StepRemedy string
}

// Resample is the StepRemedy where nobody can say what the step is.
const Resample = "resample the file to one step, with an empty value where nothing is known"

// ReadFile reads a CSV file as ReadCSV does.
func ReadFile(path string, o Options) (*Series, error) {
	in, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return ReadCSV(in, Name(path), o)
}

// ReadCSV reads rows of a time and values, separated by commas, semicolons or tabs. A header line may name them: the time is the
// column t, t_s, time or timestamp, else the first. Times are seconds, milliseconds since 1970, RFC 3339 or "2006-01-02 15:04:05"
// with a zone or in UTC, and must rise; their distances must be multiples of the step (a row that is missing is a gap). A value is a
// number of 0 or more, or a gap: an empty field, NaN, NA, none or null.
func ReadCSV(r io.Reader, name string, o Options) (*Series, error) {
	r, separator, err := table(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	in := csv.NewReader(r)
	in.Comma = separator
	in.FieldsPerRecord = -1
	in.TrimLeadingSpace = separator != '\t' // else an empty field before a tab would be passed over
	in.ReuseRecord = true
	s := &Series{Name: name}
	var t *columns
	for {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if bad := (*csv.ParseError)(nil); errors.As(err, &bad) {
			return nil, fmt.Errorf("%s: line %d: %w; want fields with quotes around the whole of them or none", name,
				bad.StartLine, bad.Err)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(fields) == 1 && strings.TrimSpace(fields[0]) == "" {
			continue // a line of spaces
		}
		line, _ := in.FieldPos(0)
		if t == nil {
			var header bool
			if t, header, err = newColumns(fields, o.Column); err != nil {
				return nil, fmt.Errorf("%s: line %d: %w", name, line, err)
			}
			s.Column = t.valueName
			if o.Column == "" {
				s.Others = t.count - 2
			}
			if header {
				continue
			}
		}
		if column, err := t.read(s, fields); err != nil {
			return nil, fmt.Errorf("%s: line %d (row %d): %s: %w", name, line, len(s.Times), column, err)
		}
		s.lines = append(s.lines, line)
	}
	if t == nil {
		return nil, fmt.Errorf("%s: empty; want a header line such as t_s,value and rows under it", name)
	}
	if len(s.Times) < 2 {
		return nil, fmt.Errorf("%s: want at least 2 rows, each a time and a value; found %d", name, len(s.Times))
	}
	if err := s.findStep(o); err != nil {
		return nil, err
	}
	return s, nil
}

// columns are where a file's time and values stand, and how many the first line has.
type columns struct {
	time, value, count  int
	timeName, valueName string
}

// newColumns looks at a file's first line, and reports whether it is a header.
func newColumns(first []string, column string) (*columns, bool, error) {
	names := make([]string, len(first))
	for i, n := range first {
		names[i] = strings.TrimSpace(n)
	}
	if len(names) < 2 {
		return nil, false, fmt.Errorf("one column only; want a time and a value, such as t_s,value")
	}
	if _, _, err := parseTime(names[0]); err == nil {
		if column != "" {
			return nil, false, fmt.Errorf("no value column %q: %q is a time, so there is no header line; want one such as t_s,%s first",
				column, names[0], column)
		}
		return &columns{time: 0, value: 1, count: len(names), timeName: "time", valueName: "value"}, false, nil
	}
	if _, err := ParseNumber(names[1]); err == nil {
		return nil, false, fmt.Errorf(
			"%q is no time and %q no name of a column; want a header line such as t_s,value, or a time and a value", names[0], names[1])
	}
	t := &columns{time: max(0, slices.IndexFunc(names, isTimeName)), count: len(names)}
	if t.value = t.time + 1; t.value == len(names) {
		t.value = 0
	}
	if column != "" {
		var err error
		if t.value, err = valueColumn(names, t.time, column); err != nil {
			return nil, false, err
		}
	} else if isTimeName(names[t.value]) {
		return nil, false, fmt.Errorf("columns %q and %q both look like the time; name the value column (--column), or leave one out",
			names[t.time], names[t.value])
	}
	t.timeName, t.valueName = names[t.time], names[t.value]
	return t, true, nil
}

func isTimeName(name string) bool {
	return slices.Contains([]string{"t", "t_s", "time", "timestamp"}, strings.ToLower(name))
}

// valueColumn returns where the column of a name is; one that is the same but for its case will do where it is the only one.
func valueColumn(names []string, time int, column string) (int, error) {
	for _, same := range []func(string) bool{
		func(name string) bool { return name == column },
		func(name string) bool { return strings.EqualFold(name, column) },
	} {
		var at []int
		for i, name := range names {
			if i != time && same(name) {
				at = append(at, i)
			}
		}
		switch {
		case len(at) == 1:
			return at[0], nil
		case len(at) > 1:
			return 0, fmt.Errorf("%d columns are named %q; want one, and the others by other names; there are: %s", len(at), column,
				strings.Join(names, ", "))
		}
	}
	others := slices.Delete(slices.Clone(names), time, time+1)
	return 0, fmt.Errorf("no value column %q; there are: %s", column, strings.Join(others, ", "))
}

// read appends one row to s. On error it names the column.
func (t *columns) read(s *Series, fields []string) (column string, err error) {
	if len(fields) <= max(t.time, t.value) {
		return t.valueName, fmt.Errorf("the row has %d fields, want at least %d", len(fields), max(t.time, t.value)+1)
	}
	if len(fields) > t.count && strings.Join(fields[t.count:], "") != "" {
		// 1,234 without quotes would be taken for 1.
		return t.valueName, fmt.Errorf("the row has %d fields, the first line %d; want as many, a decimal point, "+
			"and nothing between thousands", len(fields), t.count)
	}
	text := strings.TrimSpace(fields[t.time])
	at, dated, err := parseTime(text)
	if err != nil {
		return t.timeName, err
	}
	if n := len(s.Times); n == 0 {
		s.Dated = dated
	} else if dated != s.Dated {
		return t.timeName, fmt.Errorf("%.80q is of another kind than the times before", text)
	} else if !at.After(s.Times[n-1]) {
		if dated {
			return t.timeName, fmt.Errorf("%.80q is not later than the row before; want rising times, in UTC or with a zone, "+
				"as local times repeat an hour when clocks go back", text)
		}
		return t.timeName, fmt.Errorf("%.80q is not later than the row before; want rising times", text)
	}
	value, err := parseValue(fields[t.value])
	if err != nil {
		return t.valueName, err
	}
	s.Times, s.Values = append(s.Times, at), append(s.Values, value)
	return "", nil
}

// ParseMoment reads a time such as 2026-01-31T09:00:00Z or seconds since 1970, or how long before now, such as 336h.
func ParseMoment(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, _, err := parseTime(text)
	if err != nil {
		return at, fmt.Errorf("%.80q: want a time such as 2026-01-31T09:00:00Z, or how long ago, such as 336h", text)
	}
	return at, nil
}

// layouts are what times look like; where they have no zone they are in UTC.
var layouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04", "2006-01-02T15:04",
	"2006-01-02",
	"2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999 -0700", "2006-01-02T15:04:05.999999999-0700",
	"2006-01-02T15:04Z07:00", "2006-01-02 15:04Z07:00", "2006-01-02 15:04:05.999999999 UTC", "2006-01-02 15:04 UTC",
}

// The bounds of what a bare number can mean as a time: seconds up to the year 5138, beyond that milliseconds.
const (
	maxSeconds      = 1e11
	maxMilliseconds = 1e14
)

func parseTime(text string) (at time.Time, dated bool, err error) {
	text = strings.TrimSpace(text)
	if seconds, err := ParseNumber(text); err == nil {
		switch {
		case !(math.Abs(seconds) <= maxMilliseconds):
			return at, false, fmt.Errorf("%.80q is out of range; want seconds, or milliseconds since 1970", text)
		case math.Abs(seconds) >= maxSeconds:
			return time.UnixMilli(int64(seconds)).UTC(), true, nil
		}
		whole := math.Floor(seconds)
		return time.Unix(int64(whole), int64(math.Round((seconds-whole)*1e9))).UTC(), false, nil
	}
	for _, layout := range layouts {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), true, nil
		}
	}
	return at, false, fmt.Errorf("%.80q is no time; want seconds, or a time such as 2026-01-31T09:00:00Z", text)
}

// ParseNumber reads a decimal number. What only Go's source takes for one is none in a file: 1_000 is one between thousands or a
// slip, and 0x10 an identifier.
func ParseNumber(text string) (float64, error) {
	if strings.ContainsAny(text, "_xX") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(text, 64)
}

// maxValue is the most that a step can hold: what forecasters take for a sample is bounded.
const maxValue = 1e18

// parseValue reads a number that is not negative, or a gap.
func parseValue(text string) (float64, error) {
	text = strings.TrimSpace(text)
	switch strings.ToLower(text) {
	case "", "null", "none", "na", "n/a":
		return math.NaN(), nil
	}
	v, err := ParseNumber(text)
	switch {
	case err != nil && strings.ContainsAny(text, ",_' \u00a0\u202f"):
		return 0, fmt.Errorf("%.80q is no number; want a decimal point, and nothing between thousands", text)
	case err != nil && !math.IsInf(v, 0):
		return 0, fmt.Errorf("%.80q is no number; leave the field empty where the value is missing", text)
	case math.IsNaN(v):
		return v, nil
	case math.IsInf(v, 0):
		return 0, fmt.Errorf("%.80q is infinite; leave the field empty where the value is missing", text)
	case v < 0:
		return 0, fmt.Errorf("%.80q is negative; want arrivals, which are 0 or more", text)
	case v > maxValue:
		return 0, fmt.Errorf("%.80q is too large; want at most %g", text, float64(maxValue))
	}
	return v, nil
}
