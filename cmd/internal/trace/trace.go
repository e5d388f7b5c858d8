// Package trace holds recorded traffic and plays it again: a Trace is when requests came and how large they were, a Clock
// runs its time faster than the wall's, and Play calls back as each request falls due. What a request becomes (a Kafka
// record, say) is the caller's business.
package trace

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed" // for the bundled trace
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"github.com/prescale/prescale/cmd/internal/history"
)

// Arrival is one request of a trace.
type Arrival struct {
	// Offset is the time since the start of the trace.
	Offset time.Duration
	// ContextTokens and GeneratedTokens are the request's sizes, or zero where the trace has none.
	ContextTokens, GeneratedTokens int
}

// Trace is recorded traffic: arrivals in the order of their offsets.
type Trace struct {
	Name     string
	Arrivals []Arrival
}

// Span returns the offset of the last arrival, zero for an empty trace.
func (t *Trace) Span() time.Duration {
	if len(t.Arrivals) == 0 {
		return 0
	}
	return t.Arrivals[len(t.Arrivals)-1].Offset
}

// Until returns the trace's part before the offset. It shares the arrivals.
func (t *Trace) Until(offset time.Duration) *Trace {
	n, _ := slices.BinarySearchFunc(t.Arrivals, offset, func(a Arrival, at time.Duration) int { return int(a.Offset - at) })
	return &Trace{Name: t.Name, Arrivals: t.Arrivals[:n:n]}
}

// AzureName is the name by which users ask for the bundled trace.
const AzureName = "azure-llm-conv-2023"

//go:embed data/azure_llm_conv_2023.csv.gz
var azure []byte

// notice is the bundled trace's attribution and licence.
//
//go:embed data/NOTICE.md
var notice string

// Open reads the trace in the named file (see read), or the bundled one where name is AzureName: 58 minutes of requests to a chat
// service, 19,366 in all.
func Open(name string) (*Trace, error) {
	if name == AzureName {
		return read(bytes.NewReader(azure), AzureName)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(f, name)
}

// maxRequestsPerBin bounds how many arrivals one row of a binned trace may stand for: a larger number is a mistake of units.
const maxRequestsPerBin = 1_000_000

// read takes a CSV file, compressed by gzip or not, with a header. Its first column is t_s, the seconds since the start,
// never decreasing. With columns context_tokens and generated_tokens, or with neither, a row is one request. With a column
// requests a row is a bin that lasts until the next row's time (the last one as long as the one before), and its requests
// are spread evenly over it. Other columns are ignored. Errors name the line.
func read(r io.Reader, name string) (*Trace, error) {
	buffered := bufio.NewReader(r)
	var plain io.Reader = buffered
	if magic, _ := buffered.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, fmt.Errorf("read trace %s: %w", name, err)
		}
		plain = unzipped
	}
	rows, err := readRows(plain)
	if err != nil {
		return nil, fmt.Errorf("read trace %s: %w", name, err)
	}
	t := &Trace{Name: name}
	if rows.binned {
		t.Arrivals = spread(rows.rows)
	} else {
		for _, row := range rows.rows {
			t.Arrivals = append(t.Arrivals, row.Arrival)
		}
	}
	if len(t.Arrivals) == 0 {
		return nil, fmt.Errorf("read trace %s: it has no requests", name)
	}
	return t, nil
}

type row struct {
	Arrival
	requests float64
}

type rows struct {
	rows   []row
	binned bool
}

func readRows(r io.Reader) (rows, error) {
	reader := csv.NewReader(r)
	reader.ReuseRecord = true
	header, err := reader.Read()
	if errors.Is(err, io.EOF) {
		return rows{}, errors.New("it is empty; want a header line t_s,…")
	} else if err != nil {
		return rows{}, err
	}
	if header[0] != "t_s" {
		return rows{}, fmt.Errorf("line 1: the first column is %q; want t_s, the seconds since the start", header[0])
	}
	header = slices.Clone(header)
	context, generated := slices.Index(header, "context_tokens"), slices.Index(header, "generated_tokens")
	requests := slices.Index(header, "requests")
	out := rows{binned: requests >= 0}
	last := time.Duration(0)
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return rows{}, err
		}
		line, _ := reader.FieldPos(0)
		number := func(column int) float64 {
			if column < 0 || err != nil {
				return 0
			}
			x, parseErr := history.ParseNumber(record[column])
			if parseErr != nil || math.IsNaN(x) || x < 0 || x > math.MaxInt32 {
				err = fmt.Errorf("line %d: %s: %q: want a number from 0", line, header[column], record[column])
			}
			return x
		}
		next := row{requests: number(requests)}
		next.Offset = time.Duration(math.Round(number(0) * float64(time.Second)))
		if !out.binned {
			next.ContextTokens, next.GeneratedTokens = int(number(context)), int(number(generated))
		}
		switch {
		case err != nil:
			return rows{}, err
		case next.Offset < last:
			return rows{}, fmt.Errorf("line %d: t_s: %q is before the line above; sort the file by t_s", line, record[0])
		case next.requests > maxRequestsPerBin:
			return rows{}, fmt.Errorf("line %d: requests: %q is over %d", line, record[requests], maxRequestsPerBin)
		}
		last = next.Offset
		out.rows = append(out.rows, next)
	}
}

// spread turns bins into arrivals. The fraction of a request that a bin leaves over is carried into the next.
func spread(bins []row) []Arrival {
	var arrivals []Arrival
	width, carried := time.Duration(0), 0.0
	for i, bin := range bins {
		if i+1 < len(bins) {
			width = bins[i+1].Offset - bin.Offset
		}
		whole := math.Floor(bin.requests + carried)
		carried += bin.requests - whole
		for k := range int(whole) {
			at := bin.Offset + time.Duration((float64(k)+0.5)/whole*float64(width))
			arrivals = append(arrivals, Arrival{Offset: at})
		}
	}
	return arrivals
}
