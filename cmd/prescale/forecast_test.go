package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/cmd/internal/command"
)

// forecastOf runs `prescale forecast` and returns what it wrote.
func forecastOf(args ...string) (stdout, stderr string, err error) {
	var out, diagnostics bytes.Buffer
	err = run(context.Background(), append([]string{"forecast"}, args...), &out, &diagnostics)
	return out.String(), diagnostics.String(), err
}

func writeInput(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wavy is n rows of a wave of 48 steps.
func wavy(n int) string {
	var b strings.Builder
	b.WriteString("t_s,requests\n")
	for i := range n {
		fmt.Fprintf(&b, "%d,%.0f\n", 60*i, 100+50*math.Sin(2*math.Pi*float64(i)/48)+float64(i*7919%13))
	}
	return b.String()
}

func TestForecastRefusesBadInput(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		args       []string
		want       string
	}{
		{"empty", "", nil, "empty; want a header"},
		{"header only", "t_s,requests\n", nil, "want at least 2 rows, each a time and a value; found 0"},
		{"column without a header", "0,1\n60,2\n", []string{"--column", "n"}, `line 1: no value column "n": "0" is a time, so there is no header`},
		{"bad time in the first line", "noon,1\n60,2\n", nil, `line 1: "noon" is no time and "1" no name`},
		{"one column", "t_s\n0\n60\n", nil, "one column only"},
		{"missing column", wavy(5), []string{"--column", "bytes"}, `no value column "bytes"; there are: requests`},
		{"a column twice", "t_s,n,bytes,n\n0,1,2,3\n60,1,2,3\n", []string{"--column", "n"}, `line 1: 2 columns are named "n"; want one, and the others by other names; there are: t_s, n, bytes, n`},
		{"which of two by case", "t_s,Nn,nN\n0,1,2\n60,1,2\n", []string{"--column", "nn"}, `line 1: 2 columns are named "nn"; want one, and the others by other names; there are: t_s, Nn, nN`},
		{"two times", "timestamp,t_s,n\n0,0,1\n60,60,1\n", nil, `line 1: columns "timestamp" and "t_s" both look like the time; name the value column (--column), or leave one out`},
		{"text in a number", "t_s,requests\n0,1\n60,many\n", nil, `line 3 (row 1): requests: "many" is no number`},
		{"negative", "t_s,requests\n0,1\n60,-2\n", nil, `line 3 (row 1): requests: "-2" is negative`},
		{"bad time", "t_s,requests\n0,1\nnoon,2\n", nil, `line 3 (row 1): t_s: "noon" is no time`},
		{"times fall", "t_s,requests\n0,1\n60,2\n30,3\n", nil, `line 4 (row 2): t_s: "30" is not later`},
		{"times repeat", "t_s,requests\n0,1\n60,2\n60,3\n", nil, `line 4 (row 2): t_s: "60" is not later`},
		{"mixed steps", "t_s,requests\n0,1\n60,2\n150,3\n", nil, "line 4 (row 2): 1m30s after the row before, and that one 1m0s after its own: mixed steps"},
		{"a step between others", "t_s,requests\n0,1\n60,2\n90,3\n", nil, "line 4 (row 2): 30s after the row before, and that one 1m0s after its own: mixed steps"},
		{"beside the step given", "t_s,requests\n0,1\n60,2\n90,3\n", []string{"--step", "60s"}, "line 4 (row 2): 30s after the row before; want a multiple of the step of 1m0s (--step)"},
		{"beside the step up to the first origin", "t_s,requests\n0,1\n60,2\n120,3\n150,4\n180,4\n", []string{"--rolling", "--from", "2"}, "line 5 (row 3): 30s after the row before; want a multiple of 1m0s, as 2 of the 2 distances up to row 2 are; or say"},
		{"short row", "t_s,requests\n0,1\n60\n", nil, "line 3 (row 1): requests: the row has 1 fields"},
		{"origin past the end", wavy(50), []string{"--rolling", "--from", "50"}, "row 50 is not in"},
		{"no stride", wavy(50), []string{"--rolling", "--every", "0"}, "--every: 0; want at least 1"},
		{"levels fall", wavy(50), []string{"--quantiles", "0.9,0.5"}, "quantiles[1]: 0.5 does not rise above 0.9"},
		{"level of 1", wavy(50), []string{"--quantiles", "0.5,1"}, "quantiles[1]: 1 is not within (0, 1)"},
		{"horizon", wavy(50), []string{"--horizon", "0"}, "--horizon: 0 is not within"},
		{"season", wavy(50), []string{"--season", "daily"}, `--season: "daily"; want a duration`},
		{"third season", wavy(50), []string{"--season", "1h,24h,168h"}, "season[2]: 168h0m0s: want at most 2 seasons"},
		{"seasons fall", wavy(50), []string{"--season", "24h,1h"}, "season[1]: 1h0m0s is not longer than 24h0m0s"},
		{"season of a step", wavy(50), []string{"--season", "1m"}, "season[0]: 1m0s is shorter than two steps"},
		{"m4 season of one", "H1,1,2,3\n", []string{"--m4", "--season", "1"}, `--season: "1"; want a whole number of steps`},
		{"m4 third season", "H1,1,2,3\n", []string{"--m4", "--season", "2,4,6"}, `--season: "6" is the third; want at most two`},
		{"m4 seasons fall", "H1,1,2,3\n", []string{"--m4", "--season", "168,24"}, `--season: "24" is not longer than 168`},
		{"output", wavy(50), []string{"-o", "pdf"}, `--output: "pdf"; want csv, json or html`},
		{"score and origins", wavy(50), []string{"--score", "--origins", "rows"}, "--score and --origins: want one of them"},
		{"two modes", wavy(50), []string{"--rolling", "--score"}, "--rolling and --score: want one of them"},
		{"rolling as a page", wavy(50), []string{"--rolling", "-o", "html"}, "--output: html goes without --rolling"},
		{"stride of nothing", wavy(50), []string{"--every", "5"}, "--every goes with --rolling"},
		{"m4 text", "H1,1,2,3\nH2,1,x,3\n", []string{"--m4"}, `line 2: series "H2": value 2: "x" is no number`},
		{"m4 underscore", "H1,1_000,2,3\n", []string{"--m4"}, `series "H1": value 1: "1_000" is no number`},
		{"m4 twice", "H1,1,2,3\nH1,1,2,3\n", []string{"--m4"}, `series "H1" stands on line 1 already`},
		{"m4 short", "H1,1,2\n", []string{"--m4"}, "2 values; want at least 3"},
		{"m4 and a column", "H1,1,2,3\n", []string{"--m4", "--column", "n"}, "--column: goes without --m4"},
		{"m4 interval of all", "H1,1,2,3\n", []string{"--m4", "--interval", "1"}, "--interval: 1 is not within (0, 1)"},
		{"a range of a file", wavy(50), []string{"--start", "1h"}, "--start and --end: go with a server's history"},
		{"a query of nobody", wavy(50), []string{"--query", "up"}, "--query: goes with --prometheus"},
		{"no value at all", "t_s,requests\n0,\n60,NaN\n", nil, "2 rows, and the requests is missing in all of them"},
		{"nothing known yet", "t_s,requests\n0,\n60,2\n120,3\n", []string{"--rolling"}, "nothing is known up to origin 0; want origins from row 1 on"},
		{"nothing to score", "t_s,requests\n0,5\n" + strings.Repeat("#,0\n", 99), []string{"--score"}, "from row 49 on, where forecasts are scored, nothing came"},
		{"half the step", wavy(50), []string{"--step", "30s"}, "rows are 1m0s apart at least, and the step is said to be 30s"},
		{"too short to score", wavy(20), []string{"--score"}, "20 rows; --score wants at least 70"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i := 1; strings.Contains(tt.file, "#"); i++ { // stands for the next time
				tt.file = strings.Replace(tt.file, "#", strconv.Itoa(60*i), 1)
			}
			path := writeInput(t, "in.csv", tt.file)
			stdout, _, err := forecastOf(append(tt.args, path)...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got error %v, want one with %q", err, tt.want)
			}
			if command.ExitCode(err) != 2 {
				t.Errorf("exit code %d, want 2", command.ExitCode(err))
			}
			if stdout != "" {
				t.Errorf("half printed: %q", stdout)
			}
		})
	}
	if _, _, err := forecastOf(filepath.Join(t.TempDir(), "none.csv")); command.ExitCode(err) != 2 {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestAColumnThatNobodyNamed: of several the one after the time is read, which may not be the one that was meant.
func TestAColumnThatNobodyNamed(t *testing.T) {
	path := writeInput(t, "in.csv", "day,hour,requests\n2026-02-01,1,5\n2026-02-02,1,6\n")
	_, stderr, err := forecastOf(path)
	if want := path + ": of 2 columns hour is read; --column names another"; err != nil || !strings.Contains(stderr, want) {
		t.Errorf("%q, error %v; want %q", stderr, err, want)
	}
	if _, stderr, err = forecastOf(path, "--column", "requests"); err != nil || strings.Contains(stderr, "column") {
		t.Errorf("where it is named: %q, error %v", stderr, err)
	}
}

// TestScoreOfStepsLongerThanADay: the season that is assumed where none is stated has less than a step.
func TestScoreOfStepsLongerThanADay(t *testing.T) {
	var weeks strings.Builder
	weeks.WriteString("t_s,requests\n")
	for i := range 100 {
		fmt.Fprintf(&weeks, "%d,%d\n", 7*86400*i, 100+i%5)
	}
	if stdout, _, err := forecastOf(writeInput(t, "in.csv", weeks.String()), "--score"); err != nil || !strings.Contains(stdout, "season ago") {
		t.Errorf("%s, error %v", stdout, err)
	}
}

func TestBadOriginsFile(t *testing.T) {
	path := writeInput(t, "in.csv", wavy(50))
	for _, tt := range []struct{ text, want string }{
		{"", "no origins"},
		{"10\nx\n", `line 2: "x" is no row index`},
		{"10\n50\n", "line 2: origin 50 is not in"},
		{"10\n10\n", "line 2: origin 10 does not rise above 10"},
	} {
		stdout, _, err := forecastOf(path, "--rolling", "--origins", writeInput(t, "origins", tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) || stdout != "" {
			t.Errorf("origins %q: got %v and %q, want %q", tt.text, err, stdout, tt.want)
		}
	}
}

func TestRollingDependsOnThePastAlone(t *testing.T) {
	long := writeInput(t, "long.csv", wavy(400))
	short := writeInput(t, "short.csv", wavy(301))
	origins := writeInput(t, "origins", "100\n250\n300\n")
	one, _, err := forecastOf(long, "--rolling", "--origins", origins, "--horizon", "4", "--season", "48")
	if err != nil {
		t.Fatal(err)
	}
	two, _, err := forecastOf(short, "--rolling", "--origins", origins, "--horizon", "4", "--season", "48")
	if err != nil {
		t.Fatal(err)
	}
	if one != two {
		t.Error("cutting the file after the last origin changed the forecasts")
	}
	lines := strings.Split(strings.TrimSpace(one), "\n")
	if lines[0] != "origin,step,q0.5,q0.9,q0.95,q0.99" {
		t.Errorf("header %q", lines[0])
	}
	if len(lines) != 1+3*5 {
		t.Fatalf("%d lines, want a header and 3 origins of 4 steps and a maximum", len(lines))
	}
	if !strings.HasPrefix(lines[5], "100,max,") || !strings.HasPrefix(lines[1], "100,1,") {
		t.Errorf("first origin: %q … %q", lines[1], lines[5])
	}
	end, _, err := forecastOf(short, "--horizon", "4", "--season", "48")
	if err != nil {
		t.Fatal(err)
	}
	fromEnd := strings.Split(strings.Split(strings.TrimSpace(end), "\n")[1], ",")[2:]
	if got := strings.Split(lines[11], ",")[2:]; strings.Join(got, ",") != strings.Join(fromEnd, ",") {
		t.Errorf("from the end %v, rolling at the last row %v", fromEnd, got)
	}
}

// TestCuttingAfterAnOriginChangesNothing: also where the step is found from the rows, and those that are cut off are of another
// distance, or jitter, and would have it found otherwise.
func TestCuttingAfterAnOriginChangesNothing(t *testing.T) {
	sparse := wavy(61) // then ten times as far apart
	jitter := wavy(61)
	for i := 61; i < 300; i++ {
		sparse += fmt.Sprintf("%d,%d\n", 3600+600*(i-60), 90+i%7)
		jitter += fmt.Sprintf("%.1f,%d\n", 60*float64(i)+0.1*float64(i%3), 90+i%7)
	}
	for name, whole := range map[string]string{"sparse": sparse, "jitter": jitter} {
		rows := strings.SplitAfter(whole, "\n")
		for _, origin := range []int{1, 20, 60} {
			at := writeInput(t, "origins", fmt.Sprintln(origin))
			one, _, err := forecastOf(writeInput(t, "whole.csv", whole), "--origins", at, "--horizon", "3")
			if err != nil {
				t.Fatalf("%s, origin %d: %v", name, origin, err)
			}
			two, _, err := forecastOf(writeInput(t, "cut.csv", strings.Join(rows[:origin+2], "")), "--origins", at, "--horizon", "3")
			if err != nil {
				t.Fatalf("%s, cut after origin %d: %v", name, origin, err)
			}
			if one != two {
				t.Errorf("%s: cutting after origin %d changed the forecasts", name, origin)
			}
		}
	}
}

// TestEveryReaderRefusesMixedSteps: and tells what can be done there.
func TestEveryReaderRefusesMixedSteps(t *testing.T) {
	mixed := writeInput(t, "mixed.csv", "t_s,requests\n0,1\n60,2\n90,3\n")
	policy := writeInput(t, "policy.yaml", "kafka: {group: g, topics: [t]}\nreplicas: {min: 1, max: 4}\nobjective: {lagSeconds: 30}\n")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"forecast", mixed, "--score"}, "(--step)"},
		{[]string{"forecast", mixed, "--rolling", "--from", "2"}, "(--step)"},
		{[]string{"backtest", "--input", mixed, "--capacity", "1"}, "(--step)"},
		{[]string{"decide", "--policy", policy, "--history", mixed}, "resample the file"},
		{[]string{"explain", "--policy", policy, "--observations", mixed, "--history", mixed}, "resample the file"},
	} {
		var stdout bytes.Buffer
		err := run(context.Background(), tt.args, &stdout, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "mixed.csv: line 4 (row 2): 30s after") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want the row and %q", tt.args[:2], err, tt.want)
		}
		if command.ExitCode(err) != 2 || stdout.Len() > 0 {
			t.Errorf("%v: exit code %d, printed %q", tt.args[:2], command.ExitCode(err), stdout.String())
		}
	}
}

