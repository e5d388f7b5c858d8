// Package seriesfile reads the past of a series from files: CSV with a time and a value, and the M4 competition's one series a
// line. Every mistake is told with file, line and what was expected.
package seriesfile

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Series is one regularly sampled series. Rows may be missing between its rows; a value may be NaN for a gap.
type Series struct {
	Name   string
	Column string
	Step   time.Duration
	// Dated reports whether times were calendar times; else they are seconds since some start.
	Dated  bool
	Times  []time.Time
	Values []float64
}

// Options say how to read a file.
type Options struct {
	// Column names the value column; empty means the second.
	Column string
	// Step is the sampling interval; 0 means the shortest distance between rows.
	Step time.Duration
	// MinRows is the fewest rows to accept.
	MinRows int
}

// Open opens path for reading, unpacked where its name ends in .gz; "-" is standard input.
func Open(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(bufio.NewReader(os.Stdin)), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(path, ".gz") {
		return f, nil
	}
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &unpacked{Reader: z, file: f}, nil
}

type unpacked struct {
	*gzip.Reader
	file *os.File
}

func (u *unpacked) Close() error { return errors.Join(u.Reader.Close(), u.file.Close()) }

// ReadCSV reads rows of a time and values under a header line. Times are seconds, RFC 3339 or "2006-01-02 15:04:05" and
// must rise; their distances must be multiples of the step.
func ReadCSV(r io.Reader, name string, o Options) (*Series, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord = -1
	in.TrimLeadingSpace = true
	in.ReuseRecord = true
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: empty; want a header line such as t_s,value and rows under it", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	header = slices.Clone(header) // the reader uses its record again
	s := &Series{Name: name}
	if _, _, err := parseTime(header[0]); err == nil {
		return nil, fmt.Errorf("%s: line 1: %q is a time; want a header line such as t_s,value first", name, header[0])
	}
	column, err := findColumn(header, o.Column)
	if err != nil {
		return nil, fmt.Errorf("%s: line 1: %w", name, err)
	}
	s.Column = strings.TrimSpace(header[column])
	for {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		line, _ := in.FieldPos(0)
		row := len(s.Times)
		where := func(column, problem string) error {
			return fmt.Errorf("%s: line %d (row %d): %s: %s", name, line, row, column, problem)
		}
		if len(fields) <= column {
			return nil, where(s.Column, fmt.Sprintf("the row has %d fields, want at least %d", len(fields), column+1))
		}
		at, dated, err := parseTime(fields[0])
		if err != nil {
			return nil, where(strings.TrimSpace(header[0]), err.Error())
		}
		if row == 0 {
			s.Dated = dated
		} else if dated != s.Dated {
			return nil, where(strings.TrimSpace(header[0]), fmt.Sprintf("%q is of another kind than the times before", fields[0]))
		} else if !at.After(s.Times[row-1]) {
			return nil, where(strings.TrimSpace(header[0]), fmt.Sprintf("%q is not later than the row before; want rising times", fields[0]))
		}
		value, err := parseValue(fields[column])
		if err != nil {
			return nil, where(s.Column, err.Error())
		}
		s.Times = append(s.Times, at)
		s.Values = append(s.Values, value)
	}
	if len(s.Times) < max(2, o.MinRows) {
		return nil, fmt.Errorf("%s: %d rows; want at least %d", name, len(s.Times), max(2, o.MinRows))
	}
	if err := s.checkSteps(o.Step); err != nil {
		return nil, err
	}
	return s, nil
}

func findColumn(header []string, column string) (int, error) {
	if len(header) < 2 {
		return 0, fmt.Errorf("one column only; want a time and a value, such as t_s,value")
	}
	if column == "" {
		return 1, nil
	}
	for i, h := range header {
		if i > 0 && strings.TrimSpace(h) == column {
			return i, nil
		}
	}
	return 0, fmt.Errorf("no value column %q; there are: %s", column, strings.Join(header[1:], ", "))
}

func (s *Series) checkSteps(step time.Duration) error {
	if step == 0 {
		step = s.Times[1].Sub(s.Times[0])
		for i := 2; i < len(s.Times); i++ {
			step = min(step, s.Times[i].Sub(s.Times[i-1]))
		}
	}
	s.Step = step
	for i := 1; i < len(s.Times); i++ {
		distance := s.Times[i].Sub(s.Times[i-1])
		if off := distance % step; min(off, step-off) > step/50 || distance < step/2 {
			return fmt.Errorf("%s: line %d (row %d): %v after the row before; want a multiple of the step of %v (--step)", s.Name, i+2, i, distance, step)
		}
	}
	return nil
}

var layouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04", "2006-01-02"}

func parseTime(text string) (at time.Time, dated bool, err error) {
	text = strings.TrimSpace(text)
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if !(math.Abs(seconds) < 1e11) {
			return at, false, fmt.Errorf("%q is out of range; want seconds", text)
		}
		whole := math.Floor(seconds)
		return time.Unix(int64(whole), int64(math.Round((seconds-whole)*1e9))).UTC(), false, nil
	}
	for _, layout := range layouts {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), true, nil
		}
	}
	return at, false, fmt.Errorf("%q is no time; want seconds, or a time such as 2026-01-31T09:00:00Z", text)
}

// parseValue reads a number that is not negative; an empty field is a gap.
func parseValue(text string) (float64, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is no number; leave the field empty where the value is missing", text)
	case math.IsNaN(v):
		return v, nil
	case math.IsInf(v, 0):
		return 0, fmt.Errorf("%q is infinite; leave the field empty where the value is missing", text)
	case v < 0:
		return 0, fmt.Errorf("%q is negative; want arrivals, which are 0 or more", text)
	}
	return v, nil
}

// FormatTime writes a time in the file's own kind.
func (s *Series) FormatTime(at time.Time) string {
	if s.Dated {
		return at.UTC().Format(time.RFC3339Nano)
	}
	return strconv.FormatFloat(float64(at.Unix())+float64(at.Nanosecond())/1e9, 'f', -1, 64)
}
