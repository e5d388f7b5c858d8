package latency

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
)

// familyLines is a text exposition with the lines of some families alone: a parser keeps all that it is given, some fourteen times the
// text's size, and of the megabytes that a replica may serve few lines are wanted.
type familyLines struct {
	text  *bufio.Reader
	names []string
	// rest is what is left of a line, and keep whether it, and what the buffer did not hold of it, is wanted; within says that its end
	// has not come yet.
	rest         []byte
	keep, within bool
}

func newFamilyLines(text io.Reader, names ...string) *familyLines {
	return &familyLines{text: bufio.NewReader(text), names: names}
}

// Read implements io.Reader.
func (f *familyLines) Read(into []byte) (int, error) {
	for len(f.rest) == 0 {
		line, err := f.text.ReadSlice('\n')
		if !f.within {
			f.keep = f.wanted(line)
		}
		f.within = errors.Is(err, bufio.ErrBufferFull)
		if f.keep {
			f.rest = line
		}
		if err != nil && !f.within && len(f.rest) == 0 {
			return 0, err
		}
	}
	n := copy(into, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// wanted reports whether a line, or its comment, is of one of the families, or begins as none of any family does: the parser has to say so.
func (f *familyLines) wanted(line []byte) bool {
	line = bytes.TrimLeft(line, " \t")
	if comment, ok := bytes.CutPrefix(line, []byte("#")); ok {
		// After HELP or TYPE.
		if fields := bytes.Fields(comment); len(fields) > 1 {
			return slices.Contains(f.names, string(fields[1]))
		}
		return false
	}
	end := bytes.IndexFunc(line, func(r rune) bool {
		return !(r == '_' || r == ':' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9')
	})
	switch {
	case end < 0:
		end = len(line)
	case end == 0:
		return line[0] != '\n' && line[0] != '\r'
	}
	name := string(line[:end])
	return slices.ContainsFunc(f.names, func(family string) bool {
		return name == family || name == family+"_bucket" || name == family+"_sum" || name == family+"_count"
	})
}
