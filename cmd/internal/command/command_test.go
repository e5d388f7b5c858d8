package command_test

import (
	"context"
	"errors"
	"testing"

	"github.com/prescale/prescale/cmd/internal/command"
)

func TestInterruptible(t *testing.T) {
	done := false
	if err := command.Interruptible(t.Context(), func() { done = true }); err != nil || !done {
		t.Errorf("error %v, done %v", err, done)
	}
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	defer close(release)
	if err := command.Interruptible(ctx, func() {
		cancel()
		<-release
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("work that goes on after the context ended: error %v", err)
	}
}
