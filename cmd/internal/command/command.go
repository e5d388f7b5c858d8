// Package command holds what every main shares: how an error becomes an exit code, and whether somebody looks at what it writes.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// InputError marks an error that the person at the keyboard can mend: a bad flag, file or line. It exits with 2.
type InputError struct{ Err error }

func (e *InputError) Error() string { return e.Err.Error() }
func (e *InputError) Unwrap() error { return e.Err }

// Input wraps err as an InputError; nil stays nil.
func Input(err error) error {
	if err == nil {
		return nil
	}
	return &InputError{Err: err}
}

// Inputf formats an InputError.
func Inputf(format string, args ...any) error { return &InputError{Err: fmt.Errorf(format, args...)} }

// Main runs one binary: it cancels the context on SIGINT or SIGTERM, prints the error, if any, on stderr and returns the
// exit code: 0, 1 for a failure, 2 for an InputError, 130 for what a signal cut short. A second signal ends the process at once.
func Main(name string, run func(ctx context.Context, args []string, stdout, stderr io.Writer) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	err := limitMemory()
	if err == nil {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, context.Cause(ctx)) // which signal it was
		return interrupted
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	return ExitCode(err)
}

// interrupted is what shells have for a process that SIGINT ended.
const interrupted = 130

// Interruptible runs work that no context stops. Where ctx ends first it returns why and leaves the work to itself, for a process that
// is about to end: what the work writes must not be read then.
func Interruptible(ctx context.Context, work func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// IsTerminal reports whether somebody may be looking at w.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// ExitCode returns 0 for nil, 2 for an InputError anywhere in err's tree and 1 for all else.
func ExitCode(err error) int {
	var input *InputError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &input):
		return 2
	default:
		return 1
	}
}
