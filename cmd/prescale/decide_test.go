package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prescale/prescale/cmd/internal/command"
)

// writeFile puts a file into the test's own directory.
func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const testPolicy = `
kafka: {group: orders}
objective: {lagSeconds: 30}
replicas: {max: 48}
`

// decide runs the command over lines and returns its answers.
func decide(t testing.TB, policy string, lines []string, more ...string) (answers []map[string]any, stderr string, err error) {
	t.Helper()
	path := writeFile(t, "policy.yaml", policy)
	c := newDecideCommand()
	c.SilenceErrors, c.SilenceUsage = true, true
	var out, errs bytes.Buffer
	c.SetArgs(append([]string{"--policy", path}, more...))
	c.SetIn(strings.NewReader(strings.Join(lines, "\n")))
	c.SetOut(&out)
	c.SetErr(&errs)
	err = c.Execute()
	for line := range strings.Lines(out.String()) {
		var a map[string]any
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("answer %q: %v", line, err)
		}
		answers = append(answers, a)
	}
	return answers, errs.String(), err
}

func tick(i int, rate float64, ready int) string {
	return fmt.Sprintf(`{"t": %d, "intervalSeconds": 15, "arrivalRecords": %g, "consumedRecords": %g, "lagRecords": 0, "lagSeconds": 0, "readyReplicas": %d, "partitions": 48, "busyRatio": %g}`,
		15*i, 15*rate, 15*rate, ready, rate/(100*float64(ready)))
}

func TestDecideFindsTheCount(t *testing.T) {
	var lines []string
	for i := 1; i <= 200; i++ {
		lines = append(lines, tick(i, 700, 20))
	}
	answers, _, err := decide(t, testPolicy, lines)
	if err != nil {
		t.Fatal(err)
	}
	if len(answers) != len(lines) {
		t.Fatalf("%d answers to %d lines", len(answers), len(lines))
	}
	last := answers[len(answers)-1]
	// 700 records/s at 100 a replica: 8 is the least useful count that does it; 16 would be a waste.
	if n := last["desiredReplicas"].(float64); n < 8 || n > 12 {
		t.Errorf("got %v, want 8 to 12", last)
	}
	if c := last["capacityPerReplica"].(float64); c < 99 || c > 101 {
		t.Errorf("capacity: got %v, want 100", c)
	}
	if last["t"].(float64) != 3000 {
		t.Errorf("t: got %v, want 3000", last["t"])
	}
}

func TestDecideAnswersEveryLine(t *testing.T) {
	lines := []string{
		tick(1, 700, 8), tick(2, 700, 8),
		``, `{`, `[1]`, `null`, `{"t": "x"}`, `{"lagRecords": -1}`, `{"t": 1e300}`, `{"partitionLagRecords": 3}`, `{"rebalancing": 1}`,
		`{"pools": [{"readyReplicas": 1}]}`, `{"pools": [{"name": "gpu", "consumedRecords": -1}]}`,
		`{"arrivalRecords": 1e400}`, `{"intervalSeconds": 1e14}`, "\x00\xff", `{"readyReplicas": 4.5}`, `{"pools": [{"name": "gpu", "startingReplicas": 0.5}]}`,
		`{}`, `{"t": null, "arrivalRecords": null, "partitionLagRecords": [null, 1], "startupSeconds": [null, 60]}`,
		`{"t": 0}`, `{"t": -5, "arrivalRecords": 3}`, tick(3, 700, 8), tick(3, 700, 8), tick(1, 700, 8),
	}
	const malformed = 16
	answers, stderr, err := decide(t, testPolicy, lines)
	if len(answers) != len(lines) {
		t.Fatalf("%d answers to %d lines", len(answers), len(lines))
	}
	if command.ExitCode(err) != 1 {
		t.Errorf("exit code: got %d (%v), want 1", command.ExitCode(err), err)
	}
	bad := 0
	for i, a := range answers {
		if _, ok := a["error"]; ok {
			bad++
			if !strings.Contains(stderr, fmt.Sprintf("line %d:", i+1)) {
				t.Errorf("line %d: not reported on stderr", i+1)
			}
		}
		if n, ok := a["desiredReplicas"].(float64); !ok || n < 1 || n > 48 {
			t.Errorf("line %d: got %v", i+1, a)
		}
	}
	if bad != malformed {
		t.Errorf("%d errors, want %d", bad, malformed)
	}
}

