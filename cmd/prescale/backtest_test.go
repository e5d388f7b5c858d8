package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/scaler/sim"
)

// dayCSV is a day of arrivals at a step of a minute, with a wave.
func dayCSV(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("time,records\n")
	for i := range 1440 {
		fmt.Fprintf(&b, "%d,%.0f\n", 60*i, 60000*(1+0.5*math.Sin(float64(i)/200)))
	}
	return writeFile(t, "day.csv", b.String())
}

func TestBacktestTableAndReport(t *testing.T) {
	html := filepath.Join(t.TempDir(), "report.html")
	c := newBacktestCommand()
	var out, errs bytes.Buffer
	c.SetArgs([]string{"--input", dayCSV(t), "--html", html, "-o", "json", "--need", "6", "--price", "0.5"})
	c.SetOut(&out)
	c.SetErr(&errs)
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
	var result backtestResult
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		t.Fatal(err)
	}
	if len(result.Rows) < 10 {
		t.Fatalf("%d rows", len(result.Rows))
	}
	for _, row := range result.Rows {
		// No rule does with less than the arrivals need unless it leaves them waiting.
		if row.CostRatio < 0.9 && row.LateRatio < 0.01 {
			t.Errorf("%s: cost %v with %v late", row.Policy, row.CostRatio, row.LateRatio)
		}
		if math.Abs(row.Price-0.5*row.ReplicaHours) > 1e-6 {
			t.Errorf("%s: price %v for %v hours", row.Policy, row.Price, row.ReplicaHours)
		}
	}
	if !(result.OracleLower <= result.OracleUpper) || result.OracleUpper < 0.9 {
		t.Errorf("oracle: %v to %v", result.OracleLower, result.OracleUpper)
	}
	page, err := os.ReadFile(html)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "prescale", "HPA on rate", "<path d=\"M", result.Promised()} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, bad := range []string{"http://", "https://", "NaN", "ZgotmplZ"} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("the report has %q: it must be self-contained", bad)
		}
	}
}

func TestALongBacktestIsForetold(t *testing.T) {
	for _, tt := range []struct {
		days  int
		row   time.Duration
		quiet bool
		want  string
	}{
		{400, 24 * time.Hour, false, "rows of 24h0m0s: within each the load counts as even, and no rule meets what it really does there; want rows of a minute or so\n" +
			"2304000 decisions by each rule take about 4m59s of a core; --interval 2m30s takes a tenth of it"},
		{400, 24 * time.Hour, true, "rows of 24h0m0s: within each the load counts as even, and no rule meets what it really does there; want rows of a minute or so"},
		{14, 10 * time.Minute, false, "80640 decisions by each rule take about 10s of a core; --interval 2m30s takes a tenth of it"},
		{13, 10 * time.Minute, false, ""},
	} {
		trace, err := sim.NewTrace("even", tt.row.Seconds(), slices.Repeat([]float64{1}, int(time.Duration(tt.days)*24*time.Hour/tt.row)))
		if err != nil {
			t.Fatal(err)
		}
		s := sim.DefaultScenario(trace)
		s.Tick, s.Partitions = 15, 48
		if got := strings.Join((&backtestFlags{quiet: tt.quiet}).before(&s, tt.row), "\n"); got != tt.want {
			t.Errorf("%d days in rows of %v: got\n%s\nwant\n%s", tt.days, tt.row, got, tt.want)
		}
	}
}

// What a policy lets the rule do today is no part of what is tried: one that observes keeps whatever count there is, and the counts of
// pools are of unequal replicas.
func TestBacktestTriesAPolicyAtWork(t *testing.T) {
	var b strings.Builder
	for i := range 120 {
		fmt.Fprintf(&b, "%d,%d\n", 60*i, 6000*(1+i/60))
	}
	input := writeFile(t, "step.csv", b.String())
	tried := func(more string) (rows []backtestRow, errs string) {
		t.Helper()
		c := newBacktestCommand()
		var out, told bytes.Buffer
		c.SetArgs([]string{"--input", input, "--policy", writeFile(t, "orders.yaml", testPolicy+more), "--capacity", "25", "-o", "json", "--quiet"})
		c.SetOut(&out)
		c.SetErr(&told)
		if err := c.Execute(); err != nil {
			t.Fatal(err)
		}
		var result backtestResult
		if err := json.Unmarshal(out.Bytes(), &result); err != nil {
			t.Fatal(err)
		}
		return result.Rows, told.String()
	}
	want, _ := tried("")
	for _, more := range []string{"mode: Observe\n", "paused: true\n", "pools: [{name: gpu, max: 4, speed: 10}, {name: cpu, max: 20}]\n"} {
		got, errs := tried(more)
		if !slices.EqualFunc(got, want, func(a, b backtestRow) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
			t.Errorf("%s: got %v, want what the policy does without, %v", more, got[0], want[0])
		}
		if told := strings.Contains(errs, "pools:"); told != strings.Contains(more, "pools") {
			t.Errorf("%s: said %q", more, errs)
		}
	}
}

