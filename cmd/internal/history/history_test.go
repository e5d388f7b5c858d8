package history_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/history"
)

func TestReadCSVTakesWhatPeopleExport(t *testing.T) {
	nan := math.NaN()
	for _, tt := range []struct {
		name, text, column string
		want               []float64 // filled
		step               time.Duration
		dated              bool
	}{
		{"named columns", "t_s,bytes,requests\n0,9,1\n60,9,2\n", "requests", []float64{1, 2}, time.Minute, false},
		{"a name before the time", "host,Timestamp,n\na,0,1\nb,60,2\n", "", []float64{1, 2}, time.Minute, false},
		{"time last", "n,t\n1,0\n2,60\n", "", []float64{1, 2}, time.Minute, false},
		{"name in another case", "t_s,Requests\n0,1\n60,2\n", "requests", []float64{1, 2}, time.Minute, false},
		{"a name that another has in another case", "t_s,n,N\n0,1,3\n60,2,4\n", "N", []float64{3, 4}, time.Minute, false},
		{"time second", "requests,timestamp\n1,2026-01-31T09:00:00Z\n2,2026-01-31T09:01:00Z\n", "", []float64{1, 2}, time.Minute, true},
		{"no header", "0,1\n60,2\n", "", []float64{1, 2}, time.Minute, false},
		{"byte order mark", "\ufefft_s,n\n0,1\n60,2\n", "", []float64{1, 2}, time.Minute, false},
		{"byte order mark, no header", "\ufeff0,1\n60,2\n", "", []float64{1, 2}, time.Minute, false},
		{"milliseconds", "time,n\n1767225600000,1\n1767225660000,2\n", "", []float64{1, 2}, time.Minute, true},
		{"gaps", "t_s,n\n0,1\n60,\n120,NaN\n180,null\n300,5\n", "", []float64{1, nan, nan, nan, nan, 5}, time.Minute, false},
		{"gaps by other names", "t_s,n\n0,1\n60,NA\n120,None\n180,n/a\n240,5", "", []float64{1, nan, nan, nan, 5}, time.Minute, false},
		{"carriage returns and spaces", "t_s, requests\r\n0, 1\r\n60, 2\r\n  \r\n", "requests", []float64{1, 2}, time.Minute, false},
		{"quotes after a byte order mark", "\ufeff\"t_s\",\"requests, all\"\n\"0\",\"1\"\n\"60\",\"2\"\n", "requests, all", []float64{1, 2}, time.Minute, false},
		{"semicolons", "t_s;bytes;n\n0;9;1\n60;9;2\n", "n", []float64{1, 2}, time.Minute, false},
		{"tabs and an empty field", "t_s\tbytes\tn\n0\t\t1\n60\t\t2\n", "n", []float64{1, 2}, time.Minute, false},
		{"a comma in a header of semicolons", "t_s;requests, all;n\n0;1;9\n60;2;9\n", "", []float64{1, 2}, time.Minute, false},
		{"an index before the time", ",timestamp,n\n0,2026-01-31 09:00:00+00:00,1\n1,2026-01-31 09:01:00+00:00,2\n", "", []float64{1, 2}, time.Minute, true},
		{"zones", "timestamp,n\n2026-01-31T10:00:00+01:00,1\n2026-01-31T09:01:00Z,2\n2026-01-31 09:02:00,3\n2026-01-31 09:03 UTC,4\n2026-01-31T04:04:00-0500,5\n", "", []float64{1, 2, 3, 4, 5}, time.Minute, true},
		{"jitter", "t_s,n\n0,1\n15.1,2\n30,3\n45.1,4\n60,5\n", "", []float64{1, 2, 3, 4, 5}, 15 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := history.ReadCSV(strings.NewReader(tt.text), "in.csv", history.Options{Column: tt.column})
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Filled()
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if s.Step != tt.step || s.Dated != tt.dated {
				t.Errorf("step %v, dated %v", s.Step, s.Dated)
			}
		})
	}
}