func TestM4LinesHoldPointsThenBounds(t *testing.T) {
	var b strings.Builder
	b.WriteString("H1")
	for i := range 200 {
		fmt.Fprintf(&b, ",%.3f", 50+20*math.Sin(2*math.Pi*float64(i)/24))
	}
	out, _, err := forecastOf("--m4", writeInput(t, "train.csv", b.String()+"\n"), "--horizon", "12", "--season", "24", "--interval", "0.95")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Split(strings.TrimSpace(out), ",")
	if len(fields) != 1+3*12 || fields[0] != "H1" {
		t.Fatalf("%d fields, first %q; want id, 12 points, 12 lower and 12 upper bounds", len(fields), fields[0])
	}
	number := func(i int) float64 {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for k := 1; k <= 12; k++ {
		want := 50 + 20*math.Sin(2*math.Pi*float64(199+k)/24)
		if math.Abs(number(k)-want) > 2 {
			t.Errorf("step %d of a pure wave: got %v, want %v", k, number(k), want)
		}
		if number(12+k) > number(k) || number(24+k) < number(k) {
			t.Errorf("step %d: %v is not within %v to %v", k, number(k), number(12+k), number(24+k))
		}
	}
}

// TestM4KeepsTheOrderOfTheFile: whichever series is done first.
func TestM4KeepsTheOrderOfTheFile(t *testing.T) {
	var b strings.Builder
	for i := range 60 {
		fmt.Fprintf(&b, "H%d", i)
		for k := range 20 + 400*(i%2) {
			fmt.Fprintf(&b, ",%d", 100+i+(k*7919+i)%13)
		}
		b.WriteString("\n")
	}
	file := writeInput(t, "train.csv", b.String())
	out, progress, err := forecastOf("--m4", file, "--horizon", "2")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if !strings.HasPrefix(line, fmt.Sprintf("H%d,", i)) {
			t.Fatalf("line %d is %.20q", i+1, line)
		}
	}
	if again, _, err := forecastOf("--m4", file, "--horizon", "2"); err != nil || again != out {
		t.Errorf("another run wrote something else (error %v)", err)
	}
	if !strings.HasSuffix(progress, "\nseries 60 of 60 (100 %)\n") {
		t.Errorf("progress ended with %q", progress[max(0, len(progress)-40):])
	}
}