// A history may begin with steps that are missing. Were they taken for none that arrive, the first that is known would be a jump.
func TestBacktestBeginsWithWhatIsKnown(t *testing.T) {
	missing := math.NaN()
	h := &arrivals{name: "x", step: 2, counts: []float64{missing, missing, 10, missing, 20, missing}}
	trace, gaps, err := h.trace()
	if want := []float64{5, 5, 5, 5, 10, 10}; err != nil || gaps != 4 || !slices.Equal(trace.Rates, want) {
		t.Errorf("got %v with %d gaps (%v), want %v with 4", trace.Rates, gaps, err, want)
	}
}

func TestBacktestRefusesBadInput(t *testing.T) {
	good := dayCSV(t)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{}, "name a CSV file"},
		{[]string{"--input", good, "--assignor", "x"}, "assignor"},
		{[]string{"--input", good, "--need", "0"}, "--need"},
		{[]string{"--input", good, "-o", "xml"}, "--output"},
		{[]string{"--input", good, "--column", "nothere"}, "nothere"},
		{[]string{"--input", writeFile(t, "a.csv", "0,1\n0,2\n")}, "line 2"},
		{[]string{"--input", writeFile(t, "b.csv", "0,1\n60,-2\n")}, "line 2"},
		{[]string{"--input", writeFile(t, "c.csv", "0,0\n60,0\n")}, "nothing ever arrives"},
		{[]string{"--prometheus", "http://x", "--query", "q", "--start", "yesterday"}, "--start"},
	} {
		c := newBacktestCommand()
		c.SilenceErrors, c.SilenceUsage = true, true
		c.SetArgs(tt.args)
		c.SetOut(&bytes.Buffer{})
		c.SetErr(&bytes.Buffer{})
		err := c.Execute()
		if command.ExitCode(err) != 2 || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want one that names %q and exit code 2", tt.args, err, tt.want)
		}
	}
}

func TestExplainSaysWhatWouldChangeIt(t *testing.T) {
	var lines []string
	for i := 1; i <= 60; i++ {
		lines = append(lines, tick(i, 700, 8))
	}
	c := newExplainCommand()
	var out bytes.Buffer
	c.SetArgs([]string{"--policy", writeFile(t, "orders.yaml", testPolicy), "--observations", writeFile(t, "o.jsonl", strings.Join(lines, "\n")), "--at", "750"})
	c.SetOut(&out)
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"default/orders at t = 750", "\n  current ", "\n> plan ", "what would change it", "a quarter higher"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
}

// The axes of small and of large numbers are written without what the binary fraction adds, and without exponents.
func TestAxesAreReadable(t *testing.T) {
	for _, test := range []struct {
		high float64
		want string
	}{
		{0.2, "0 0.05 0.1 0.15 0.2"},
		{0.0004, "0 0.0001 0.0002 0.0003 0.0004"},
		{48, "0 10 20 30 40"},
		{60000, "0 20 k 40 k 60 k"},
		{2.5e6, "0 500 k 1 M 1.5 M 2 M 2.5 M"},
	} {
		var got []string
		for _, m := range (plotScale{0, 3600, 0, test.high}).ticks("", "", time.Time{}).YTicks {
			got = append(got, m.Text)
		}
		if text := strings.Join(got, " "); text != test.want {
			t.Errorf("up to %g: got %q, want %q", test.high, text, test.want)
		}
	}
}

// Where no forecast was made yet its band is not there, rather than at 0.
func TestABandLeavesOutWhatIsMissing(t *testing.T) {
	nan := math.NaN()
	upper := []float64{nan, 2, 4, nan, 6, nan}
	if got := bucketed(len(upper), func(i int) float64 { return upper[i] }); !math.IsNaN(got[0]) || got[2] != 4 {
		t.Errorf("bucketed: %v", got)
	}
	path := (plotScale{0, 6, 0, 10}).band([]float64{nan, 1, 2, 3, 3, nan}, upper, 0, 6)
	if strings.Count(path, "M") != 2 || strings.Count(path, "Z") != 2 || strings.Contains(path, "NaN") || strings.Contains(path, fmt.Sprintf(" %.1f", plotHeight)) {
		t.Errorf("band: %s", path)
	}
}