func TestReadCSVSaysWhatItWants(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		step       time.Duration
		want       string
	}{
		{"decimal comma", "t_s;n\n0;1\n60;2,5\n", 0, `line 3 (row 1): n: "2,5" is no number; want a decimal point`},
		{"comma between thousands", "t_s,n\n0,1\n60,1,234\n", 0, "line 3 (row 1): n: the row has 3 fields, the first line 2; want as many"},
		{"space between thousands", "t_s,n\n0,1\n60,1 000\n", 0, `n: "1 000" is no number; want a decimal point, and nothing between thousands`},
		{"underscore between thousands", "t_s,n\n0,1\n60,1_000\n", 0, `line 3 (row 1): n: "1_000" is no number; want a decimal point, and nothing between thousands`},
		{"hexadecimal", "t_s,n\n0,1\n60,0x1p4\n", 0, `line 3 (row 1): n: "0x1p4" is no number`},
		{"underscore in a time", "t_s,n\n0,1\n1_000,2\n", 0, `line 3 (row 1): t_s: "1_000" is no time`},
		{"clocks that go back", "t,n\n2026-10-25 02:50,1\n2026-10-25 02:55,2\n2026-10-25 02:00,3\n", 0, "line 4 (row 2): t: \"2026-10-25 02:00\" is not later than the row before; want rising times, in UTC or with a zone"},
		{"infinite", "t_s,n\n0,1\n60,inf\n", 0, `line 3 (row 1): n: "inf" is infinite`},
		{"beyond numbers", "t_s,n\n0,1\n60,1e400\n", 0, `line 3 (row 1): n: "1e400" is infinite`},
		{"too large", "t_s,n\n0,1\n60,1e30\n", 0, `line 3 (row 1): n: "1e30" is too large; want at most 1e+18`},
		{"microseconds", "t_s,n\n1767225600000000,1\n1767225660000000,2\n", 0, "is out of range; want seconds, or milliseconds since 1970"},
		{"no text", "PK\x03\x04\x14\x00\x06", 0, "is not text; want a table"},
		{"carriage returns alone", "t_s,n\r0,1\r60,2\r", 0, "ends its lines with carriage returns alone"},
		{"two bytes a character", "\xff\xfet\x00", 0, "is UTF-16; want UTF-8"},
		{"half the step", "t_s,n\n0,1\n60,2\n180,2\n", 30 * time.Second, "rows are 1m0s apart at least, and the step is said to be 30s; want --step 1m0s"},
		{"twice the step", "t_s,n\n0,1\n60,2\n120,2\n", 2 * time.Minute, "line 3 (row 1): 1m0s after the row before; want a multiple of the step of 2m0s"},
		{"mixed steps", "t_s,n\n0,1\n60,2\n90,3\n", 0, "line 4 (row 2): 30s after the row before, and that one 1m0s after its own: mixed steps (of 2 distances 1× 30s, 1× 1m0s); want most rows one step apart, or say what the step is (--step)"},
		{"steps of every kind", "t_s,n\n0,1\n9,2\n18,3\n30,3\n45,3\n65,3\n95,3\n145,3\n", 0, "line 5 (row 3): 12s after the row before, and that one 9s after its own: mixed steps (of 7 distances 2× 9s, 1× 12s, 1× 15s, 3 others)"},
		{"one row too early", "t_s,n\n0,1\n60,2\n120,3\n150,3\n210,3\n", 0, "line 5 (row 3): 30s after the row before, and that one 1m0s after its own: mixed steps (of 4 distances 3× 1m0s, 1× 30s)"},
		{"one row too late", "t_s,n\n0,1\n60,2\n120,3\n210,3\n", 0, "line 5 (row 3): 1m30s after the row before; want a multiple of 1m0s, as 2 of the 3 distances up to row 3 are; or say"},
		{"off the step given", "t_s,n\n0,1\n60,2\n90,3\n", time.Minute, "line 4 (row 2): 30s after the row before; want a multiple of the step of 1m0s (--step)"},
		{"quote that does not end", "t_s,n\n0,1\n60,\"2\n120,3\n180,4\n", 0, "line 3: extraneous or missing"},
		{"a long value", "t_s,n\n0,1\n60," + strings.Repeat("1", 1000) + "\n", 0, "line 3 (row 1): n: \"" + strings.Repeat("1", 80) + "\" is infinite"},
		{"quote within a field", "t_s,n\n0,1\n60,2\"\n", 0, "line 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := history.ReadCSV(strings.NewReader(tt.text), "in.csv", history.Options{Step: tt.step})
			if err == nil || !strings.Contains(err.Error(), "in.csv: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %+v and error %v, want one with %q", s, err, tt.want)
			}
		})
	}
}