// A clock that is set back by ten ticks: nothing is learned until it is where it was, which each answer says until then, and stderr once.
func TestDecideSaysThatAClockWasSetBack(t *testing.T) {
	var lines []string
	for i := 1; i <= 40; i++ {
		lines = append(lines, tick(i, 700, 8))
	}
	for i := 31; i <= 45; i++ {
		lines = append(lines, tick(i, 700, 8))
	}
	answers, stderr, err := decide(t, testPolicy, lines)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range answers {
		stale := strings.Contains(fmt.Sprint(a["verdicts"]), "Stale")
		if want := i >= 40 && a["t"].(float64) < 600; stale != want || a["reason"] == "Stale" {
			t.Errorf("line %d, t %v: got %v for %v, want a verdict: %v", i+1, a["t"], a["verdicts"], a["reason"], want)
		}
	}
	if strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "line 41: t: 465 is before 600") {
		t.Errorf("said %q", stderr)
	}
}

// A line whose time was there already is answered, teaches nothing, and is spoken of once.
func TestDecideSaysThatATimeIsThereTwice(t *testing.T) {
	lines := []string{tick(1, 700, 8), tick(2, 700, 8), tick(2, 790, 8), tick(2, 790, 8), tick(3, 700, 8)}
	answers, stderr, err := decide(t, testPolicy, lines)
	if err != nil || len(answers) != len(lines) {
		t.Fatalf("%d answers to %d lines: %v", len(answers), len(lines), err)
	}
	once, _, _ := decide(t, testPolicy, []string{lines[0], lines[1], lines[4]})
	if got, want := fmt.Sprint(answers[4]), fmt.Sprint(once[2]); got != want {
		t.Errorf("after a time that was there twice: got %s, want %s", got, want)
	}
	if strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "line 3: t: 30 is that of the line before") {
		t.Errorf("said %q", stderr)
	}
}

func TestDecideDependsOnTheInputAlone(t *testing.T) {
	var lines []string
	for i := 1; i <= 150; i++ {
		lines = append(lines, tick(i, 500+float64(i*i%300), 8))
	}
	a, _, _ := decide(t, testPolicy, lines)
	b, _, _ := decide(t, testPolicy, lines)
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if !bytes.Equal(x, y) {
		t.Error("two runs over the same input differ")
	}
}

func TestDecideSaysThatAHistoryIsMoved(t *testing.T) {
	// Twenty rows of 15 s end at 300 s, and the first line begins at 60 s.
	rows := "t,records\n"
	for i := range 20 {
		rows += fmt.Sprintf("%d,%d\n", 15*i, 10500)
	}
	_, stderr, err := decide(t, testPolicy, []string{tick(5, 700, 8)}, "--history", writeFile(t, "history.csv", rows))
	if err != nil || !strings.Contains(stderr, "--history ends 240 s after this line begins") {
		t.Errorf("error %v, stderr %q: want it to say that the history ends 240 s late", err, stderr)
	}
}

func TestDecideWarmsUpFromHistory(t *testing.T) {
	var csv strings.Builder
	csv.WriteString("t,records\n")
	for i := range 600 {
		fmt.Fprintf(&csv, "%d,%d\n", 15*i, 10500)
	}
	history := writeFile(t, "history.csv", csv.String())
	answers, stderr, err := decide(t, testPolicy, []string{tick(601, 700, 8), tick(602, 700, 8), tick(603, 700, 8), tick(604, 700, 8), tick(605, 700, 8)}, "--history", history)
	if err != nil || stderr != "" {
		t.Fatalf("error %v, stderr %q", err, stderr)
	}
	if f := answers[4]["arrivalForecast"]; f == nil {
		t.Errorf("after a history: no forecast: %v", answers[4])
	}
	for _, v := range answers[4]["verdicts"].([]any) {
		if v == "ForecastUntrusted" {
			t.Errorf("got %v", answers[4])
		}
	}
}