// TestAnInterruptPrintsNothing in any mode.
func TestAnInterruptPrintsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	rows, series := writeInput(t, "in.csv", wavy(400)), writeInput(t, "train.csv", "H1,1,2,3,4\n")
	for _, args := range [][]string{
		{"forecast", rows}, {"forecast", rows, "--rolling"}, {"forecast", rows, "--score"}, {"forecast", "--m4", series},
		{"backtest", "--input", rows},
	} {
		var out bytes.Buffer
		if err := run(ctx, args, &out, io.Discard); !errors.Is(err, context.Canceled) || out.Len() > 0 {
			t.Errorf("%v: error %v, printed %q", args, err, out.String())
		}
	}
}

func TestOutputsAndScore(t *testing.T) {
	path := writeInput(t, "in.csv", wavy(400))
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"-o", "json", "--horizon", "2"}, []string{`"samples": 400`, `"0.95"`, `"warm": true`}},
		{[]string{"-o", "html", "--horizon", "2"}, []string{"<svg", "the next 2m in steps of 1m", "quantile 0.99", ">q0.9 ", ">max ", "</html>"}},
		{[]string{"-o", "html", "--horizon", "1", "--quantiles", "0.9"}, []string{"<svg", "the next 1m in steps of 1m", "quantile 0.9"}},
		{[]string{"--score", "--season", "48"}, []string{"last value", "season ago", "origins from row 199 of 400"}},
	} {
		out, _, err := forecastOf(append(tt.args, path)...)
		if err != nil {
			t.Fatalf("%v: %v", tt.args, err)
		}
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("%v: no %q in %.300s", tt.args, want, out)
			}
		}
		if strings.Contains(out, "NaN") || strings.Contains(out, "Inf") {
			t.Errorf("%v: a number that is none in %.300s", tt.args, out)
		}
		if strings.Contains(out, "http://") || strings.Contains(out, "https://") {
			t.Errorf("%v: the output refers elsewhere", tt.args)
		}
	}
}

