package main

import (
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

	"github.com/prescale/prescale/scaler"
)

// history is a user's past arrivals: counts[i] records, NaN where missing, in the step that begins at begin + i×step seconds.
type history struct {
	name   string
	begin  float64
	step   float64
	counts []float64
}

// readTrace reads a CSV file, gzipped if its name ends in .gz: the first column, or one named t, t_s, time or timestamp, is
// the time in seconds or in RFC 3339; column names the one with the counts, and empty means the second. step is in seconds;
// 0 means the commonest distance between rows. Rows must be in order; missing rows are gaps.
func readTrace(path, column string, step float64) (*history, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		defer z.Close()
		in = z
	}
	h, err := parseTrace(in, column, step)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	h.name = path
	return h, nil
}

func parseTrace(in io.Reader, column string, step float64) (*history, error) {
	r := csv.NewReader(in)
	r.FieldsPerRecord = -1
	r.TrimLeadingSpace = true
	timeAt, countAt := 0, 1
	var times, counts []float64
	for row := 1; ; row++ {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if row == 1 {
			header := false
			if _, err := parseTime(fields[0]); err != nil {
				header = true
			}
			if header {
				if timeAt, countAt, err = findColumns(fields, column); err != nil {
					return nil, err
				}
				continue
			}
			if column != "" {
				return nil, fmt.Errorf("column %q: the file has no header line", column)
			}
		}
		if max(timeAt, countAt) >= len(fields) {
			return nil, fmt.Errorf("row %d: %d fields: want at least %d", row, len(fields), max(timeAt, countAt)+1)
		}
		t, err := parseTime(fields[timeAt])
		if err != nil {
			return nil, fmt.Errorf("row %d: time %q: want seconds or a date such as 2026-01-31T12:00:00Z", row, fields[timeAt])
		}
		if n := len(times); n > 0 && t <= times[n-1] {
			return nil, fmt.Errorf("row %d: time %q: is not after the row before it", row, fields[timeAt])
		}
		x := math.NaN()
		if text := strings.TrimSpace(fields[countAt]); text != "" && !strings.EqualFold(text, "nan") && !strings.EqualFold(text, "null") {
			if x, err = strconv.ParseFloat(text, 64); err != nil || x < 0 || math.IsInf(x, 0) {
				return nil, fmt.Errorf("row %d: count %q: want a number of 0 or more, or nothing for a gap", row, fields[countAt])
			}
		}
		times, counts = append(times, t), append(counts, x)
	}
	if len(times) < 2 {
		return nil, errors.New("fewer than two rows: want a history")
	}
	if step == 0 {
		step = commonStep(times)
	}
	slots := math.Round((times[len(times)-1]-times[0])/step) + 1
	if slots > 5e7 {
		return nil, fmt.Errorf("%.0f steps of %g s: too many: give a longer step", slots, step)
	}
	h := &history{begin: times[0], step: step, counts: make([]float64, int(slots))}
	for i := range h.counts {
		h.counts[i] = math.NaN()
	}
	for i, t := range times {
		at := int(math.Round((t - times[0]) / step))
		if math.IsNaN(h.counts[at]) {
			h.counts[at] = counts[i]
		} else {
			h.counts[at] += counts[i]
		}
	}
	return h, nil
}

func findColumns(header []string, column string) (timeAt, countAt int, err error) {
	clean := make([]string, len(header))
	for i, name := range header {
		clean[i] = strings.ToLower(strings.TrimSpace(name))
		if i == 0 {
			clean[i] = strings.TrimPrefix(clean[i], "\ufeff")
		}
		if slices.Contains([]string{"t", "t_s", "time", "timestamp"}, clean[i]) {
			timeAt = i
		}
	}
	if column == "" {
		countAt = 1
		if timeAt == 1 {
			countAt = 0
		}
		return timeAt, countAt, nil
	}
	countAt = slices.Index(clean, strings.ToLower(column))
	if countAt < 0 {
		return 0, 0, fmt.Errorf("column %q: is not there: the header has %s", column, strings.Join(header, ", "))
	}
	return timeAt, countAt, nil
}

func parseTime(text string) (float64, error) {
	text = strings.TrimSpace(text)
	if x, err := strconv.ParseFloat(text, 64); err == nil {
		if math.Abs(x) > 1e14 || math.IsNaN(x) {
			return 0, errors.New("out of range")
		}
		if math.Abs(x) > 1e11 {
			x /= 1000 // milliseconds
		}
		return x, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			return float64(t.UnixNano()) / 1e9, nil
		}
	}
	return 0, errors.New("not a time")
}

// commonStep returns the median distance.
func commonStep(times []float64) float64 {
	steps := make([]float64, 0, len(times)-1)
	for i := 1; i < len(times); i++ {
		steps = append(steps, times[i]-times[i-1])
	}
	slices.Sort(steps)
	return steps[len(steps)/2]
}

// rates returns the arrivals in records per second, step by step, NaN where missing.
func (h *history) rates() []float64 {
	rates := make([]float64, len(h.counts))
	for i, x := range h.counts {
		rates[i] = x / h.step
	}
	return rates
}

// warm steps a through the history in ticks of `interval` seconds that end no later than `until`. A history that reaches
// beyond is shifted back to end there.
func (h *history) warm(a *scaler.Autoscaler, interval, until float64) {
	end := h.begin + float64(len(h.counts))*h.step
	shift := 0.0
	if end > until {
		shift = until - end
		end = until
	}
	ticks := int(math.Floor((end - h.begin - shift) / interval))
	rates := h.rates()
	for i := ticks - 1; i >= 0; i-- {
		to := end - float64(i)*interval
		a.Warm(epoch(to), meanRate(rates, h.step, to-interval-h.begin-shift, to-h.begin-shift))
	}
}

// meanRate averages step values over a span of seconds, NaN where any of it is missing.
func meanRate(rates []float64, step, from, to float64) float64 {
	sum := 0.0
	for at := from; at < to-1e-9; {
		i := int(math.Floor(at/step + 1e-9))
		next := min(to, float64(i+1)*step)
		if i < 0 || i >= len(rates) {
			return math.NaN()
		}
		sum += rates[i] * (next - at)
		at = next
	}
	return sum / (to - from)
}