func TestDecideRefusesBadPolicies(t *testing.T) {
	for _, tt := range []struct{ policy, want string }{
		{"", "empty"},
		{"kafka: {group: g}\nreplica: {max: 3}\n", "replica"},
		{"kafka: {group: g}\nreplicas: {max: 3}\n", "objective.lagSeconds: is missing"},
		{"kafka: {group: g}\nobjective: {lagSeconds: 30}\n", "replicas.max: is missing"},
		{"kafka: {group: g}\nobjective: {lagSeconds: -1}\nreplicas: {max: 3}\n", "objective.lagSeconds"},
		{"kafka: {group: g}\nobjective: {lagSeconds: 30}\nreplicas: {max: 0}\n", "replicas.max"},
		{"kafka: {group: g}\nobjective: {lagSeconds: soon}\nreplicas: {max: 3}\n", "objective.lagSeconds"},
	} {
		_, _, err := decide(t, tt.policy, nil)
		if command.ExitCode(err) != 2 || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v with exit code %d, want one that names %q, and 2", tt.policy, err, command.ExitCode(err), tt.want)
		}
	}
	if err := newDecideCommand().Execute(); command.ExitCode(err) == 0 {
		t.Error("without --policy: no error")
	}
}

func FuzzDecideLine(f *testing.F) {
	f.Add([]byte(tick(1, 700, 8)))
	f.Add([]byte(`{"t":1,"pools":[{"name":"gpu"}]}`))
	f.Add([]byte(`{"partitionLagRecords":[1,null,3],"partitions":0}`))
	path := writeFile(f, "policy.yaml", testPolicy)
	f.Fuzz(func(t *testing.T, line []byte) {
		p, config, err := readPolicy(path)
		if err != nil {
			t.Fatal(err)
		}
		d := &deciding{policy: p, config: config, stderr: &bytes.Buffer{}}
		var out bytes.Buffer
		_ = d.run(t.Context(), bytes.NewReader(append(line, '\n')), &out)
		if out.Len() == 0 {
			t.Error("silence")
		}
	})
}

// TestDecideAnswersBeforeTheNextLine is how a partner in a pipe works: it writes a line, and waits.
func TestDecideAnswersBeforeTheNextLine(t *testing.T) {
	p, config, err := readPolicy(writeFile(t, "policy.yaml", testPolicy))
	if err != nil {
		t.Fatal(err)
	}
	in, lines := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		d := &deciding{policy: p, config: config, stderr: io.Discard}
		err := d.run(t.Context(), in, out)
		out.Close()
		done <- err
	}()
	reader := bufio.NewReader(answers)
	for i, line := range []string{tick(1, 700, 8), "nonsense", tick(2, 700, 8)} {
		if _, err := io.WriteString(lines, line+"\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := reader.ReadString('\n')
		if err != nil || strings.Contains(answer, `"error"`) != (i == 1) || !strings.Contains(answer, `"desiredReplicas":8`) {
			t.Fatalf("line %d: got %q, %v", i+1, answer, err)
		}
	}
	lines.Close()
	if err := <-done; command.ExitCode(err) != 1 {
		t.Errorf("got %v, want an error with exit code 1 for the line that could not be read", err)
	}
}

