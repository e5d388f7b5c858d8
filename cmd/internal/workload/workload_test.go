package workload

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/prescale/prescale/cmd/internal/command"
)

func TestFlagsAndEnvironment(t *testing.T) {
	for _, test := range []struct {
		name, args, environment string
		instance                string
		problem                 string // a part of the InputError, empty for none
	}{
		{"defaults", "", "", "pod-7", ""},
		{"environment", "", "TRY_INSTANCE=a", "a", ""},
		{"a flag beats the environment", "--instance b", "TRY_INSTANCE=a", "b", ""},
		{"unknown flag", "--nope", "", "", "unknown flag: --nope"},
		{"an argument", "nope", "", "", `unexpected argument "nope"`},
		{"bad value", "--log-level LOUD", "", "", `--log-level: "LOUD": want DEBUG, INFO, WARN or ERROR`},
		{"bad value in the environment", "", "TRY_PARTITIONS=many", "", `environment variable TRY_PARTITIONS: "many": want a whole number`},
		{"no partitions", "--partitions 0", "", "", "--partitions: 0: want 1 or more"},
		{"a topic", "--work-topic my.work-1_b", "", "pod-7", ""},
		{"no topic's name", "--work-topic orders,emails", "", "", `--work-topic: "orders,emails": want a topic's name, neither . nor ..: 1 to 249`},
		{"no topic's name in the environment", "", "TRY_WORK_TOPIC=..", "", `--work-topic: "..": want a topic's name, neither . nor ..: 1 to 249`},
		{"no topic", "--work-topic=", "", "", `--work-topic: "": want a topic's name, neither . nor ..: 1 to 249`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("POD_NAME", "pod-7")
			if name, value, ok := strings.Cut(test.environment, "="); ok {
				t.Setenv(name, value)
			}
			f := Flags{Name: "try", Listen: ":1"}
			served := false
			root := f.Command("Try", strings.Fields(test.args), io.Discard, io.Discard, func(context.Context) error { served = true; return nil })
			root.Flags().String("work-topic", "work", "")
			err := root.ExecuteContext(t.Context())
			if test.problem != "" {
				if command.ExitCode(err) != 2 || !strings.Contains(err.Error(), test.problem) || served {
					t.Errorf("got %v (exit code %d), want exit code 2 and %q", err, command.ExitCode(err), test.problem)
				}
				return
			}
			if err != nil || !served || f.Instance != test.instance || f.Partitions != 12 || f.Listen != ":1" {
				t.Errorf("got %v, served %v, instance %q; want %q", err, served, f.Instance, test.instance)
			}
		})
	}
}