// TestMarksOfTimeAreRoundAndFew: whatever the span that is drawn.
func TestMarksOfTimeAreRoundAndFew(t *testing.T) {
	for span := 3 * time.Second; span < 100*365*24*time.Hour; span += span / 4 {
		if every := tickEvery(span); span/every > fanTicks || span/every < 1 {
			t.Errorf("of %v a mark every %v", span, every)
		}
	}
}

// TestForecastNamesStandApart: what stands beside the fan is in the drawing, and no line is on another, also where all quantiles are at
// the upper edge. Times since 1970 are shown as such.
func TestForecastNamesStandApart(t *testing.T) {
	var file strings.Builder
	file.WriteString("t_s,requests\n")
	for i := range 100 {
		fmt.Fprintf(&file, "%d,%d\n", 1700000000+60*i, 1000+i%3)
	}
	stdout, _, err := forecastOf("-o", "html", "--horizon", "5", writeInput(t, "in.csv", file.String()))
	if err != nil {
		t.Fatal(err)
	}
	above := 0.0
	names := regexp.MustCompile(`<text x="846" y="([0-9.]+)">((?:q0.5|q0.9|q0.95|q0.99|max) [^<]*)<`).FindAllStringSubmatch(stdout, -1)
	for _, name := range names {
		y, err := strconv.ParseFloat(name[1], 64)
		if err != nil || y < above+letterHeight || y > fanHeight {
			t.Errorf("%s stands at %s, want it %v under %v, and in the drawing", name[2], name[1], letterHeight, above)
		}
		above = y
	}
	if len(names) != 5 || !strings.Contains(stdout, ">23:40<") {
		t.Errorf("want five names and times of day, got %q", names)
	}
}