// TestDecideEndsWhileItWaits for a line that never comes.
func TestDecideEndsWhileItWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in, write := io.Pipe()
	defer write.Close()
	p, config, err := readPolicy(writeFile(t, "policy.yaml", testPolicy))
	if err != nil {
		t.Fatal(err)
	}
	out, answers := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- (&deciding{policy: p, config: config, stderr: io.Discard}).run(ctx, in, answers)
	}()
	fmt.Fprintln(write, tick(0, 100, 2))
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// TestDecideHeedsWhatItIsTold gives keys that change the answer.
func TestDecideHeedsWhatItIsTold(t *testing.T) {
	last := func(policy string, from int, more, after string) map[string]any {
		t.Helper()
		var lines []string
		for i := 1; i <= 200; i++ {
			line := tick(i, 700, 16)
			if i > from {
				line = tick(i, 400, 16)
				line = strings.TrimSuffix(line, "}") + ", " + after + "}"
			} else {
				line = strings.TrimSuffix(line, "}") + ", " + more + "}"
			}
			lines = append(lines, line)
		}
		answers, _, err := decide(t, policy, lines)
		if err != nil {
			t.Fatal(err)
		}
		return answers[len(answers)-1]
	}
	desired := func(a map[string]any) float64 { return a["desiredReplicas"].(float64) }
	const nothing = `"rebalancing": null`
	slow := strings.Replace(testPolicy, "lagSeconds: 30", "lagSeconds: 30, latencySeconds: 0.2", 1)
	if kept, missed := desired(last(slow, 200, `"latencySeconds": 0.05`, "")), desired(last(slow, 200, `"latencySeconds": 0.5`, "")); missed <= kept {
		t.Errorf("latency: %v replicas where it is kept, %v where it is missed: want more", kept, missed)
	}
	if calm, busy := desired(last(testPolicy, 198, nothing, nothing)), desired(last(testPolicy, 198, nothing, `"rebalancing": true`)); busy < calm || busy != 16 {
		t.Errorf("rebalancing: %v replicas, %v else: want the 16 that there are", busy, calm)
	}
	if got := last(testPolicy, 200, `"startupSeconds": [200]`, "")["leadTimeSeconds"]; got != 200.0 {
		t.Errorf("start-ups of 200 s: the lead time is %v", got)
	}
	sized := testPolicy + "vertical: Recommend\n"
	if got, ok := last(sized, 100, `"replicaCpuCores": 1`, `"replicaCpuCores": 2`)["size"].(map[string]any); !ok || got["name"] != "cpu 1" {
		// The lines say 100 records a second of either, so one core costs half.
		t.Errorf("sizes: got %v, want cpu 1", got)
	}
	pools := testPolicy + "pools: [{name: gpu, max: 4, price: 3}, {name: cpu, max: 40, price: 1}]\n"
	split, _ := last(pools, 200, `"pools": [{"name": "gpu", "readyReplicas": 1, "consumedRecords": 6000, "busyRatio": 0.5}, {"name": "cpu", "readyReplicas": 15, "consumedRecords": 4500, "busyRatio": 0.2}]`, "")["pools"].([]any)
	if len(split) != 2 || split[0].(map[string]any)["capacityPerReplica"] != 800.0 || split[1].(map[string]any)["capacityPerReplica"] != 100.0 || split[0].(map[string]any)["desiredReplicas"] != 1.0 {
		t.Errorf("pools: got %v, want one GPU replica of 800 records/s, and CPU replicas of 100", split)
	}
}

func TestDecideSaysWhichKeysItDoesNotKnow(t *testing.T) {
	line := `{"t": 15, "ReadyReplicas": 3, "readyReplica": 3, "extra": {"a": 1}}`
	answers, stderr, err := decide(t, testPolicy, []string{"\ufeff" + line, strings.Replace(line, "15", "30", 1)}) // an editor's mark before the first is none of it
	if err != nil || len(answers) != 2 {
		t.Fatalf("%d answers, %v, %s", len(answers), err, stderr)
	}
	if strings.Count(stderr, "\n") != 2 || !strings.Contains(stderr, `"extra"`) || !strings.Contains(stderr, `"readyReplica"`) {
		t.Errorf("stderr: got %q, want the two unknown keys, once", stderr)
	}
}

