package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
