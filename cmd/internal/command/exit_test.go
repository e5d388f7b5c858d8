package command_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/prescale/prescale/cmd/internal/command"
)

// ending names, in the environment, how the test's own program ends when it runs as a command.
const ending = "COMMAND_TEST_ENDING"

func TestMain(m *testing.M) {
	how := os.Getenv(ending)
	if how == "" {
		os.Exit(m.Run())
	}
	os.Exit(command.Main("try", func(ctx context.Context, _ []string, stdout, _ io.Writer) error {
		switch how {
		case "well":
			return nil
		case "failure":
			return errors.New("the disk is full")
		case "input":
			return fmt.Errorf("flag: %w", command.Input(errors.New("want a number")))
		default: // "signal", "deaf"
			fmt.Fprintln(stdout, "ready")
			<-ctx.Done()
			if how == "signal" {
				return fmt.Errorf("read: %w", ctx.Err())
			}
			fmt.Fprintln(stdout, "told")
			select {}
		}
	}))
}

func TestHowACommandEnds(t *testing.T) {
	for _, tt := range []struct {
		how       string
		signalled bool
		code      int // -1 where a signal ended it
		stderr    string
	}{
		{"well", false, 0, ""},
		{"failure", false, 1, "try: the disk is full\n"},
		{"input", false, 2, "try: flag: want a number\n"},
		{"signal", true, 130, "terminated"},
		{"deaf", true, -1, ""},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c := exec.CommandContext(ctx, os.Args[0])
		c.Env = append(os.Environ(), ending+"="+tt.how)
		var stderr bytes.Buffer
		c.Stderr = &stderr
		stdout, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if tt.signalled {
			if _, err := io.ReadFull(stdout, make([]byte, len("ready\n"))); err != nil {
				t.Errorf("%s: %v", tt.how, err)
			}
			_ = c.Process.Signal(syscall.SIGTERM)
			if tt.how == "deaf" { // a second one, and again while it has not let go of the first
				if _, err := io.ReadFull(stdout, make([]byte, len("told\n"))); err != nil {
					t.Errorf("%s: %v", tt.how, err)
				}
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_, _ = io.ReadAll(stdout)
				}()
				for alive := true; alive; {
					_ = c.Process.Signal(syscall.SIGTERM)
					select {
					case <-ended:
						alive = false
					case <-time.After(10 * time.Millisecond):
					}
				}
			}
		}
		_ = c.Wait() // what it says is in the state
		if ctx.Err() != nil {
			t.Errorf("%s: had to be killed", tt.how)
		}
		if got := c.ProcessState.ExitCode(); got != tt.code || !strings.Contains(stderr.String(), tt.stderr) || (tt.stderr == "") != (stderr.Len() == 0) {
			t.Errorf("%s: exit code %d, stderr %q; want %d, %q", tt.how, got, stderr.String(), tt.code, tt.stderr)
		}
	}
}

func TestFlagsFromTheEnvironment(t *testing.T) {
	t.Setenv("TRY_SERVICE_TIME", "soon")
	t.Setenv("TRY_RATE", "many")
	t.Setenv("TRY_NAME", "environment")
	t.Setenv("TRY_GIVEN", "environment")
	flags := pflag.NewFlagSet("try", pflag.ContinueOnError)
	flags.Duration("service-time", 0, "")
	flags.Float64("rate", 1, "")
	name, given := flags.String("name", "default", ""), flags.String("given", "default", "")
	if err := flags.Parse([]string{"--given", "line"}); err != nil {
		t.Fatal(err)
	}
	err := command.Environment(flags, "try")
	for _, want := range []string{`TRY_SERVICE_TIME: "soon": want a number with its unit`, `TRY_RATE: "many": want a number`} {
		if err == nil || command.ExitCode(err) != 2 || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an input error that holds %q", err, want)
		}
	}
	if *name != "environment" || *given != "line" {
		t.Errorf("name %q, given %q", *name, *given)
	}
}

func TestABadFlagSaysWhatIsWanted(t *testing.T) {
	flags := pflag.NewFlagSet("try", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Int("rows", 0, "")
	flags.Func("shape", "round or flat", func(string) error { return errors.New("no shape") })
	for _, tt := range []struct{ arg, want string }{
		{"--rows=many", `--rows: "many": want a whole number`},
		{"--shape=odd", `--shape: "odd": want round or flat`},
		{"--nope", "unknown flag: --nope; try --help lists the flags"},
	} {
		err := command.BadFlag("try", flags.Parse([]string{tt.arg}))
		if command.ExitCode(err) != 2 || err.Error() != tt.want {
			t.Errorf("%s: got %v, want %s", tt.arg, err, tt.want)
		}
	}
}

func TestAnInstanceIsThePodOrTheProcess(t *testing.T) {
	t.Setenv("POD_NAME", "orders-7")
	if got := command.Instance(); got != "orders-7" {
		t.Errorf("got %q, want the pod's name", got)
	}
	t.Setenv("POD_NAME", "")
	host, err := os.Hostname()
	if want := fmt.Sprintf("%s-%d", host, os.Getpid()); err != nil || command.Instance() != want {
		t.Errorf("got %q, want %q; %v", command.Instance(), want, err)
	}
}