// TestForecastPageShowsNamesAsTheyAre: what a file calls its column is no markup.
func TestForecastPageShowsNamesAsTheyAre(t *testing.T) {
	stdout, _, err := forecastOf("-o", "html", writeInput(t, "in.csv", strings.Replace(wavy(50), "requests", "<b>&x", 1)))
	if err != nil || !strings.Contains(stdout, "<h1>&lt;b&gt;&amp;x, the next") || strings.Contains(stdout, "<b>") {
		t.Errorf("got %v and %.900s", err, stdout)
	}
}

// TestForecastNumbersFit: however high or low a series is, what stands beside the fan fits there, and zero is written as such.
func TestForecastNumbersFit(t *testing.T) {
	text := regexp.MustCompile(`<text ([^>]*)>([^<]*)<`)
	for _, scale := range []float64{1.234e9, 1.234e5, 9999.9, 1, 1.234e-6, 0} {
		var file strings.Builder
		file.WriteString("t_s,requests\n")
		for i := range 3000 {
			fmt.Fprintf(&file, "%d,%g\n", 60*i, scale*float64(1+i%3))
		}
		stdout, _, err := forecastOf("-o", "html", writeInput(t, "in.csv", file.String()))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range text.FindAllStringSubmatch(stdout, -1) {
			room := fanRight - 6
			switch {
			case strings.Contains(found[1], "middle"):
				continue
			case strings.Contains(found[1], "end"):
				room = fanLeft - 8
			}
			if b := textBox(found[2], 0, 0, false); b.x1 > room {
				t.Errorf("at %g %q is %.0f wide, and there is room for %.0f", scale, found[2], b.x1, room)
			}
		}
		if scale == 0 && (strings.Contains(stdout, ">0.000<") || !strings.Contains(stdout, ">max 0<")) {
			t.Errorf("zero is not written as 0")
		}
		if !strings.Contains(stdout, "up to 179940\u00a0s<") {
			t.Errorf("times that are seconds have no unit")
		}
	}
}