// TestStepIsFoundUpToARow: what comes after it changes nothing but whether the file is read.
func TestStepIsFoundUpToARow(t *testing.T) {
	for _, tt := range []struct {
		text    string
		stepRow int
		step    time.Duration
		want    string
	}{
		{"0,1\n60,2\n120,3\n300,4\n900,5\n1500,6\n", 2, time.Minute, ""}, // most distances of the whole are others
		{"0,1\n60,2\n120,3\n300,4\n900,5\n1500,6\n", 0, 0, "mixed steps"},
		{"0,1\n120,2\n240,3\n300,4\n360,5\n", 2, 0, "line 4 (row 3): 1m0s after the row before; want a multiple of 2m0s, as 2 of the 2 distances up to row 2 are"},
		{"0,1\n60,2\n", 9, time.Minute, ""},
	} {
		s, err := history.ReadCSV(strings.NewReader(tt.text), "in.csv", history.Options{StepRow: tt.stepRow})
		switch {
		case tt.want != "":
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q up to row %d: error %v, want %q", tt.text, tt.stepRow, err, tt.want)
			}
		case err != nil || s.Step != tt.step:
			t.Errorf("%q up to row %d: %+v, error %v, want a step of %v", tt.text, tt.stepRow, s, err, tt.step)
		}
	}
	_, err := history.ReadCSV(strings.NewReader("0,1\n60,2\n90,3\n"), "in.csv", history.Options{StepRemedy: history.Resample})
	if err == nil || strings.Contains(err.Error(), "--step") || !strings.Contains(err.Error(), "resample the file") {
		t.Errorf("where there is no --step: %v", err)
	}
}

// TestOpenUnpacks: by what a file begins with, not by its name.
func TestOpenUnpacks(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte("t_s,n\n0,1\n60,2\n"))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"packed.csv.gz": packed.Bytes(), "packed.csv": packed.Bytes(), "plain.gz": []byte("t_s,n\n0,1\n60,2\n")} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := history.ReadFile(path, history.Options{}); err != nil || len(s.Values) != 2 {
			t.Errorf("%s: %v, error %v", name, s, err)
		}
	}
	path := filepath.Join(t.TempDir(), "cut.csv.gz")
	if err := os.WriteFile(path, packed.Bytes()[:packed.Len()-6], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := history.ReadFile(path, history.Options{}); err == nil || !strings.Contains(err.Error(), path+": unexpected EOF: the file is cut off") {
		t.Errorf("a file that is cut: error %v", err)
	}
	in, err := history.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := history.ReadM4(in, path, 1); err == nil || !strings.Contains(err.Error(), path+": unexpected EOF: the file is cut off") {
		t.Errorf("a file of one series a line that is cut: error %v", err)
	}
}

