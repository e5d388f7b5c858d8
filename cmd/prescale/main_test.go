package main

import (
	"bytes"
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

func TestUnknownFlagsAndMissingFilesAreTheUsersMistake(t *testing.T) {
	for _, args := range [][]string{{"check", "--nope"}, {"check", "--config", "nope.yaml"}, {"check"}, {"nope"}} {
		var out bytes.Buffer
		if code := command.ExitCode(run(t.Context(), args, &out, &out)); code != 2 {
			t.Errorf("%v: exit code %d, want 2", args, code)
		}
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
		_, examples, ok := strings.Cut(help[strings.Index(help, "\nFlags:"):], "\nExamples:\n")
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