func TestNumbersBesideAnAxisAreShort(t *testing.T) {
	for _, tt := range []struct {
		value float64
		want  string
	}{
		{0, "0"}, {0.25, "0.25"}, {1.5e-6, "1.5e-06"}, {1326.91, "1327"}, {9999.4, "9999"}, {9999.9, "10 k"}, {250e3, "250 k"},
		{999960, "1 M"}, {1.326912e9, "1.327 G"}, {2e12, "2000 G"},
	} {
		if got := tickText(tt.value); got != tt.want {
			t.Errorf("%g is written as %q, want %q", tt.value, got, tt.want)
		}
	}
}

func TestSpansAreWrittenShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Minute: "1m", 90 * time.Second: "1m30s", 24 * time.Hour: "24h", 720 * time.Hour: "30 days", 50 * time.Hour: "50h",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v is written as %q, want %q", d, got, want)
		}
	}
}

// TestScoreSaysWhatNaiveMethodsDoBetter: a verdict that says "as well" of a method that does better would mislead, and where no window
// is whole there is no loss of its maximum.
func TestScoreSaysWhatNaiveMethodsDoBetter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var noise, gaps strings.Builder
	noise.WriteString("t_s,requests\n")
	gaps.WriteString("t_s,requests\n")
	for i := range 150 {
		fmt.Fprintf(&noise, "%d,%.0f\n", 60*i, 1000*random.Float64())
		fmt.Fprintf(&gaps, "%d,%s\n", 60*i, []string{"", "5", "7"}[i%3])
	}
	for _, tt := range []struct{ name, file, want, not string }{
		{"better", noise.String(), "Forecasting is not worth it here: mean of 10 has ", "as well"},
		{"no whole window", gaps.String(), " -  ", "NaN"},
	} {
		stdout, _, err := forecastOf(writeInput(t, "in.csv", tt.file), "--score")
		if err != nil || !strings.Contains(stdout, tt.want) || strings.Contains(stdout, tt.not) {
			t.Errorf("%s: %v, want %q and no %q in\n%s", tt.name, err, tt.want, tt.not, stdout)
		}
	}
}