func TestJitterDoesNotAddUp(t *testing.T) {
	var b strings.Builder
	b.WriteString("t_s,n\n")
	const rows = 20000
	for i := range rows {
		fmt.Fprintf(&b, "%.3f,1\n", 15*float64(i)+0.1*float64(i*7919%3))
	}
	s, err := history.ReadCSV(strings.NewReader(b.String()), "in.csv", history.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Filled(); err != nil || len(got) != rows || s.Step != 15*time.Second {
		t.Errorf("%d steps of %v (%v), want %d", len(got), s.Step, err, rows)
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add("t_s,n\n0,1\n60,\n")
	f.Add("\ufeff\"t_s\";n\r\n0;1\r\n60;NA")
	f.Add("2026-01-31T09:00:00Z,1\n2026-01-31T09:01:00Z,nan\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := history.ReadCSV(strings.NewReader(text), "in.csv", history.Options{})
		if err != nil {
			return
		}
		if s.Step <= 0 || len(s.Times) != len(s.Values) || len(s.Times) < 2 {
			t.Fatalf("step %v, %d times, %d values", s.Step, len(s.Times), len(s.Values))
		}
		_, _ = s.Filled()
	})
}

// TestPrometheus asks for more points than one query may return, of a series that is 2/s in each step but where it is NaN or
// missing.
func TestPrometheus(t *testing.T) {
	from := time.Unix(1767225600, 0).UTC()
	queries := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		queries++
		if r.URL.Path != "/api/v1/query_range" || r.FormValue("query") != "sum(rate(x[1m]))" {
			http.Error(w, "unknown", http.StatusNotFound)
			return
		}
		number := func(name string) float64 {
			v, err := strconv.ParseFloat(r.FormValue(name), 64)
			if err != nil {
				t.Error(err)
			}
			return v
		}
		values := [][2]any{}
		for at := number("start"); at <= number("end"); at += number("step") {
			switch step := int(at-float64(from.Unix()))/60 - 1; step { // the step that ends at this time
			case 3:
				values = append(values, [2]any{at, "NaN"})
			case 4: // no sample
			default:
				values = append(values, [2]any{at, "2"})
			}
		}
		if len(values) > 11000 {
			t.Errorf("asked for %d points at once", len(values))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix",
			"result": []any{map[string]any{"metric": map[string]string{}, "values": values}}}})
	}))
	defer server.Close()
	r := history.Range{From: from, To: from.Add(15000 * time.Minute), Step: time.Minute}
	s, err := history.Prometheus(context.Background(), server.Client(), server.URL+"/", "sum(rate(x[1m]))", r)
	if err != nil {
		t.Fatal(err)
	}
	if queries != 2 || len(s.Values) != 15000 || !s.Times[0].Equal(from) {
		t.Fatalf("%d queries, %d values from %v", queries, len(s.Values), s.Times[0])
	}
	for i, v := range s.Values {
		if gap := i == 3 || i == 4; gap != math.IsNaN(v) || !gap && v != 120 {
			t.Errorf("step %d: %v", i, v)
		}
	}
}

// TestPrometheusAnswersAreBounded: a query that somebody forgot to sum may select any number of series, and what reads the answer runs
// other policies too.
func TestPrometheusAnswersAreBounded(t *testing.T) {
	written, ended := 0, make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		fmt.Fprint(w, `{"status":"success","data":{"result":[`)
		one := `{"metric":{},"values":[` + strings.Repeat(`[1767225600,"2"],`, 10000) + `[1767225600,"2"]]},`
		for range 500 { // 90 MB
			n, err := io.WriteString(w, one)
			if written += n; err != nil {
				return
			}
		}
		fmt.Fprint(w, `{"metric":{},"values":[]}]}}`)
	}))
	defer server.Close()
	r := history.Range{From: time.Unix(0, 0), To: time.Unix(600, 0), Step: time.Minute}
	_, err := history.Prometheus(context.Background(), server.Client(), server.URL, "rate(x[1m])", r)
	if err == nil || !strings.Contains(err.Error(), "more than one series takes: sum them") {
		t.Errorf("got %v", err)
	}
	if <-ended; written > 40<<20 {
		t.Errorf("%d MiB were read", written>>20)
	}
}

func TestPrometheusSaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		answer string
		want   string
	}{
		{`<html>`, "not a Prometheus answer"},
		{`{"status":"error","error":"parse error"}`, "parse error"},
		{`{"status":"success","data":{"result":[{"values":[]},{"values":[]}]}}`, "2 series: want one"},
		{`{"status":"success","warnings":["store b: connection refused"],"data":{"result":[{"values":[[1,"2"]]}]}}`, "a part of what there is: store b"},
		{`{"status":"success","data":{"result":[{"values":[[1,"x"]]}]}}`, `value "x": not a number`},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, tt.answer) }))
		r := history.Range{From: time.Unix(0, 0), To: time.Unix(600, 0), Step: time.Minute}
		if _, err := history.Prometheus(context.Background(), server.Client(), server.URL, "q", r); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.answer, err, tt.want)
		}
		server.Close()
	}
	r := history.Range{From: time.Unix(600, 0), To: time.Unix(0, 0), Step: time.Minute}
	if _, err := history.Prometheus(context.Background(), http.DefaultClient, "http://x", "q", r); err == nil {
		t.Error("a range that ends before it begins was read")
	}
}

