package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prescale/prescale/cmd/internal/command"
)

func TestBadFlagsAreToldBeforeAnythingRuns(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	taken := listener.Addr().String()
	late := filepath.Join(t.TempDir(), "late.csv")
	if err := os.WriteFile(late, []byte("t_s\n3600\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		want []string
	}{
		{"--speed fast", []string{"invalid value"}},
		{"--page x", []string{"-page", "demo -h lists the flags"}},
		{"--speed 0 -o xml --duration -1s", []string{"--speed: 0: want more than 0", `-o: "xml": want text or json`, "--duration: -1s"}},
		{"run", []string{`unexpected argument "run"`}},
		{"--trace missing.csv", []string{"--trace: open missing.csv"}},
		{"--addr " + taken, []string{"--addr:", "address already in use", "--addr 127.0.0.1:0"}},
		{"--duration 1s --trace " + late, []string{"--duration: 1s: the trace has no request in it"}},
	} {
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), strings.Fields(c.args), &stdout, &stderr)
		if command.ExitCode(err) != 2 {
			t.Errorf("%s: got exit code %d (%v), want 2", c.args, command.ExitCode(err), err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want it to say %q", c.args, err, want)
			}
		}
		if stdout.Len() > 0 {
			t.Errorf("%s: printed %q before the error", c.args, &stdout)
		}
	}
}

func TestHelp(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"-h"}, &stdout, &stderr); err != nil || !strings.Contains(stderr.String(), "-speed") {
		t.Errorf("got error %v and %q, want the flags", err, &stderr)
	}
}
