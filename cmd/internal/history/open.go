package history

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
)

// Open opens path for reading; "-" is standard input. What begins as gzip does is unpacked, whatever its name.
func Open(path string) (io.ReadCloser, error) {
	f := os.Stdin
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, err
		}
	}
	in := bufio.NewReader(f)
	if head, _ := in.Peek(2); !bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return struct {
			io.Reader
			io.Closer
		}{in, f}, nil
	}
	z, err := gzip.NewReader(in)
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

// Read says of a file that ends too soon what to do.
func (u *unpacked) Read(b []byte) (int, error) {
	n, err := u.Reader.Read(b)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: the file is cut off; want all of it", err)
	}
	return n, err
}

func (u *unpacked) Close() error { return errors.Join(u.Reader.Close(), u.file.Close()) }

// Name is what messages call a path that Open takes.
func Name(path string) string {
	if path == "-" {
		return "standard input"
	}
	return path
}

// longestHeader is how much of a file is looked at for what separates its fields.
const longestHeader = 1 << 16

// table returns r without a byte order mark, and what separates the fields of its first line: a comma, a semicolon or a tab,
// whichever stands there most often outside of quotes.
func table(r io.Reader) (io.Reader, rune, error) {
	in := bufio.NewReaderSize(r, longestHeader)
	head, err := in.Peek(longestHeader)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	switch {
	case bytes.HasPrefix(head, []byte("\ufeff")):
		_, _ = in.Discard(len("\ufeff"))
		head = head[len("\ufeff"):]
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return nil, 0, errors.New("is UTF-16; want UTF-8, such as a spreadsheet's \"CSV UTF-8\"")
	case bytes.IndexByte(head, 0) >= 0:
		return nil, 0, errors.New("is not text; want a table with commas between its fields, as a spreadsheet exports as \"CSV UTF-8\"")
	case bytes.IndexByte(head, '\r') >= 0 && bytes.IndexByte(head, '\n') < 0:
		return nil, 0, errors.New("ends its lines with carriage returns alone; want newlines")
	}
	counts := map[byte]int{}
	quoted := false
	for _, c := range bytes.TrimLeft(head, "\r\n") {
		if c == '"' {
			quoted = !quoted
		}
		if c == '\n' && !quoted {
			break
		}
		if !quoted {
			counts[c]++
		}
	}
	separator := byte(',')
	for _, other := range []byte(";\t") {
		if counts[other] > counts[separator] {
			separator = other
		}
	}
	return in, rune(separator), nil
}
