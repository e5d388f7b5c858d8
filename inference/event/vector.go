package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// parseVector reads a JSON array of finite numbers; null and nothing are nil. encoding/json would read a null in a []float32 as 0 and a
// number that is too large as an error without its index; this reads neither. b is valid JSON.
func parseVector(b json.RawMessage) ([]float32, error) {
	if len(b) == 0 || string(b) == "null" {
		return nil, nil
	}
	if b[0] != '[' {
		return nil, errors.New("not an array of numbers")
	}
	out := make([]float32, 0, len(b)/4+1)
	for i := 1; i < len(b)-1; {
		for i < len(b)-1 && (b[i] == ' ' || b[i] == ',' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
			i++
		}
		start := i
		for i < len(b)-1 && b[i] != ',' && b[i] != ' ' && b[i] != '\t' && b[i] != '\n' && b[i] != '\r' {
			i++
		}
		if start == i {
			break
		}
		f, err := strconv.ParseFloat(string(b[start:i]), 32)
		if err != nil {
			return nil, fmt.Errorf("element %d: %.32q is not a finite 32-bit number", len(out), b[start:i])
		}
		out = append(out, float32(f))
	}
	return out, nil
}

func appendHead(b []byte, id string) []byte {
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, version, 10)
	b = append(b, `,"id":`...)
	return appendString(b, id)
}

func appendInt(b []byte, name string, n int64) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	return strconv.AppendInt(b, n, 10)
}

// appendVector writes the shortest decimals that read back as the same float32.
func appendVector(b []byte, name string, v []float32) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":[`...)
	for i, f := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(f), 'g', -1, 32)
	}
	return append(b, ']')
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, _ := json.Marshal(s) // a string always marshals
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