// TestTopic counts records by their timestamps without reading them: 3 in the first minute, none in the second, 5 in the
// third, over two partitions.
func TestTopic(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	from := time.Now().UTC().Truncate(time.Minute).Add(-time.Hour)
	for i, second := range []int{0, 10, 59, 120, 121, 150, 178, 179} {
		record := &kgo.Record{Topic: "orders", Partition: int32(i % 2), Timestamp: from.Add(time.Duration(second) * time.Second), Value: []byte("x")}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	r := history.Range{From: from, To: from.Add(4 * time.Minute), Step: time.Minute}
	admin := kadm.NewClient(client)
	s, err := history.Topics(ctx, client, []string{"orders"}, r, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Values); got != "[3 0 5 0]" {
		t.Errorf("got %v, want [3 0 5 0]", got)
	}
	// Nobody knows whether the topic was there before its first record.
	if s, err = history.Topics(ctx, client, []string{"orders"}, history.Range{From: from.Add(-2 * time.Minute), To: r.To, Step: time.Minute}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Values); got != "[NaN NaN 3 0 5 0]" {
		t.Errorf("from before the first record: got %v, want [NaN NaN 3 0 5 0]", got)
	}

	// Of the last minute and a half, from the whole minute before it on, each quarter of a minute is asked for: 120 and 121, 150,
	// 178 and 179. Of those before the minutes are.
	fine := history.Range{From: from, To: from.Add(4 * time.Minute), Step: 15 * time.Second}
	if s, err = history.Topics(ctx, client, []string{"orders"}, fine, 90*time.Second); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Values); got != "[0.75 0.75 0.75 0.75 0 0 0 0 2 0 1 2 0 0 0 0]" {
		t.Errorf("at 15 s: got %v", got)
	}

	// What retention has removed is not known: the partition of even records lost its first two.
	if _, err := admin.DeleteRecords(ctx, kadm.Offsets{"orders": {0: {Topic: "orders", Partition: 0, At: 2}}}); err != nil {
		t.Fatal(err)
	}
	if s, err = history.Topics(ctx, client, []string{"orders"}, r, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Values); got != "[NaN NaN NaN 0]" {
		t.Errorf("after records were deleted: got %v, want [NaN NaN NaN 0]", got)
	}
	// Several topics are summed.
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, "returns"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		record := &kgo.Record{Topic: "returns", Timestamp: from.Add(190 * time.Second), Value: []byte("x")}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = history.Topics(ctx, client, []string{"orders", "returns"}, r, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Values); got != "[NaN NaN NaN 2]" {
		t.Errorf("of two topics: got %v, want [NaN NaN NaN 2]", got)
	}
	if _, err := history.Topics(ctx, client, []string{"none"}, r, time.Hour); err == nil {
		t.Error("a topic that is not there was read")
	}
}

func TestRates(t *testing.T) {
	in := "time,n\n2026-01-01T00:00:00Z,60\n2026-01-01T00:01:00Z,120\n2026-01-01T00:03:00Z,30\n"
	s, err := history.ReadCSV(strings.NewReader(in), "in.csv", history.Options{Step: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	begin := s.Times[0]
	for _, tt := range []struct {
		interval time.Duration
		from, to time.Duration
		want     string
	}{
		{30 * time.Second, 0, 4 * time.Minute, "[1 1 2 2 NaN NaN 0.5 0.5]"},
		{2 * time.Minute, 0, 4 * time.Minute, "[1.5 NaN]"},
		{time.Minute, -2 * time.Minute, 90 * time.Second, "[NaN NaN 1.5]"}, // the grid ends at the end
		{time.Minute, 3 * time.Minute, 6 * time.Minute, "[0.5 NaN NaN]"},
	} {
		var got []float64
		last := begin.Add(tt.from)
		if err := s.Rates(tt.interval, begin.Add(tt.from), begin.Add(tt.to), func(end time.Time, rate float64) {
			if !end.After(last) {
				t.Errorf("%v after %v", end, last)
			}
			last = end
			got = append(got, rate)
		}); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != tt.want || !last.Equal(begin.Add(tt.to)) {
			t.Errorf("every %v from %v to %v: got %v, want %v", tt.interval, tt.from, tt.to, got, tt.want)
		}
	}
}
