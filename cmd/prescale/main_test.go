package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/prescale/prescale/cmd/internal/command"
)

func TestCheckReportsEveryMistakeAndExitsWithTwo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "prescale.yaml")
	content := "log: 3\nclusters: {main: {brokers: [kafka]}}\nhttp: {listen: here, color: red}\n" +
		"policies: [{metadata: {name: a}, spec: {kafka: {group: g}, objective: {lagSeconds: 3}, replicas: {max: many}}}]\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), []string{"check", "--config", file}, &stdout, &stderr)
	if code := command.ExitCode(err); code != 2 {
		t.Errorf("exit code: got %d, want 2", code)
	}
	for _, path := range []string{"log:", "clusters.main.brokers[0]:", "http.listen:", "http.color:", "policies[0].spec.replicas.max:"} {
		if !strings.Contains(err.Error(), "\n"+path) {
			t.Errorf("no message for %s in:\n%v", path, err)
		}
	}
	if stdout.Len() != 0 {
		t.Errorf("printed %q on stdout", stdout.String())
	}
}

// TestTheUsersMistakes are told with the flag, its value and what is wanted, before anything is asked, tried or written.
func TestTheUsersMistakes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rows, empty := write("rows.csv", wavy(50)), write("empty.yaml", "")
	policy := write("policy.yaml", "kafka: {group: g, topics: [t]}\nreplicas: {min: 1, max: 4}\nobjective: {lagSeconds: 30}\n")
	ticks := write("ticks.jsonl", `{"t": 90, "intervalSeconds": 15, "arrivalRecords": 1}`+"\n")
	none := filepath.Join(dir, "none")
	broker := fake(t, "requests")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"nope"}, `unknown command "nope"`},
		{[]string{"check"}, "want --config FILE, --kubeconfig FILE or both"},
		{[]string{"check", "--nope"}, "unknown flag: --nope; prescale check --help lists the flags"},
		{[]string{"check", "more"}, `unexpected argument "more"; prescale check --help`},
		{[]string{"check", "--config", none}, none + ": no such file"},
		{[]string{"check", "--config", empty}, empty + ":\nclusters: none"},
		{[]string{"lag", "--config", empty}, empty + ":\nclusters: none"},
		{[]string{"lag"}, "--brokers, --config: want one of them"},
		{[]string{"lag", "--brokers", "a:1", "--cluster", "main"}, "--cluster: goes with --config"},
		{[]string{"load", "--topic", "t", "--brokers", "a"}, `--brokers[0]: "a": want host:port`},
		{[]string{"load", "--topic", "t", "--config", empty}, empty + ":\nclusters: none"},
		{[]string{"serve"}, "--config: is missing: want a configuration file"},
		{[]string{"replay", "--config", empty, "--from", "1h", "--to", "2h"}, "--from and --to: "},
		{[]string{"replay", "--config", empty, "--check", "--policy", "a/b"}, "--check: reads the whole log"},
		{[]string{"load", "--topic", "t", "--brokers", broker, "--cluster", "west"}, "--cluster: goes with --config"},
		{[]string{"forecast", rows, "more"}, `unexpected argument "more"; prescale forecast --help`},
		{[]string{"forecast", rows, "--step", "60"}, `--step: "60": want a number with its unit, such as 90s`},
		{[]string{"forecast", rows, "--step", "-60s"}, "--step: -1m0s is negative"},
		{[]string{"forecast", rows, "--horizon", "ten"}, `--horizon: "ten": want a whole number`},
		{[]string{"forecast", rows, "--quantiles", "half"}, `--quantiles: "half": want numbers with commas between`},
		{[]string{"forecast", rows, "--quantiles", "50,90"}, "--quantiles[0]: 50 is not within (0, 1)\n--quantiles[1]: 90"},
		{[]string{"forecast", rows, "--season", "9999999999999999"}, `--season: "9999999999999999" steps of 1m0s: too long`},
		{[]string{"backtest", "--input", rows, "--interval", "1ms"}, "--interval: 1ms: to see past a lead time takes 78006 of them, and 240 can be forecast"},
		{[]string{"forecast", "--prometheus", "prometheus:9090", "--query", "up"}, `--prometheus: "prometheus:9090": want a URL such as http://`},
		{[]string{"forecast", "--prometheus", "http://prometheus:9090"}, "--query: is missing: want PromQL"},
		{[]string{"forecast", "--from-kafka", empty}, "--name: is missing: want the policy"},
		{[]string{"forecast", "--from-kafka", empty, "--name", "orders"}, `--name: "orders": want the policy as namespace/name`},
		{[]string{"forecast", "--topic", "t", "--brokers", ""}, "--brokers: none: want at least one host:port"},
		{[]string{"forecast", rows, "--interval", "0.9"}, "--interval goes with --m4"},
		{[]string{"forecast", rows, "--m4", "--interval", "0"}, "--interval: 0 is not within (0, 1)"},
		{[]string{"backtest", "--input", rows, "--min", "50"}, "--min: 50: want at most --max, which is 48"},
		{[]string{"forecast", "--topic", "t", "--start", "1h", "--end", "2h"}, "which is not after its begin"},
		{[]string{"forecast", "--topic", "none", "--brokers", broker}, `--topic: "none": the cluster has no such topic`},
		{[]string{"backtest"}, "no history: name a CSV file"},
		{[]string{"backtest", "--input", rows, "--step", "-60s"}, "--step: -1m0s is negative"},
		{[]string{"backtest", "--input", rows, "--lead-time", "-1s"}, "--lead-time: -1s: want 0 or more"},
		{[]string{"backtest", "--input", rows, "--pause", "-1s"}, "--pause: -1s: want 0 or more"},
		{[]string{"backtest", "--input", rows, "--partitions", "0"}, "--partitions: 0: want from 1 to 200000"},
		{[]string{"backtest", "--input", rows, "--min", "10", "--max", "4"}, "--min: 10: want at most --max, which is 4"},
		{[]string{"backtest", "--input", rows, "--price", "-3"}, "--price: -3: want 0 or more"},
		{[]string{"backtest", "--input", rows, "--noise", "5"}, "--noise: 5: want a share from 0 to below 1"},
		{[]string{"backtest", "--input", rows, "--capacity", "NaN"}, "--capacity: NaN: want more than 0"},
		{[]string{"backtest", "--input", rows, "--capacity", "0", "--max", "0"}, "--capacity: 0: want more than 0"},
		{[]string{"backtest", "--input", rows, "--violation-ratio", "3", "--need", "0"}, "such as 0.001"},
		{[]string{"backtest", "--input", rows, "--assignor", "best"}, `--assignor: "best": want range`},
		{[]string{"backtest", "--input", rows, "--html", filepath.Join(none, "page.html")}, "--html: open " + none},
		{[]string{"backtest", "--input", rows, "--html", filepath.Dir(rows) + "/./" + filepath.Base(rows)}, "is read itself: want another file"},
		{[]string{"backtest", "--input", rows, "--policy", policy, "--html", policy}, "is read itself: want another file"},
		{[]string{"backtest", "--input", rows, "--html", "-"}, "--html: -: want a file's name"},
		{[]string{"backtest", "--input", rows, "--html", dir}, "--html: open " + dir + ": is a directory"},
		{[]string{"backtest", "--input", rows, "--capacity", "5", "--need", "3"}, "--need: goes without --capacity"},
		{[]string{"backtest", "--input", rows, "--node-lead-time", "5m"}, "--node-lead-time: want --node-replicas"},
		{[]string{"explain", "a/b", "--config", empty, "--policy", policy}, "go without NAMESPACE/NAME"},
		{[]string{"explain", "a/b", "--config", empty, "--server", "http://x"}, "--server: goes with NAMESPACE/NAME alone"},
		{[]string{"explain", "--policy", policy, "--observations", ticks, "--server", "http://x"}, "--server: goes with NAMESPACE/NAME alone"},
		{[]string{"explain"}, "want NAMESPACE/NAME of a daemon's policy, or --policy and --observations"},
		{[]string{"explain", "a/b", "--policy", policy}, "go without NAMESPACE/NAME"},
		{[]string{"explain", "a/b", "--server", "127.0.0.1:8080"}, `--server: "127.0.0.1:8080": want a URL`},
		{[]string{"explain", "--policy", policy, "--observations", ticks, "--at", "NaN"}, `--at: "NaN": want a number`},
		{[]string{"explain", "--policy", policy, "--observations", ticks, "--at", "1_000"}, `--at: "1_000": want a number`},
		{[]string{"explain", "--policy", policy, "--observations", ticks, "--at", "60"}, "its first observation is of t = 90; want --at then or later"},
		{[]string{"explain", "--policy", policy, "--observations", empty}, "empty; want one JSON object a line"},
	} {
		var out, errs bytes.Buffer
		err := run(t.Context(), tt.args, &out, &errs)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want %q", tt.args, err, tt.want)
		}
		if code := command.ExitCode(err); code != 2 {
			t.Errorf("%v: exit code %d, want 2", tt.args, code)
		}
		if out.Len() > 0 {
			t.Errorf("%v: printed %q", tt.args, out.String())
		}
	}
}

