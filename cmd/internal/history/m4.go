package history

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strings"
)

// Line is one series of an M4 file: an identifier and its values, oldest first.
type Line struct {
	ID     string
	Values []float64
}

// ReadM4 reads one series a line: id, then values, separated by commas, semicolons or tabs. A first line whose second field is no
// number is a header; fields that are empty at a line's end are left out, as in the competition's files; quotes around fields are
// taken off.
func ReadM4(r io.Reader, name string, minValues int) ([]Line, error) {
	r, separator, err := table(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 1<<20), 1<<26)
	var out []Line
	seen := map[string]int{}
	for n := 1; in.Scan(); n++ {
		text := strings.TrimSpace(in.Text())
		if text == "" {
			continue
		}
		fields := strings.Split(text, string(separator))
		for len(fields) > 1 && unquote(fields[len(fields)-1]) == "" {
			fields = fields[:len(fields)-1]
		}
		id := unquote(fields[0])
		if n == 1 {
			if len(fields) < 2 {
				continue
			}
			if !isNumber(fields[1]) && !isNumber(fields[len(fields)-1]) {
				continue
			}
		}
		if before, twice := seen[id]; twice {
			return nil, fmt.Errorf("%s: line %d: series %q stands on line %d already", name, n, id, before)
		}
		seen[id] = n
		values := make([]float64, 0, len(fields)-1)
		for i, f := range fields[1:] {
			v, err := ParseNumber(unquote(f))
			if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("%s: line %d: series %q: value %d: %.80q is no number; want a number in each field", name, n, id,
					i+1, unquote(f))
			}
			values = append(values, v)
		}
		if len(values) < minValues {
			return nil, fmt.Errorf("%s: line %d: series %q: %d values; want at least %d", name, n, id, len(values), minValues)
		}
		out = append(out, Line{ID: id, Values: values})
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no series; want lines of id,v1,v2,…", name)
	}
	return out, nil
}

func unquote(field string) string { return strings.Trim(strings.TrimSpace(field), `"`) }

func isNumber(field string) bool {
	_, err := ParseNumber(unquote(field))
	return err == nil
}
