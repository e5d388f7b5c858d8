package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// TestServeEndsWellOnlyWhenItWasAskedTo tells a shutdown from a part that gave up, though both may speak of a cancelled context.
func TestServeEndsWellOnlyWhenItWasAskedTo(t *testing.T) {
	asked, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("listen: address in use")
	cancelled := fmt.Errorf("follow the cluster: %w", context.Canceled)
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		want error
	}{
		{"asked, and ended in good order", asked, nil, nil},
		{"asked, and ended in the middle of a call", asked, cancelled, nil},
		{"asked, and something failed on the way", asked, broken, broken},
		{"not asked: a part was cancelled by itself", t.Context(), cancelled, cancelled},
		{"not asked: a part failed", t.Context(), broken, broken},
	} {
		if got := unlessAsked(tt.ctx, tt.err); !errors.Is(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}