// TestAMistakeIsToldOfOnce: --min is not compared with a most that cannot be.
func TestAMistakeIsToldOfOnce(t *testing.T) {
	rows := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(rows, []byte("t,n\n0,1\n60,2\n120,3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--partitions", "--max"} {
		err := run(t.Context(), []string{"backtest", "--input", rows, flag, "0"}, io.Discard, io.Discard)
		if err == nil || strings.Count(err.Error(), "want") != 1 {
			t.Errorf("%s 0: got %v, want one mistake", flag, err)
		}
	}
}

// TestAServerThatDoesNotAnswerIsNoMistake: it exits with 1, whoever asks.
func TestAServerThatDoesNotAnswerIsNoMistake(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close() // and nothing listens at its address
	broker := strings.TrimPrefix(server.URL, "http://")
	for _, args := range [][]string{
		{"forecast", "--prometheus", server.URL, "--query", "up"},
		{"backtest", "--prometheus", server.URL, "--query", "up"},
		{"backtest", "--topic", "t", "--brokers", broker, "--start", "1h"},
		{"explain", "ai/inference", "--server", server.URL},
		{"lag", "--brokers", broker},
	} {
		var out bytes.Buffer
		err := run(t.Context(), args, &out, io.Discard)
		if command.ExitCode(err) != 1 || !strings.Contains(err.Error(), broker) || out.Len() > 0 {
			t.Errorf("%v: got %v and %q, want exit code 1 and the address", args, err, out.String())
		}
	}
}

// TestAReportThatCannotBeMadeLeavesNoFile: that it can be written is tried before the work.
func TestAReportThatCannotBeMadeLeavesNoFile(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.html")
	if err := run(t.Context(), []string{"backtest", "--input", "none.csv", "--html", page}, io.Discard, io.Discard); err == nil {
		t.Fatal("a history that is not there was read")
	}
	if _, err := os.Stat(page); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the report: %v, want none", err)
	}
}

