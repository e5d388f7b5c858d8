package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prescale/prescale/cmd/internal/readmodel"
)

// TestReadyOnceAnyPolicyAnswers: one whose cluster is down must not take the answers of the others from the HPA.
func TestReadyOnceAnyPolicyAnswers(t *testing.T) {
	now := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	store := readmodel.NewStore(func() time.Time { return now })
	ready := ready(store)
	if err := ready(); err != nil {
		t.Errorf("nothing to wait for: %v", err)
	}
	store.Expect("ai/a", time.Minute)
	store.Expect("ai/b", time.Minute)
	if ready() == nil {
		t.Error("ready before anything was observed")
	}
	store.Publish(readmodel.Entry{Policy: "ai/b", At: now, Interval: time.Minute, Usable: true})
	if err := ready(); err != nil {
		t.Errorf("with one of two: %v", err)
	}
	now = now.Add(time.Hour)
	if ready() == nil {
		t.Error("ready though all is stale")
	}
}

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
