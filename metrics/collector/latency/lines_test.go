package latency

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
)

// TestLinesOfOtherFamiliesAreLeftOut: what the parser is given is small, however much a replica serves and however long its lines are.
func TestLinesOfOtherFamiliesAreLeftOut(t *testing.T) {
	long := strings.Repeat("x", 10000)
	text := "# HELP a what it is\n# TYPE a histogram\na_bucket{le=\"1\",l=\"" + long + "\"} 1\n\n a_sum 1\na_count\t1\n" +
		"# TYPE ab counter\nab 1\n# a comment\n#\nb{l=\"" + long + "\na 5\"} 1\n# TYPE c counter\r\nc 7\r\n" + long + "\n<html>\n{\"c\"} 1\nc 8"
	want := "# HELP a what it is\n# TYPE a histogram\na_bucket{le=\"1\",l=\"" + long + "\"} 1\n a_sum 1\na_count\t1\n" +
		"a 5\"} 1\n# TYPE c counter\r\nc 7\r\n<html>\n{\"c\"} 1\nc 8"
	for name, from := range map[string]io.Reader{"at once": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text))} {
		if got, err := io.ReadAll(newFamilyLines(from, "a", "", "c")); err != nil || string(got) != want {
			t.Errorf("%s: got %q (%v), want %q", name, got, err, want)
		}
	}
	if _, err := io.ReadAll(newFamilyLines(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("b 1\nb 2\n"))), "a")); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("an error on the way: got %v", err)
	}
}

// TestWhatIsNotReadCostsNothing: a hundred replicas may serve a megabyte each.
func TestWhatIsNotReadCostsNothing(t *testing.T) {
	var other strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&other, "other_total{partition=\"%d\"} %d\n", i, i)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprint(w, "# TYPE busy_seconds_total counter\nbusy_seconds_total{topic=\"requests\"} 1\n# TYPE other_total counter\n", other.String())
	}))
	defer server.Close()
	s := newTestScraper(t)
	s.config.Histogram = ""
	if allocations := testing.AllocsPerRun(1, func() {
		if _, err := s.read(t.Context(), server.URL); err != nil {
			t.Error(err)
		}
	}); allocations > 5000 {
		t.Errorf("%v allocations for two lines of 20,000", allocations)
	}
}