// TestHelpIsReadableInATerminal: of every command, with a flag a line and examples at the end, none of which has a flag that is
// unknown.
func TestHelpIsReadableInATerminal(t *testing.T) {
	for _, c := range append(newRootCommand().Commands(), newRootCommand()) {
		var args []string
		if c.HasParent() {
			args = append(args, c.Name())
		}
		var out bytes.Buffer
		if err := run(t.Context(), append(args, "--help"), &out, &out); err != nil {
			t.Fatal(err)
		}
		help := out.String()
		for _, line := range strings.Split(help, "\n") {
			if n := utf8.RuneCountInString(line); n > 100 {
				t.Errorf("%v: %d characters: %s", args, n, line)
			}
		}
		_, flags, _ := strings.Cut(help, "\nFlags:\n")
		_, examples, ok := strings.Cut(flags, "\nExamples:\n")
		if !ok {
			t.Errorf("%v: no examples after the flags", args)
		}
		if c.HasParent() {
			for _, flag := range regexp.MustCompile(`--([a-z0-9-]+)`).FindAllStringSubmatch(examples, -1) {
				if c.Flags().Lookup(flag[1]) == nil {
					t.Errorf("%v: an example has --%s, which is unknown", args, flag[1])
				}
			}
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if name, usage := pflag.UnquoteUsage(f); f.Name != "help" && (usage == "" || strings.HasSuffix(usage, ".") || strings.Contains(name, "Slice")) {
				t.Errorf("%v: --%s %s: %q", args, f.Name, name, usage)
			}
		})
	}
}