// TestDecideInWork: from a line on the same records are twice the work, which is known only where it is told.
func TestDecideInWork(t *testing.T) {
	policy := testPolicy + "sources: {prometheus: {urls: ['http://a:1/metrics'], workCounter: tokens_total, recordsCounter: requests_total}}\n"
	var records, work []string
	for i := 1; i <= 100; i++ {
		line := tick(i, 700, 8)
		heavy := 40
		if i > 90 {
			heavy = 80
		}
		records = append(records, line)
		work = append(work, strings.Replace(line, "{", fmt.Sprintf(`{"arrivalWork": %d, `, 700*15*heavy), 1))
	}
	inRecords, stderr, err := decide(t, policy, records)
	if err != nil || !strings.Contains(stderr, "line 1: has no arrivalWork, in which the policy reckons (tokens_total)") {
		t.Fatalf("in records: %v, %s", err, stderr)
	}
	inWork, stderr, err := decide(t, policy, work)
	if err != nil || stderr != "" {
		t.Fatalf("in work: %v, %s", err, stderr)
	}
	if a, b := inRecords[89]["desiredReplicas"].(float64), inWork[89]["desiredReplicas"].(float64); a != b {
		t.Errorf("the same records: %v replicas in records, %v in work", a, b)
	}
	if a, b := inRecords[93]["desiredReplicas"].(float64), inWork[93]["desiredReplicas"].(float64); b < a+4 {
		t.Errorf("of twice the work: %v replicas in records, %v in work, want some more", a, b)
	}
}

// TestDecideWithAnyKeyMissing takes the keys out one at a time, and gives them as null, which must be the same. Nine replicas do
// the work of seven: whatever is missing, the answer must neither fall below the work nor run off. Where nobody counts the
// replicas, nothing tells the work of one here, since these lines do not follow the answers.
func TestDecideWithAnyKeyMissing(t *testing.T) {
	for _, key := range []string{
		"intervalSeconds", "arrivalRecords", "consumedRecords", "lagRecords", "lagSeconds", "readyReplicas", "partitions", "busyRatio",
	} {
		var without, null []string
		for i := 1; i <= 200; i++ {
			var facts map[string]any
			if err := json.Unmarshal([]byte(tick(i, 700, 9)), &facts); err != nil {
				t.Fatal(err)
			}
			facts[key] = nil
			b, _ := json.Marshal(facts)
			null = append(null, string(b))
			delete(facts, key)
			b, _ = json.Marshal(facts)
			without = append(without, string(b))
		}
		a, _, err := decide(t, testPolicy, without)
		b, _, errNull := decide(t, testPolicy, null)
		if err != nil || errNull != nil {
			t.Fatalf("%s: %v, %v", key, err, errNull)
		}
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		if !bytes.Equal(x, y) {
			t.Errorf("%s: missing and null are answered differently", key)
		}
		n := a[199]["desiredReplicas"].(float64)
		if lowest := map[bool]float64{false: 7, true: 1}[key == "readyReplicas"]; n < lowest || n > 24 {
			t.Errorf("without %s: got %v", key, a[199])
		}
	}
}

func TestDecideNamesTheKeyThatIsWrong(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{`{"t": 15, "arrivalRecords": "12"}`, `line 1: arrivalRecords: want a number or null, got "12"`},
		{`{"t": 15, "startupSeconds": [1, "x"]}`, `line 1: startupSeconds: want a number or null, got "x"`},
		{`{"t": 15, "pools": [3]}`, "line 1: pools: got a number: want keys and values"},
		{`{"t": 15,`, "line 1: not JSON"},
		{`{"t": "15"}`, "line 1: t: got a string: want a number, or null"},
		{`{"t": 15, "rebalancing": 1}`, "line 1: rebalancing: got a number: want true or false, or null"},
		{`{"t": 15, "partitionLagRecords": 3}`, "line 1: partitionLagRecords: got a number: want a list, or null"},
		{`hello`, `line 1: "hello": want a JSON object, which begins with {`},
		{`{"t": 15, "arrivalRecords": 3, "readyReplicas": 1, "busyRatio": 80}`, "line 1: busyRatio: 80 is no share"},
	} {
		_, stderr, _ := decide(t, testPolicy, []string{test.line})
		if !strings.Contains(stderr, test.want) {
			t.Errorf("%s: got %q, want %q", test.line, stderr, test.want)
		}
	}
}