// A time axis has a handful of marks, whether the history is an hour or a month long.
func TestTimeAxesAreReadable(t *testing.T) {
	for _, length := range []time.Duration{55 * time.Minute, 3 * time.Hour, 7 * time.Hour, 24 * time.Hour, 5 * 24 * time.Hour, 31 * 24 * time.Hour} {
		marks := (plotScale{0, length.Seconds(), 0, 1}).ticks("", "", time.Time{}).XTicks
		if len(marks) < 2 || len(marks) > 15 || length < 2*time.Hour && len(marks) < 5 {
			t.Errorf("%v: %d marks: %v", length, len(marks), marks)
		}
	}
}

// The other rules are no worse for what they are not tried at.
func TestBacktestSaysWhoMayGoToZero(t *testing.T) {
	for _, least := range []int{0, 1} {
		r := &backtestResult{scenario: sim.Scenario{Min: least}}
		var out bytes.Buffer
		if err := r.print(&out, false); err != nil || strings.Contains(out.String(), "may go to zero") != (least == 0) {
			t.Errorf("at least %d: %v\n%s", least, err, out.String())
		}
	}
}

// A rule that leaves records waiting may pay less than all of them take, and is in the picture like any other.
func TestEveryRuleIsInThePicture(t *testing.T) {
	r := &backtestResult{ViolationRatio: 0.001, Rows: []backtestRow{
		{Policy: ours, Setting: 0.001, CostRatio: 1.5}, {Policy: "a", CostRatio: 0.15, LateRatio: 0.99, ReplicaHours: 1.234}, {Policy: "b", CostRatio: 3},
	}}
	for _, dot := range r.paretoPlot().Dots {
		if dot.X < 0 || dot.X > plotWidth || dot.Y < 0 || dot.Y > plotHeight {
			t.Errorf("%s at %v, %v", dot.Label, dot.X, dot.Y)
		}
	}
	r.Days = 0.01
	if got := r.Span() + ", " + r.Rows[1].Hours(); got != "0.24 hours, 1.23" {
		t.Errorf("got %q", got)
	}
}

// Where every rule has everything late the picture ends at 100 %, and what stands beside the clairvoyant's line is in it on either side.
func TestThePictureEndsAtAllRecords(t *testing.T) {
	for _, oracle := range []float64{1.01, 1.9} {
		r := &backtestResult{ViolationRatio: 0.001, OracleUpper: oracle, Rows: []backtestRow{
			{Policy: ours, Setting: 0.001, CostRatio: 0.5, LateRatio: 1}, {Policy: "a", CostRatio: 2, LateRatio: 1},
		}}
		p := r.paretoPlot()
		if highest := p.YTicks[len(p.YTicks)-1].Text; highest != "100 %" {
			t.Errorf("the axis ends at %s", highest)
		}
		if post := p.Posts[0]; post.Left != (oracle == 1.9) {
			t.Errorf("of a clairvoyant at %v the text is to the left: %v", oracle, post.Left)
		} else if b := textBox(post.Text, post.X, 12, post.Left); b.x0 < 0 || b.x1 > plotWidth {
			t.Errorf("of a clairvoyant at %v the text goes from %v to %v", oracle, b.x0, b.x1)
		}
	}
}

// Where one replica is all that there may be, all rules pay for as many.
func TestTheReportSaysThatNothingIsSaved(t *testing.T) {
	page := filepath.Join(t.TempDir(), "report.html")
	c := newBacktestCommand()
	c.SetArgs([]string{"--input", dayCSV(t), "--html", page, "-o", "json", "--max", "1", "--quiet"})
	c.SetOut(io.Discard)
	c.SetErr(io.Discard)
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(page); err != nil || !bytes.Contains(got, []byte("Prescale takes as many replica-hours as the cheapest other rule")) {
		t.Errorf("%v: the report does not say that as many replica-hours are taken", err)
	}
}

func TestARuleHasOneColourInAllPlots(t *testing.T) {
	r := &backtestResult{Rows: []backtestRow{{Policy: ours}, {Policy: ours, Setting: 1}, {Policy: "a"}, {Policy: "b"}, {Policy: "a"}}}
	if r.color(ours) != palette[0] || r.color("a") != palette[1] || r.color("b") != palette[2] {
		t.Errorf("got %s, %s and %s, want the first three of %v", r.color(ours), r.color("a"), r.color("b"), palette)
	}
}
